"""Pictures of pieces."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fanfare.audio.plot import MAX_COLUMNS, N_MELS, mel_spectrogram_db, plot_png
from fanfare.errors import MissingExtraError
from sounds import RATE_HZ, chord

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("samples", [
    chord(1.0, 2), chord(0.01), np.zeros((1, RATE_HZ), np.float32),
], ids=["stereo", "short", "silence"])  # fmt: skip
def test_a_picture_is_drawn(samples: np.ndarray) -> None:
    pytest.importorskip("matplotlib")
    assert plot_png(samples, RATE_HZ, "brass & $taiko$").startswith(PNG)


def test_a_tone_is_bright_at_its_pitch() -> None:
    def brightest(hz: float) -> int:
        tone = np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
        return int(mel_spectrogram_db(tone, RATE_HZ).mean(axis=1).argmax())

    top = 2595 * np.log10(1 + 16000 / 700)
    for hz in (200.0, 1000.0, 6000.0):
        assert brightest(hz) == pytest.approx(2595 * np.log10(1 + hz / 700) / top * N_MELS, abs=2)


def test_long_pieces_fit_the_picture() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ * 60).astype(np.float32)
    picture = mel_spectrogram_db(noise, RATE_HZ)
    assert picture.shape[0] == N_MELS
    assert picture.shape[1] <= MAX_COLUMNS + 1


def test_without_matplotlib_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fanfare-music\[plot\]'"):
        plot_png(chord(0.1), RATE_HZ)
