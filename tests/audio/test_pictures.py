"""Pictures of pieces."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from fanfare.audio.pictures import picture_png
from fanfare.errors import MissingExtraError
from sounds import RATE_HZ, chord

SETTINGS = {"seed": 7, "weights": "epic-mini", "duration": 8}


@pytest.mark.parametrize("samples", [
    chord(1.0, 2), chord(0.01), np.zeros((1, RATE_HZ), np.float32),
], ids=["stereo", "short", "silence"])  # fmt: skip
def test_a_picture_is_drawn(samples: np.ndarray) -> None:
    image = pytest.importorskip("matplotlib.image")
    png = picture_png(samples, RATE_HZ, "brass & $taiko$ <b> 龍 \n" + "very " * 60, SETTINGS)
    height, width, _ = image.imread(io.BytesIO(png)).shape
    assert (width, height) == (1440, 1008)
    assert picture_png(samples, RATE_HZ) == picture_png(samples, RATE_HZ)


def test_words_and_sounds_are_seen() -> None:
    image = pytest.importorskip("matplotlib.image")

    def rows(*arguments: object) -> np.ndarray:
        """How dark each row of the picture is."""
        png = picture_png(*arguments)  # type: ignore[arg-type]
        drawn: np.ndarray = 1 - image.imread(io.BytesIO(png))[:, :, :3].mean(axis=(1, 2))
        return drawn

    quiet, loud = 0.01 * chord(1.0), chord(1.0)
    plain, named = rows(loud, RATE_HZ), rows(loud, RATE_HZ, "brass", SETTINGS)
    differing = np.flatnonzero(np.abs(named - plain) > 1e-6)
    assert differing.min() < 90  # the title
    assert differing.max() > 900  # the settings
    assert not ((differing > 130) & (differing < 900)).any()
    wave = slice(150, 250)
    assert rows(loud, RATE_HZ)[wave].sum() > 1.5 * rows(quiet, RATE_HZ)[wave].sum()


def test_without_matplotlib_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fanfare-music\[plot\]'"):
        picture_png(chord(0.1), RATE_HZ)
