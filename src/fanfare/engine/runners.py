"""RunnerPool: runners of one model, lent to one call after the other.

What a runner learns is worth keeping: on a CUDA device its graphs and buffers serve the next call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

from fanfare.engine.graph_runner import GraphRunner
from fanfare.engine.runner import Runner

AnyRunner = Runner | GraphRunner
R = TypeVar("R", bound=AnyRunner)


class RunnerPool(Generic[R]):
    """Makes runners as they are needed and keeps some that were given back, for any thread.

    A runner serves calls of about its own size, so that a single piece doesn't hold the buffers of
    a large batch.
    """

    def __init__(
        self, make: Callable[[int], R], *, max_idle: int = 2, max_bytes: int | None = None
    ) -> None:
        """`make(n_rows)` gives a runner of so many rows, or of as many as one can have.

        At most `max_idle` are kept, and together no more than `max_bytes` (None = any number); the
        oldest go first.
        """
        self._make = make
        self._max_idle = max_idle
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._idle: list[tuple[int, R]] = []  # by size, those given back last at the end
        self._lent: dict[int, int] = {}  # sizes by id

    def take(self, n_rows: int) -> R:
        """A runner that nobody else has, until it is given back; one never is if it fails."""
        assert n_rows > 0, n_rows
        size = 1 << (n_rows - 1).bit_length()
        with self._lock:
            for i in reversed(range(len(self._idle))):
                if self._idle[i][0] == size:
                    runner = self._idle.pop(i)[1]
                    break
            else:
                runner = self._make(size)
            self._lent[id(runner)] = size
        return runner

    def give_back(self, runner: R) -> None:
        """Its rows must have been released."""
        with self._lock:
            self._idle.append((self._lent.pop(id(runner)), runner))
            while self._is_full():
                self._idle.pop(0)

    def forget(self, runner: R) -> None:
        """Lent, but not to be kept: a call that failed may have left anything in it."""
        with self._lock:
            del self._lent[id(runner)]

    @contextmanager
    def lend(self, n_rows: int) -> Iterator[R]:
        """A runner for as long as the block lasts."""
        runner = self.take(n_rows)
        try:
            yield runner
        except GeneratorExit:  # closed between two steps, which leaves it whole
            self.give_back(runner)
            raise
        except BaseException:
            self.forget(runner)
            raise
        self.give_back(runner)

    def _is_full(self) -> bool:
        if len(self._idle) > self._max_idle:
            return True
        n_bytes = sum(_n_bytes(runner) for _, runner in self._idle)
        return self._max_bytes is not None and bool(self._idle) and n_bytes > self._max_bytes


def _n_bytes(runner: AnyRunner) -> int:
    """What it holds while it is idle; others give their buffers up with their last row."""
    return runner.n_bytes if isinstance(runner, GraphRunner) else 0


def idle_bytes(device: torch.device) -> int | None:
    """What idle runners may hold of a device: an eighth of a CUDA device's memory."""
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory) // 8
