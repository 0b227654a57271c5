"""Waiting for a prediction to change, many at once, without asking the store for each.

The worker's hints wake at once those who wait for the prediction that they name. A hint may get
lost, and there may be no worker at all: so a single loop also compares short marks of all that are
waited for, which is one query however many wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence

import anyio.to_thread
from sqlalchemy import func, select

from fanfare.server.database import Database
from fanfare.server.records import StoreError
from fanfare.server.tables import predictions

log = logging.getLogger(__name__)

POLL_S = 0.25
Marks = Callable[[Sequence[str]], Mapping[str, Hashable]]
"""Ids of predictions → for each a value that differs whenever it has changed; blocking."""


def marks_in(database: Database) -> Marks:
    """Marks of what clients see change: status, logs, output."""
    columns = (predictions.c.status, func.length(predictions.c.logs), predictions.c.output_file)

    def marks(ids: Sequence[str]) -> Mapping[str, Hashable]:
        query = select(predictions.c.id, *columns).where(predictions.c.id.in_(ids))
        with database.reading() as connection:
            return {row[0]: tuple(row[1:]) for row in connection.execute(query)}

    return marks


class Hints:
    """Wakes those who wait. Lives in one event loop; `changed` alone may come from any thread."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._seen: dict[str, Hashable] = {}
        self._poll: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_stopped = False

    def stop(self) -> None:
        """The server stops: nobody is to wait any longer. From any thread."""
        self.is_stopped = True
        for prediction_id in list(self._waiting):
            self.changed(prediction_id)

    def changed(self, prediction_id: str) -> None:
        """A prediction has changed, or may have."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, prediction_id)

    def watch(self, prediction_id: str) -> Watch:
        """Begin to watch; changes from now on count, those before the first `changed()` too."""
        return Watch(self, prediction_id)

    def _wake(self, prediction_id: str) -> None:
        for event in self._waiting.get(prediction_id, ()):
            event.set()

    def _add(self, prediction_id: str, event: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting.setdefault(prediction_id, set()).add(event)
        if self._poll is None or self._poll.done():
            self._poll = self._loop.create_task(self._poll_all())

    def _remove(self, prediction_id: str, event: asyncio.Event) -> None:
        events = self._waiting[prediction_id]
        events.discard(event)
        if not events:
            del self._waiting[prediction_id]
            self._seen.pop(prediction_id, None)

    async def _poll_all(self) -> None:
        """Runs as long as anybody waits."""
        while self._waiting:
            await asyncio.sleep(POLL_S)
            ids = list(self._waiting)
            try:
                marks = await anyio.to_thread.run_sync(self._marks, ids)
            except StoreError as error:
                log.warning("those who wait are not told for now: %s", error)
                continue
            for id_ in ids:
                mark = marks.get(id_)
                if id_ in self._waiting and self._seen.get(id_, ...) != mark:
                    self._seen[id_] = mark
                    self._wake(id_)


class Watch:
    """One who waits; a context manager, so that none is left behind."""

    def __init__(self, hints: Hints, prediction_id: str) -> None:
        self._hints = hints
        self._id = prediction_id
        self._event = asyncio.Event()

    def __enter__(self) -> Watch:
        self._hints._add(self._id, self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._hints._remove(self._id, self._event)

    async def changed(self, timeout_s: float) -> bool:
        """Wait for the next change, at most so long; False: nothing came."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            return False
        self._event.clear()
        return True
