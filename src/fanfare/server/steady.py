"""Waiting by the steady clock: what is due must not come early or late when the clock is set."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable


class Steady:
    """Remembers since when each key has had its value, and how long it was to wait then.

    The store keeps times of day, since they outlive a restart. Each is read once, when it is
    first seen; from then on only the seconds that really pass count. Safe from any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Hashable, tuple[object, float, float]] = {}
        self._lock = threading.Lock()

    def is_due(self, key: Hashable, value: object, wait_s: float) -> bool:
        """Whether `wait_s`, as it was when this value was first seen, has passed since."""
        now = self._clock()
        with self._lock:
            seen = self._seen.get(key)
            if seen is None or seen[0] != value:
                seen = self._seen[key] = (value, now, wait_s)
        return now - seen[1] >= seen[2]

    def keep_only(self, keys: Iterable[Hashable]) -> None:
        """Forget all others."""
        kept = set(keys)
        with self._lock:
            self._seen = {key: seen for key, seen in self._seen.items() if key in kept}
