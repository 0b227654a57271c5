"""Stores for tests: clocks that are set by hand, and predictions to put in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fanfare.server.records import NewPrediction
from fanfare.server.store import Store


@dataclass
class Clocks:
    """A clock on the wall, which can be set, and one that only runs."""

    wall: datetime = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    steady_s: float = field(default=1000.0)

    def pass_(self, seconds: float) -> None:
        """Time goes by."""
        self.wall += timedelta(seconds=seconds)
        self.steady_s += seconds

    def set(self, seconds: float) -> None:
        """Somebody sets the clock on the wall, so much forward."""
        self.wall += timedelta(seconds=seconds)


@contextmanager
def opened(home: Path, clocks: Clocks | None = None) -> Iterator[Store]:
    """The store of a home, with clocks of its own or the real ones."""
    if clocks is None:
        store = Store(home)
    else:
        store = Store(home, lambda: clocks.wall, lambda: clocks.steady_s)
    try:
        yield store
    finally:
        store.close()


def asked(**changes: Any) -> NewPrediction:
    """A request for a prediction."""
    values: dict[str, Any] = {
        "owner": "me",
        "model": "fofr/musicgen-epic",
        "version": "3c" * 32,
        "weights": "epic-mini",
        "input": {"prompt": "brass"},
        "max_waiting": 100,
    }
    return NewPrediction(**{**values, **changes})
