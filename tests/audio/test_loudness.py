"""Levels: against a peer's expected values, against the standard, and at the edges."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest

from fanfare.audio.loudness import (
    TARGET_LUFS,
    loudness_lufs,
    momentary_lufs,
    normalize,
    peak_dbfs,
    short_term_lufs,
)
from fanfare.inputs import NormalizationStrategy
from sounds import chord

RATE_HZ = 32000
CEILING = 10 ** (-1 / 20)
STRATEGIES: tuple[NormalizationStrategy, ...] = get_args(NormalizationStrategy)
with np.load(Path(__file__).parent.parent / "golden" / "normalize.npz") as arrays:
    GOLDEN = dict(arrays)
Samples = npt.NDArray[np.float32]


def golden_input(name: str) -> Samples:
    """The signals that the expected gains were measured on; two are made from the first."""
    if name == "loud":
        made: Samples = (GOLDEN["music/input"] * 10).clip(-1.5, 1.5)
        return made
    if name == "quiet":
        return (GOLDEN["music/input"] / 3000).astype(np.float32)
    return np.asarray(GOLDEN[f"{name}/input"])


@pytest.mark.parametrize("name", ["music", "loud", "quiet", "stereo", "noise"])
@pytest.mark.parametrize("strategy", ["peak", "rms"])
def test_peak_and_rms_as_expected(name: str, strategy: NormalizationStrategy) -> None:
    samples = golden_input(name)
    expected = samples * GOLDEN[f"{name}/{strategy}"]
    np.testing.assert_allclose(normalize(samples, RATE_HZ, strategy), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["music", "loud", "quiet", "stereo", "noise"])
def test_loudness_as_expected(name: str) -> None:
    samples = golden_input(name)
    made = normalize(samples, RATE_HZ, "loudness")
    gain_db = 20 * np.log10(np.abs(made).max() / np.abs(samples).max())
    assert gain_db == pytest.approx(20 * np.log10(GOLDEN[f"{name}/loudness"]), abs=0.1)


def test_clip_cuts_off_at_minus_one_dbfs() -> None:
    samples = golden_input("loud")
    np.testing.assert_allclose(
        normalize(samples, RATE_HZ, "clip"), samples.clip(-CEILING, CEILING), atol=1e-6
    )


@pytest.mark.parametrize(("hz", "level_dbfs", "expected_lufs"), [
    (997.0, -23.0, -26.0), (997.0, -40.0, -43.0), (100.0, -20.0, -24.83), (5000.0, -20.0, -19.7),
])  # fmt: skip
@pytest.mark.parametrize("rate_hz", [32000, 44100, 48000])
def test_sines_measure_as_the_standard_says(
    rate_hz: int, hz: float, level_dbfs: float, expected_lufs: float
) -> None:
    # BS.1770: a full-scale sine of 997 Hz in one channel is at -3.01 LKFS.
    sine = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * np.arange(5 * rate_hz) / rate_hz)
    loudness = loudness_lufs(sine[None].astype(np.float32), rate_hz)
    assert loudness == pytest.approx(expected_lufs, abs=0.15)


def test_two_channels_are_3_lu_louder_than_one() -> None:
    one = chord(2.0)
    both = np.repeat(one, 2, axis=0)
    gained = loudness_lufs(both, RATE_HZ) - loudness_lufs(one, RATE_HZ)
    assert gained == pytest.approx(3.01, abs=0.01)


def test_pauses_are_gated_out() -> None:
    sound = chord(3.0)
    paused = np.concatenate([sound, np.zeros((1, 5 * RATE_HZ), np.float32)], axis=1)
    assert loudness_lufs(paused, RATE_HZ) == pytest.approx(loudness_lufs(sound, RATE_HZ), abs=0.5)


def test_long_pieces_are_measured_as_a_whole() -> None:
    # Longer than the pieces that the filter works in: a level step beyond their border counts.
    quiet, loud = chord(31.0) * 0.3, chord(31.0)
    whole = loudness_lufs(np.concatenate([quiet, loud], axis=1), RATE_HZ)
    powers = [10 ** (loudness_lufs(part, RATE_HZ) / 10) for part in (quiet, loud)]
    assert whole == pytest.approx(10 * np.log10(np.mean(powers)), abs=0.2)
    assert momentary_lufs(loud, RATE_HZ).size == 307


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("gain", [0.05, 0.5, 1.0, 4.0])
def test_loudness_reaches_its_target_without_clipping(channels: int, gain: float) -> None:
    samples = chord(4.0, channels) * np.float32(gain)
    made = normalize(samples, RATE_HZ, "loudness")
    assert loudness_lufs(made, RATE_HZ) == pytest.approx(TARGET_LUFS, abs=0.3)
    assert np.abs(made).max() <= CEILING + 1e-6


def struck() -> Samples:
    """A soft tone with drum strokes far above it, four a second."""
    samples = chord(6.0) * np.float32(0.3)
    stroke = np.exp(-np.arange(4000) / 400) * np.sin(np.arange(4000) / 8)
    for start in range(1000, samples.shape[1] - 4000, RATE_HZ // 4):
        samples[0, start : start + 4000] += (0.8 * stroke).astype(np.float32)
    return samples


def test_strokes_are_turned_down_not_cut_off() -> None:
    samples = struck()
    made = normalize(samples, RATE_HZ, "loudness")
    assert loudness_lufs(made, RATE_HZ) == pytest.approx(TARGET_LUFS, abs=1.0)
    peak = np.abs(made).max()
    assert peak <= CEILING + 1e-6
    # A cut leaves runs of samples at the ceiling; turned down, the wave keeps its round tops.
    at_ceiling = np.abs(made[0]) > 0.9999 * peak
    assert not (at_ceiling[1:] & at_ceiling[:-1] & (np.abs(np.diff(made[0])) < 1e-7)).any()
    gain = made[0] / np.where(np.abs(samples[0]) > 0.05, samples[0], np.nan)
    steps = np.abs(np.diff(gain))
    assert np.nanmax(steps) < 0.02 * np.nanmax(gain)


def test_even_clicks_stay_below_the_ceiling() -> None:
    samples = chord(3.0) * np.float32(0.01)
    samples[0, ::RATE_HZ] = 1.0
    made = normalize(samples, RATE_HZ, "loudness")
    assert np.isfinite(made).all()
    assert np.abs(made).max() <= CEILING + 1e-6


def test_rms_does_not_clip() -> None:
    samples = chord(3.0) * np.float32(0.05)
    samples[0, 5000:5100] = 0.9
    made = normalize(samples, RATE_HZ, "rms")
    assert np.abs(made).max() <= 1.0
    assert np.ptp(made[0, 5020:5080]) < 0.3  # the pulse is turned down as a whole


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((1, RATE_HZ), np.float32),
        np.zeros((2, RATE_HZ), np.float32),
        np.zeros((1, 0), np.float32),
        np.zeros((1, 1), np.float32),
        np.full((1, 100), 0.5, np.float32),
        np.full((1, RATE_HZ), 1e-38, np.float32),
        np.full((1, RATE_HZ), 1e-5, np.float32),
        np.array([[0.3] * RATE_HZ, [-0.3] * RATE_HZ], np.float32),
        chord(0.05),
    ],
    ids=["silence", "stereo", "empty", "one", "short", "denormal", "faint", "opposite", "blip"],
)
def test_nothing_gives_nan(strategy: NormalizationStrategy, samples: Samples) -> None:
    with np.errstate(all="raise", under="ignore"):
        made = normalize(samples, RATE_HZ, strategy)
    assert made.dtype == np.float32
    assert made.shape == samples.shape
    assert np.isfinite(made).all()
    assert np.abs(made).max(initial=0) <= 1.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_silence_stays_silence(strategy: NormalizationStrategy) -> None:
    assert not normalize(np.zeros((1, RATE_HZ), np.float32), RATE_HZ, strategy).any()


def test_levels_of_silence() -> None:
    silence = np.zeros((1, RATE_HZ), np.float32)
    assert loudness_lufs(silence, RATE_HZ) == -np.inf
    assert peak_dbfs(silence) == -np.inf
    assert peak_dbfs(np.array([[0.5, -1.0]], np.float32)) == 0.0


def test_short_term_loudness_follows_a_step_within_three_seconds() -> None:
    soft, loud = tone(-40.0, 6.0), tone(-20.0, 6.0)
    made = short_term_lufs(np.concatenate([soft, loud], axis=1), RATE_HZ)
    assert made.size == 10 * (12 - 3) + 1
    assert made[:30] == pytest.approx(-43.0, abs=0.1)
    assert made[61:] == pytest.approx(-23.0, abs=0.1)
    # Half of a block at the louder level, the rest a hundredth of its power.
    assert made[45] == pytest.approx(-23.0 + 10 * np.log10(0.5 * 1.01), abs=0.1)


def tone(level_dbfs: float, duration_s: float) -> Samples:
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    sine = 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * 997.0 * time_s)
    return sine[None].astype(np.float32)
