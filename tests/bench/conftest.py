"""Puts `bench/` on the import path, as running a script of it does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fanfare

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))


@pytest.fixture(autouse=True)
def _graphs_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of random weights isn't kept; benchmarks set this themselves, too."""
    monkeypatch.setenv("FANFARE_CACHE_DIR", str(tmp_path))


@pytest.fixture(scope="session")
def random_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of random-tiny."""
    from sizes import weights_at

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FANFARE_CACHE_DIR", "restored afterwards")
        return Path(weights_at("random-tiny", tmp_path_factory.mktemp("random")))


@pytest.fixture(scope="session")
def tiny_model(random_tiny: Path) -> fanfare.Model:
    return fanfare.load(random_tiny, device="cpu", dtype="float32")
