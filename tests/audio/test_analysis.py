"""Numbers for pictures, of sounds whose pictures are known."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest

from fanfare.audio import analysis
from fanfare.audio.analysis import agreement, analyse, chroma, true_peak_dbfs
from sounds import RATE_HZ, chord

A_440 = 9


def tone(hz: float, duration_s: float = 2.0, level: float = 0.5, phase: float = 0.0) -> np.ndarray:
    at_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    return (level * np.sin(2 * np.pi * hz * at_s + phase)).astype(np.float32)[None]


@pytest.mark.parametrize("semitones", range(-12, 25, 5))
def test_a_tone_is_in_its_class_and_no_other(semitones: int) -> None:
    classes = chroma(tone(440 * 2 ** (semitones / 12))[0], RATE_HZ).values[:, 2:-2]
    expected = (A_440 + semitones) % 12
    assert (classes.argmax(axis=0) == expected).all()
    others = np.delete(classes, [expected - 1, expected, (expected + 1) % 12], axis=0)
    assert others.max() < 0.3


def test_silence_has_no_class() -> None:
    quiet = np.concatenate([tone(440.0), np.zeros_like(tone(440.0))], axis=1)
    classes = chroma(quiet[0], RATE_HZ).values
    assert classes[A_440, 5] == 1
    assert classes[:, -10:].max() == 0


def test_a_melody_is_followed_or_not() -> None:
    notes = [440.0, 523.25, 659.26, 293.66]
    melody = np.concatenate([tone(hz, 1.0)[0] for hz in notes])
    other = np.concatenate([tone(hz * 2 ** (1 / 12), 1.0)[0] for hz in notes])
    octave_up = np.concatenate([tone(hz * 2, 1.0, phase=1.0)[0] for hz in notes])
    heard = chroma(melody, RATE_HZ)
    assert agreement(chroma(octave_up, RATE_HZ, heard.step_s), heard) == pytest.approx(1, abs=0.1)
    assert agreement(chroma(other, RATE_HZ, heard.step_s), heard) == pytest.approx(0, abs=0.1)
    rests = chroma(np.zeros(RATE_HZ, np.float32), RATE_HZ, heard.step_s)
    assert agreement(heard, rests) is None


def test_a_peak_between_samples_is_found() -> None:
    # At a quarter of the rate and 45°, no sample comes nearer than 3 dB to the crest.
    wave = tone(RATE_HZ / 4, 3.0, level=1.0, phase=math.pi / 4)
    assert 20 * math.log10(np.abs(wave).max()) == pytest.approx(-3.01, abs=0.01)
    assert true_peak_dbfs(wave) == pytest.approx(0.0, abs=0.1)
    assert true_peak_dbfs(tone(440.0, level=0.5)) == pytest.approx(-6.02, abs=0.05)
    assert true_peak_dbfs(np.zeros((2, 1000), np.float32)) == -np.inf
    long = np.zeros((1, 3 * analysis.PIECE), np.float32)
    long[0, 2 * analysis.PIECE - 1] = 0.9
    assert true_peak_dbfs(long) == pytest.approx(20 * math.log10(0.9), abs=0.01)


def test_a_tone_is_bright_at_its_pitch() -> None:
    for hz in (200.0, 1000.0, 6000.0):
        shown = analyse(tone(hz), RATE_HZ)["spectrogram"]
        shades = np.frombuffer(base64.b64decode(shown["values"]), np.uint8)
        picture = shades.reshape(shown["n_bands"], shown["n_columns"])
        brightest = int(picture[:, 5:-5].mean(axis=1).argmax())
        near = np.abs(np.array(shown["hz"]) - hz).argmin()
        assert brightest == pytest.approx(int(near), abs=1)
        assert picture.max() == 255


@pytest.mark.parametrize(
    "samples",
    [chord(3.0, 2), chord(0.01), np.zeros((1, RATE_HZ), np.float32), chord(90.0)],
    ids=["stereo", "short", "silence", "long"],
)
def test_every_piece_fits_the_page(samples: np.ndarray) -> None:
    made = analyse(samples, RATE_HZ, (samples, RATE_HZ))
    assert len(json.dumps(made, allow_nan=False)) < 300_000
    duration_s = samples.shape[1] / RATE_HZ
    assert made["duration_s"] == pytest.approx(duration_s, abs=1e-3)
    assert made["channels"] == len(made["peaks"]["channels"]) == samples.shape[0]
    n_peaks = len(made["peaks"]["channels"][0])
    assert n_peaks <= analysis.MAX_PEAKS
    assert n_peaks * made["peaks"]["step_s"] == pytest.approx(duration_s, rel=0.01)
    assert made["peaks"]["channels"][0][0] <= 1
    for name, columns in (("chroma", len(made["chroma"]["values"][0])),
                          ("spectrogram", made["spectrogram"]["n_columns"])):  # fmt: skip
        assert columns <= 800
        assert columns * made[name]["step_s"] == pytest.approx(duration_s, abs=made[name]["step_s"])
    followed = made["melody"]["agreement"]
    assert followed == (1.0 if np.abs(samples).max() > 0 else None)
    assert (made["loudness_lufs"] is None) == (np.abs(samples).max() == 0)
    assert made["loudness"]["lufs"][0] >= -70
