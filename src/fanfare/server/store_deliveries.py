"""Webhooks that are to be sent: written with what they tell of, gone once they have arrived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from sqlalchemy import Connection, RowMapping, delete, exists, insert, select, update

from fanfare.server.database import Database
from fanfare.server.ids import new_id
from fanfare.server.records import RUNNING, Delivery, Event, Prediction
from fanfare.server.steady import Steady
from fanfare.server.tables import deliveries, prediction_of, predictions

LOGS_EVERY_S = 0.5
DELAYS_S = (1, 2, 4, 8, 15, 30, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600)
"""Before each further try: seven within a minute, then fewer and fewer for a day."""


class DeliveryRows(Database):
    """The part of the store that holds webhooks."""

    def __init__(
        self,
        home: Path,
        clock: Callable[[], datetime] | None = None,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(home, clock)
        self._due = Steady(steady_clock)

    def due_deliveries(self, limit: int = 100, per_receiver: int = 4) -> list[Delivery]:
        """What is to be sent now: of each prediction the first that hasn't arrived.

        Oldest first, but of one receiver at most so many, however many more wait for it.
        """
        earlier = deliveries.alias()
        is_first = ~exists().where(
            earlier.c.prediction == deliveries.c.prediction, earlier.c.seq < deliveries.c.seq
        )
        now = self.now()
        with self.reading() as connection:
            rows = connection.execute(select(deliveries).where(is_first).order_by(deliveries.c.seq))
            waiting = rows.mappings().all()
            self._due.keep_only(row["id"] for row in waiting)
            n_of: Counter[str] = Counter()
            due: list[RowMapping] = []
            for row in waiting:
                to = receiver(row["url"])
                if len(due) < limit and self._is_due(row, now) and n_of[to] < per_receiver:
                    n_of[to] += 1
                    due.append(row)
            return [_delivery(connection, row) for row in due]

    def delivered(self, id: str) -> None:
        """It has arrived."""
        with self.writing() as connection:
            connection.execute(delete(deliveries).where(deliveries.c.id == id))

    def retry_delivery(self, id: str) -> None:
        """It has not arrived: try again after the next of the delays."""
        with self.writing() as connection:
            query = select(deliveries.c.tries).where(deliveries.c.id == id)
            tries = connection.execute(query).scalar()
            if tries is None:
                return
            due_at = self.now() + timedelta(seconds=_longest_wait_s(tries + 1))
            values = {"tries": tries + 1, "due_at": due_at}
            connection.execute(update(deliveries).where(deliveries.c.id == id).values(values))

    def give_up(self, id: str) -> None:
        """It will not arrive."""
        self.delivered(id)

    def n_deliveries(self) -> int:
        """How many haven't arrived."""
        with self.reading() as connection:
            return len(connection.execute(select(deliveries.c.seq)).all())

    def _is_due(self, row: RowMapping, now: datetime) -> bool:
        # What is due later than it can be was written before the clock was set back.
        wait_s = min((row["due_at"] - now).total_seconds(), _longest_wait_s(row["tries"]))
        return self._due.is_due(row["id"], row["tries"], wait_s)

    def _announce(self, connection: Connection, row: RowMapping, events: Iterable[Event]) -> None:
        """Write what a prediction's change is to be told by, in the change's own transaction."""
        for event in events:
            if row["webhook"] is None or event not in row["webhook_events"]:
                continue
            delay_s = 0.0
            if event == "logs":
                # One at a time and no sooner than this: a receiver gets two a second at most.
                if _logs_wait(connection, row["id"]):
                    continue
                delay_s = LOGS_EVERY_S
            values = {
                "id": f"msg_{new_id()}",
                "prediction": row["id"],
                "event": event,
                "url": row["webhook"],
                "tries": 0,
                "due_at": self.now() + timedelta(seconds=delay_s),
            }
            connection.execute(insert(deliveries).values(values))

    def _drop_logs(self, connection: Connection, id: str) -> None:
        """Logs that wait are told by what comes now."""
        connection.execute(
            delete(deliveries).where(deliveries.c.prediction == id, deliveries.c.event == "logs")
        )


def receiver(url: str) -> str:
    """Whom a URL reaches: scheme, host and port."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or ''}".lower()
    return url


def _longest_wait_s(tries: int) -> float:
    return LOGS_EVERY_S if tries == 0 else DELAYS_S[min(tries, len(DELAYS_S)) - 1]


def _logs_wait(connection: Connection, id: str) -> bool:
    found = select(deliveries.c.seq).where(
        deliveries.c.prediction == id, deliveries.c.event == "logs"
    )
    return connection.execute(found).first() is not None


def _delivery(connection: Connection, row: RowMapping) -> Delivery:
    found = select(predictions).where(predictions.c.id == row["prediction"])
    prediction = prediction_of(connection.execute(found).mappings().one())
    event = cast(Event, row["event"])
    return Delivery(
        id=row["id"],
        event=event,
        url=row["url"],
        prediction=_as_told_by(event, prediction),
        tries=row["tries"],
        due_at=row["due_at"],
    )


def _as_told_by(event: Event, prediction: Prediction) -> Prediction:
    """A prediction as it was at an event: `start` and `output` come before the end."""
    if event in {"completed", "logs"}:
        return prediction
    before = replace(prediction, status=RUNNING, completed_at=None, error=None, metrics={})
    return before if event == "output" else replace(before, output_file=None, logs="")
