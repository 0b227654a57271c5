"""The cleaner: cancels what should be done by now, and removes what has been kept long enough."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio
from anyio import to_thread

from fanfare.server.files import Files
from fanfare.server.records import StoreError
from fanfare.server.store import Store

log = logging.getLogger(__name__)

DEADLINES_EVERY_S = 0.5
EXPIRY_EVERY_S = 60.0
SWEEP_EVERY_S = 3600.0


class Cleaner:
    """Looks after the store and the files, for as long as `run` runs.

    Args:
        retention_h: see `ServeConfig`.
        changed: is called with the id of every prediction that it cancels, on the event loop.
    """

    def __init__(
        self,
        store: Store,
        files: Files,
        retention_h: float | None,
        changed: Callable[[str], None] = lambda id: None,
    ) -> None:
        self._store = store
        self._files = files
        self._retention_h = retention_h
        self._changed = changed

    async def run(self) -> None:
        """Clean until cancelled. Nothing that goes wrong ends it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._repeat, self._deadlines, DEADLINES_EVERY_S)
            tasks.start_soon(self._repeat, self.expire, EXPIRY_EVERY_S)
            tasks.start_soon(self._repeat, self._files.sweep, SWEEP_EVERY_S)

    def expire(self) -> None:
        """Remove what has been kept long enough: from the store, then from the disk."""
        self._files.discard(self._store.expire(self._retention_h))

    def _deadlines(self) -> list[str]:
        return self._store.cancel_overdue()

    async def _repeat(self, work: Callable[[], object], every_s: float) -> None:
        while True:
            try:
                ended = await to_thread.run_sync(work)
                for id in ended if isinstance(ended, list) else ():
                    self._changed(id)
            except (StoreError, OSError) as error:
                log.warning("cleaning waits: %s", error)
            await anyio.sleep(every_s)
