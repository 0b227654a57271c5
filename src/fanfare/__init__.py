"""Epic music from a prompt, on your own machine.

    import fanfare

    model = fanfare.load("epic-mini")
    model.generate(prompt="heroic brass over pounding taiko", duration=12, seed=7).save("epic.wav")

The names below are imported when they are first used: `import fanfare` itself loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanfare.chunks import Chunk
    from fanfare.errors import (
        AudioFileError,
        CheckpointError,
        FanfareError,
        InputError,
        MissingExtraError,
        OutputError,
    )
    from fanfare.inputs import Inputs
    from fanfare.model import Model, load
    from fanfare.piece import Audio
    from fanfare.predict import Finished, Progress, Started
    from fanfare.stream import Stream

__all__ = [
    "Audio",
    "AudioFileError",
    "CheckpointError",
    "Chunk",
    "FanfareError",
    "Finished",
    "InputError",
    "Inputs",
    "MissingExtraError",
    "Model",
    "OutputError",
    "Progress",
    "Started",
    "Stream",
    "load",
]

_ROOMS = {
    "Audio": "piece",
    "Chunk": "chunks",
    "Finished": "predict",
    "Inputs": "inputs",
    "Model": "model",
    "Progress": "predict",
    "Started": "predict",
    "Stream": "stream",
    "load": "model",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("fanfare.version").fanfare_version()
    if name not in __all__:
        raise AttributeError(f"module 'fanfare' has no attribute {name!r}")
    return getattr(import_module(f"fanfare.{_ROOMS.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
