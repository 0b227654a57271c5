"""Store: the truth about predictions, files, webhooks and secrets, whatever dies when.

Every method is one short transaction, safe from any thread and any process; what a method has
returned from is on the disk. All raise StoreError when the store can't be used now.
"""

from __future__ import annotations

import secrets as random
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from fanfare.server.database import free_bytes
from fanfare.server.ids import new_id
from fanfare.server.pages import page
from fanfare.server.records import (
    FINAL,
    RUNNING,
    WAITING,
    NewPrediction,
    Page,
    Prediction,
    QueueFullError,
    StoreError,
)
from fanfare.server.store_files import FileRows, unused
from fanfare.server.store_history import HistoryRows
from fanfare.server.store_jobs import JobRows
from fanfare.server.tables import files, is_starred, prediction_of, predictions, secrets

SECRET_BYTES = 32
ROOM_BYTES = 4 * 2**20
"""Kept free on the disk: without it, nothing that has begun could be ended, nor deleted."""


class Store(JobRows, FileRows, HistoryRows):
    """All of it; see `JobRows` for what workers do, `HistoryRows` for what the page does."""

    def create_prediction(self, new: NewPrediction) -> Prediction:
        """Put a prediction into the queue; QueueFullError when too many wait."""
        if free_bytes(self.path.parent) < ROOM_BYTES:
            raise StoreError("the disk is full: there is no room for another prediction")
        now = self.now()
        deadline = None
        if new.cancel_after_s is not None:
            deadline = now + timedelta(seconds=new.cancel_after_s)
        values = {
            "id": new_id(),
            "owner": new.owner,
            "model": new.model,
            "version": new.version,
            "weights": new.weights,
            "input": dict(new.input),
            "status": WAITING,
            "stream_token": new_id(),
            "created_at": now,
            "seed": new.seed,
            "deadline": deadline,
            "webhook": new.webhook,
            "webhook_events": list(new.webhook_events),
            "source": new.source,
            "metrics": {},
        }
        with self.writing() as connection:
            n_waiting = connection.execute(select(func.count()).where(_waits())).scalar_one()
            if n_waiting >= new.max_waiting:
                raise QueueFullError(n_waiting)
            row = connection.execute(insert(predictions).values(values).returning(predictions))
            made = prediction_of(row.mappings().one())
        self._watch_deadline(made)
        return made

    def prediction(self, id: str, owner: str | None) -> Prediction | None:
        """By its id; None when there is none, or it isn't that owner's (owner None = anyone's)."""
        mine = () if owner is None else (predictions.c.owner == owner,)
        return self._prediction(predictions.c.id == id, *mine)

    def glance(self, id: str, owner: str) -> Prediction | None:
        """The same for a thread that must not wait; StoreError where it would have to."""
        mine = (predictions.c.id == id, predictions.c.owner == owner)
        with self.glancing() as connection:
            row = connection.execute(select(predictions).where(*mine)).mappings().first()
            return None if row is None else prediction_of(row)

    def prediction_by_stream(self, token: str) -> Prediction | None:
        """By its stream's token, which is credential enough."""
        return self._prediction(predictions.c.stream_token == token)

    def predictions(
        self,
        owner: str,
        before: str | None = None,
        after: str | None = None,
        limit: int = 100,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Page[Prediction]:
        """An owner's, newest first; InputError when a cursor isn't one of this list."""
        wanted = [predictions.c.owner == owner]
        if created_after is not None:
            wanted.append(predictions.c.created_at >= created_after)
        if created_before is not None:
            wanted.append(predictions.c.created_at < created_before)
        with self.reading() as connection:
            return page(connection, predictions, wanted, before, after, limit, prediction_of)

    def counts(self) -> dict[str, int]:
        """How many predictions are in each status, those of no prediction included."""
        query = select(predictions.c.status, func.count()).group_by(predictions.c.status)
        with self.reading() as connection:
            found = {str(status): int(n) for status, n in connection.execute(query)}
        return {status: found.get(status, 0) for status in (WAITING, RUNNING, *FINAL)}

    def position(self, id: str) -> int | None:
        """How many wait before it; None when it doesn't wait."""
        with self.reading() as connection:
            place = select(predictions.c.seq).where(_waits(), predictions.c.id == id)
            seq = connection.execute(place).scalar()
            if seq is None:
                return None
            earlier = select(func.count()).where(_waits(), predictions.c.seq < seq)
            return int(connection.execute(earlier).scalar_one())

    def expire(self, retention_h: float | None) -> list[str]:
        """Forget what has been kept long enough; the ids of the files that are to go.

        A finished prediction loses its input, logs and output; an upload goes when its own time
        is over, or it is as old, unless a prediction that isn't finished needs it. What is
        starred stays, and its recording with it.
        """
        now = self.now()
        is_over = files.c.expires_at <= now
        with self.writing() as connection:
            gone: list[str] = []
            if retention_h is not None:
                cutoff = now - timedelta(hours=retention_h)
                is_old = and_(
                    predictions.c.completed_at < cutoff, ~predictions.c.data_removed, ~is_starred()
                )
                ids = connection.execute(select(predictions.c.id).where(is_old)).scalars().all()
                empty: dict[str, Any] = {
                    "input": {},
                    "logs": "",
                    "output_file": None,
                    "data_removed": True,
                }
                connection.execute(update(predictions).where(is_old).values(empty))
                for id in ids:
                    outputs = delete(files).where(files.c.prediction == id).returning(files.c.id)
                    gone += connection.execute(outputs).scalars()
                is_over |= (files.c.purpose == "upload") & (files.c.created_at < cutoff)
            late = delete(files).where(is_over, unused()).returning(files.c.id)
            return gone + list(connection.execute(late).scalars())

    def secret(self, name: str) -> bytes:
        """32 random bytes under a name: made when they are first asked for, the same ever after."""
        with self.writing() as connection:
            query = select(secrets.c.value).where(secrets.c.name == name)
            value = connection.execute(query).scalar()
            if value is None:
                value = random.token_bytes(SECRET_BYTES)
                connection.execute(insert(secrets).values(name=name, value=value))
            return bytes(value)

    def _prediction(self, *wanted: ColumnElement[bool]) -> Prediction | None:
        with self.reading() as connection:
            row = connection.execute(select(predictions).where(*wanted)).mappings().first()
            return None if row is None else prediction_of(row)


def _waits() -> ColumnElement[bool]:
    return predictions.c.status == WAITING
