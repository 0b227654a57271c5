"""Fixtures of more than one test file. This file also puts `tests/` on the import path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fanfare.model import Model


@pytest.fixture(scope="session", autouse=True)
def _a_machine_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches of their own, and no separator of recordings, whatever this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FANFARE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("FANFARE_MELODY_SEPARATION", "off")
        yield


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that takes text only."""
    from tiny import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("weights") / "text", "text")


@pytest.fixture(scope="session")
def melody_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that also follows a melody."""
    from tiny import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("weights") / "melody", "melody")


@pytest.fixture(scope="session")
def text_model(text_folder: Path) -> Model:
    import fanfare

    return fanfare.load(text_folder, device="cpu")


@pytest.fixture(scope="session")
def melody_model(melody_folder: Path) -> Model:
    import fanfare

    return fanfare.load(melody_folder, device="cpu")


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of sound in a file."""
    from sounds import sound_file

    path = tmp_path_factory.mktemp("sounds") / "recording.wav"
    path.write_bytes(sound_file("wav", 4.0))
    return path
