"""Scheduler: who waits, who runs, and in which rows. It knows no tensors.

First come, first served: whoever needs more rows than are free holds up those behind, so that
nobody starves.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fanfare.errors import BusyError


@dataclass(frozen=True)
class Admission:
    """The request `ticket` may start in these rows."""

    ticket: int
    rows: tuple[int, ...]


class Scheduler:
    """A number of rows and a queue for them, bounded by `max_waiting` (None = by nothing)."""

    def __init__(self, n_rows: int, max_waiting: int | None = None) -> None:
        assert n_rows > 0, n_rows
        self.n_rows = n_rows
        self.max_waiting = max_waiting
        self.free = list(range(n_rows))  # ascending: the lowest are taken first
        self.waiting: deque[tuple[int, int]] = deque()  # tickets, and the rows they need
        self.running: dict[int, tuple[int, ...]] = {}  # rows by ticket

    def submit(self, ticket: int, n_rows: int) -> None:
        """Queue a request for `n_rows` rows. BusyError if there are too many already."""
        assert 0 < n_rows <= self.n_rows, (n_rows, self.n_rows)
        if self.max_waiting is not None and len(self.waiting) >= self.max_waiting:
            raise BusyError(len(self.waiting))
        self.waiting.append((ticket, n_rows))

    def admit(self) -> list[Admission]:
        """Those whose turn it is, in their order; they run from now on."""
        admitted = []
        while self.waiting and self.waiting[0][1] <= len(self.free):
            ticket, n_rows = self.waiting.popleft()
            rows, self.free = tuple(self.free[:n_rows]), self.free[n_rows:]
            self.running[ticket] = rows
            admitted.append(Admission(ticket, rows))
        return admitted

    def leave(self, ticket: int) -> tuple[int, ...]:
        """End a request, running or waiting; the rows that this frees."""
        if ticket not in self.running:
            n_waiting = len(self.waiting)
            self.waiting = deque(entry for entry in self.waiting if entry[0] != ticket)
            assert len(self.waiting) == n_waiting - 1, ticket
            return ()
        rows = self.running.pop(ticket)
        self.free = sorted([*self.free, *rows])
        return rows
