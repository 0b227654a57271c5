"""What is known of the models that a server offers, in memory or not. The worker's own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fanfare.errors import FanfareError
from fanfare.model import Model
from fanfare.weights.hub import HubModel
from fanfare.weights.known import BY_HUB_ID
from fanfare.weights.own_layout import CARD, read_card
from fanfare.weights.registry import find_here, identity, place_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where a model is on its way into memory.

    Attributes:
        memory_bytes: that it takes; None = it isn't there.
        engine: what runs it, and in which precision, as "onnxruntime int8".
        licence: an SPDX identifier; None = not known, or not stated.
        n_playing: pieces that it is at.
        error: why it could not be loaded.
    """

    state: Literal["loaded", "loading", "unloaded", "failed"] = "unloaded"
    memory_bytes: int | None = None
    engine: str | None = None
    licence: str | None = None
    n_playing: int = 0
    error: str | None = None


def place_in_memory(model: Model, n_bytes: int, n_playing: int) -> Place:
    """Of one that is in memory."""
    engine, licence = model.engine.name, model.bundle.licence
    return Place("loaded", n_bytes, engine, licence, n_playing)


def licence_of(name: str) -> str | None:
    """The licence of weights that are on this machine, or known by heart; None = not stated."""
    path = find_here(name)
    if path is None:
        place = place_of(name)
        known = BY_HUB_ID.get(place.hub_id) if isinstance(place, HubModel) else None
        return known.licence if known is not None else None
    if (path / CARD).is_file():
        licence = read_card(path).get("licence")
        if licence is not None:
            return str(licence)
    return identity(path).licence


class Shelf:
    """All models that the server was started with, as they are told to the server.

    Licences stand in the files of weights: a thread of its own looks for them there.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._licences: dict[str, str] = {}
        self._thread = threading.Thread(target=self._look, name="licences", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def told(self, places: Mapping[str, Place]) -> dict[str, dict[str, Any]]:
        """All models by name, given where those are that are in memory or on their way."""
        found = {name: places.get(name, Place()) for name in self._names}
        for name, place in found.items():
            if place.licence is None:
                found[name] = replace(place, licence=self._licences.get(name))
            else:
                self._licences[name] = place.licence
        return {name: asdict(place) for name, place in found.items()}

    def _look(self) -> None:
        for name in self._names:
            try:
                licence = licence_of(name)
            except (FanfareError, OSError) as error:
                log.info("the licence of %s isn't known: %s", name, error)
                continue
            if licence is not None:
                self._licences.setdefault(name, licence)
