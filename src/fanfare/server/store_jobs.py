"""Predictions at work: claimed, begun, reported on, ended. What has ended stays as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, select, update

from fanfare.server.records import FINAL, RUNNING, WAITING, Event, Prediction
from fanfare.server.steady import Steady
from fanfare.server.store_deliveries import DeliveryRows
from fanfare.server.tables import files, prediction_of, predictions

MAX_LOGS = 64 * 1024
"""Characters of a prediction's logs; what comes later is dropped."""

INNOCENT, AMONG_OTHERS, ALONE = range(3)
"""How a prediction is to be tried: with all that come, with those lost like it, or alone."""

UNFINISHED = predictions.c.status.in_((WAITING, RUNNING))


class JobRows(DeliveryRows):
    """The part of the store that a worker uses."""

    def __init__(
        self,
        home: Path,
        clock: Callable[[], datetime] | None = None,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(home, clock, steady_clock)
        self._deadlines = Steady(steady_clock)

    def claim(self, worker: str, limit: int, max_tries: int) -> list[Prediction]:
        """Take up to `limit` waiting predictions, oldest first; each counts a try.

        Those that a worker died with may kill the next one too: they are tried again among
        themselves, and what has been tried `max_tries` times is taken alone. [] while this worker
        has others that can't be played along with the oldest.
        """
        with self.writing() as connection:
            held = select(predictions.c.tries).where(UNFINISHED, _claimed_by(worker))
            tries = connection.execute(held).scalars().all()
            waits = select(predictions.c.seq, predictions.c.tries).where(
                predictions.c.status == WAITING, predictions.c.claimed_by.is_(None)
            )
            waiting = connection.execute(waits.order_by(predictions.c.seq).limit(limit)).all()
            held_tries = [n - 1 for n in tries]  # as they were before they were claimed
            taken = _batch([(row.seq, row.tries) for row in waiting], held_tries, max_tries)
            if not taken:
                return []
            values = {"claimed_by": worker, "tries": predictions.c.tries + 1}
            changed = update(predictions).where(predictions.c.seq.in_(taken)).values(values)
            rows = connection.execute(changed.returning(predictions)).mappings().all()
            return [prediction_of(row) for row in sorted(rows, key=lambda row: int(row["seq"]))]

    def release_claims(self, worker: str | None, max_tries: int) -> list[str]:
        """Put back what a dead worker had claimed (None = any worker); the ids of all of them.

        What was begun `max_tries` times, the last time alone, fails, and says why.
        """
        with self.writing() as connection:
            return self._release(connection, _claimed_by(worker), max_tries)

    def hand_back(self, ids: Iterable[str], *, by: str) -> None:
        """Put predictions back that a worker won't finish, by no fault of theirs: no try counts."""
        with self.writing() as connection:
            for id in ids:
                row = _held(connection, id, by)
                if row is not None:
                    _put_back(connection, row, tries=max(0, row["tries"] - 1))

    # A worker says what comes of its work. It is heard only while the prediction is its own: one
    # that was thought dead must not write over what its successor does.

    def begin(self, id: str, *, by: str) -> bool:
        """It runs now; False when it has ended meanwhile, by being cancelled."""
        with self.writing() as connection:
            row = _held(connection, id, by)
            if row is None:
                return False
            if row["status"] == WAITING:
                started = max(self.now(), row["created_at"])
                _change(connection, id, status=RUNNING, started_at=started)
                if row["started_at"] is None:  # told once, however often it is begun
                    self._announce(connection, row, ["start"])
            return True

    def add_logs(
        self, id: str, text: str, progress: tuple[int, int] | None = None, *, by: str
    ) -> None:
        """Add to its logs, and say how far it is, in one transaction."""
        with self.writing() as connection:
            row = _held(connection, id, by)
            if row is None:
                return
            _change(connection, id, logs=(row["logs"] + text)[:MAX_LOGS], **_steps(progress))
            self._announce(connection, row, ["logs"])

    def set_progress(self, id: str, step: int, n_steps: int, *, by: str) -> None:
        """How far it is."""
        with self.writing() as connection:
            if _held(connection, id, by) is not None:
                _change(connection, id, **_steps((step, n_steps)))

    def set_seed(self, id: str, seed: int, *, by: str) -> None:
        """What it is made with; kept before it runs, so that a second try makes the same."""
        with self.writing() as connection:
            if _held(connection, id, by) is not None:
                _change(connection, id, seed=seed)

    def succeed(self, id: str, output_file: str, metrics: dict[str, Any], *, by: str) -> bool:
        """It is made; False when it had ended before, or is another's: this is for nothing.

        Saying the same twice is no harm: whoever doesn't
        know whether the first was heard says it again.
        """
        with self.writing() as connection:
            row = _held(connection, id, by)
            if row is None:
                same = (predictions.c.id == id) & (predictions.c.output_file == output_file)
                return connection.execute(select(predictions.c.seq).where(same)).first() is not None
            self._finish(connection, row, "succeeded", output_file=output_file, metrics=metrics)
            return True

    def fail(self, id: str, error: str, *, by: str) -> bool:
        """It can't be made, and this is why; False when it had ended before."""
        return self._end(id, "failed", by=by, error=error)

    def canceled(self, id: str, *, by: str) -> bool:
        """It isn't wanted any more; False when it had ended before."""
        return self._end(id, "canceled", by=by)

    def request_cancel(self, id: str, owner: str | None) -> Prediction | None:
        """Cancel it, at once and for good, and return what it is now; None = there is none.

        A worker that is at it learns so by `cancel_requested`, and stops.
        """
        with self.writing() as connection:
            mine = [predictions.c.id == id]
            if owner is not None:
                mine.append(predictions.c.owner == owner)
            row = connection.execute(select(predictions).where(*mine)).mappings().first()
            if row is None:
                return None
            if row["status"] not in FINAL:
                self._finish(connection, row, "canceled")
            changed = select(predictions).where(predictions.c.id == id)
            return prediction_of(connection.execute(changed).mappings().one())

    def cancel_requested(self, ids: Iterable[str], *, by: str) -> set[str]:
        """Which of these nobody wants of this worker any more: ended, gone, or another's."""
        asked = set(ids)
        with self.reading() as connection:
            wanted = predictions.c.id.in_(asked) & UNFINISHED & _claimed_by(by)
            return asked - set(connection.execute(select(predictions.c.id).where(wanted)).scalars())

    def cancel_overdue(self) -> list[str]:
        """Cancel what should have been done by now; its ids."""
        now, overdue = self.now(), []
        query = select(predictions.c.id, predictions.c.deadline)
        with self.reading() as connection:
            found = connection.execute(query.where(UNFINISHED, predictions.c.deadline.is_not(None)))
            rows = found.all()
        self._deadlines.keep_only(row.id for row in rows)
        for row in rows:
            left_s = (row.deadline - now).total_seconds()
            if self._deadlines.is_due(row.id, row.deadline, left_s) and self._end(
                row.id, "canceled"
            ):
                overdue.append(row.id)
        return overdue

    def _watch_deadline(self, new: Prediction) -> None:
        """From its very beginning, so that a clock that is set next changes nothing about it."""
        if new.deadline is not None:
            left_s = (new.deadline - new.created_at).total_seconds()
            self._deadlines.is_due(new.id, new.deadline, left_s)

    def _release(
        self, connection: Connection, claimed: ColumnElement[bool], max_tries: int
    ) -> list[str]:
        query = select(predictions).where(UNFINISHED, claimed).order_by(predictions.c.seq)
        rows = connection.execute(query).mappings().all()
        for row in rows:
            # In company it may be another's fault; on the try after that it was alone anyway.
            is_blamed = len(rows) == 1 or row["tries"] > max_tries
            if row["tries"] >= max_tries and is_blamed:
                times = "once" if row["tries"] == 1 else f"{row['tries']} times"
                error = f"The worker stopped while making this ({times}); it isn't tried again."
                self._finish(connection, row, "failed", error=error)
            else:
                _put_back(connection, row, tries=row["tries"])
        return [row["id"] for row in rows]

    def _end(self, id: str, status: str, by: str | None = None, **values: Any) -> bool:
        with self.writing() as connection:
            row = _unfinished(connection, id) if by is None else _held(connection, id, by)
            if row is None:
                return False
            self._finish(connection, row, status, **values)
            return True

    def _finish(self, connection: Connection, row: RowMapping, status: str, **values: Any) -> None:
        began = row["started_at"] or row["created_at"]
        now = max(self.now(), began)
        times = {"total_time": (now - row["created_at"]).total_seconds()}
        if row["started_at"] is not None:
            times["predict_time"] = (now - began).total_seconds()
        metrics = times | values.pop("metrics", {})
        # A try that died after its file was kept and before it could say so left one behind.
        left = (files.c.prediction == row["id"]) & (files.c.id != values.get("output_file", ""))
        connection.execute(delete(files).where(left))
        _change(
            connection,
            row["id"],
            status=status,
            completed_at=now,
            claimed_by=None,
            metrics=metrics,
            **values,
        )
        self._drop_logs(connection, row["id"])
        ending: list[Event] = ["output", "completed"] if status == "succeeded" else ["completed"]
        self._announce(connection, row, ending)


def _batch(waiting: list[tuple[int, int]], held_tries: list[int], max_tries: int) -> list[int]:
    """Which of the waiting (place, tries) a worker may take that holds others already.

    Tries are those before the claim.
    """
    if not waiting:
        return []
    kind = _suspicion(max(held_tries, default=waiting[0][1]), max_tries)
    if kind == ALONE:
        return [] if held_tries else [waiting[0][0]]
    alike = takewhile(lambda one: _suspicion(one[1], max_tries) == kind, waiting)
    return [seq for seq, _ in alike]


def _suspicion(tries: int, max_tries: int) -> int:
    """Of what was tried so often and never ended: may it be what kills workers?"""
    return INNOCENT if tries == 0 else ALONE if tries >= max_tries else AMONG_OTHERS


def _claimed_by(worker: str | None) -> ColumnElement[bool]:
    column = predictions.c.claimed_by
    return column.is_not(None) if worker is None else column == worker


def _unfinished(connection: Connection, id: str) -> RowMapping | None:
    query = select(predictions).where(predictions.c.id == id, UNFINISHED)
    return connection.execute(query).mappings().first()


def _held(connection: Connection, id: str, worker: str) -> RowMapping | None:
    row = _unfinished(connection, id)
    return row if row is not None and row["claimed_by"] == worker else None


def _change(connection: Connection, id: str, **values: Any) -> None:
    connection.execute(update(predictions).where(predictions.c.id == id).values(**values))


def _steps(progress: tuple[int, int] | None) -> dict[str, int]:
    return {} if progress is None else {"step": progress[0], "n_steps": progress[1]}


def _put_back(connection: Connection, row: RowMapping, *, tries: int) -> None:
    fresh = {"status": WAITING, "claimed_by": None, "step": 0, "n_steps": 0}
    _change(connection, row["id"], **fresh, tries=tries)
