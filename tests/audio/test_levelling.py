"""Levels that move along while a piece is made, and the limiter that looks ahead."""

from __future__ import annotations

import numpy as np
import pytest

from fanfare.audio.io import Samples
from fanfare.audio.levelling import SLEW_DB_PER_S, TYPICAL_LUFS, RunningLevel
from fanfare.audio.limiter import StreamLimiter, limit
from fanfare.audio.loudness import (
    CEILING_DBFS,
    TARGET_LUFS,
    TARGET_RMS_DBFS,
    loudness_lufs,
    normalize,
    ratio,
)
from fanfare.inputs import NormalizationStrategy

RATE_HZ = 32000
STRATEGIES: list[NormalizationStrategy] = ["loudness", "rms", "peak", "clip"]


def noise(duration_s: float, level_lufs: float, channels: int = 1, seed: int = 0) -> Samples:
    made = np.random.default_rng(seed).normal(size=(channels, int(duration_s * RATE_HZ)))
    return scaled(made.astype(np.float32), level_lufs)


def scaled(samples: Samples, level_lufs: float) -> Samples:
    gain = ratio(level_lufs - loudness_lufs(samples, RATE_HZ))
    return (samples * gain).astype(np.float32)


def in_chunks(samples: Samples, lengths: list[int]) -> list[Samples]:
    return np.split(samples, np.cumsum(lengths), axis=1)


def levelled(
    samples: Samples, strategy: NormalizationStrategy, lengths: list[int] | None = None
) -> Samples:
    level = RunningLevel(samples.shape[0], RATE_HZ, strategy)
    *chunks, last = in_chunks(samples, lengths or [])
    made = [level.push(chunk) for chunk in chunks]
    return np.concatenate([*made, level.push(last, is_last=True)], axis=1)


def some_lengths(n: int, seed: int) -> list[int]:
    lengths = np.random.default_rng(seed).integers(0, RATE_HZ, 200)
    return lengths[np.cumsum(lengths) < n].tolist()


@pytest.mark.parametrize("channels", [1, 2])
def test_the_limiter_gives_what_it_gives_at_once(channels: int) -> None:
    samples = noise(5.0, -8.0, channels)
    assert np.abs(samples).max() > 0.8
    for seed, n in [(1, 5 * RATE_HZ), (2, 700), (3, 961)]:
        limiter = StreamLimiter(channels, RATE_HZ, 0.5)
        *chunks, last = in_chunks(samples[:, :n], some_lengths(n, seed))
        made = [limiter.push(chunk) for chunk in chunks] + [limiter.push(last, is_last=True)]
        expected = limit(samples[:, :n], RATE_HZ, 0.5)
        np.testing.assert_allclose(np.concatenate(made, axis=1), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chunks_make_no_difference(strategy: NormalizationStrategy, channels: int) -> None:
    samples = noise(6.3, -25.0, channels) * np.linspace(0.1, 4, int(6.3 * RATE_HZ), dtype="f4")
    at_once = levelled(samples, strategy)
    assert at_once.shape == samples.shape
    assert at_once.dtype == np.float32
    lengths = some_lengths(samples.shape[1], 4)
    np.testing.assert_allclose(levelled(samples, strategy, lengths), at_once, rtol=0, atol=1e-6)


def test_clip_is_what_files_have() -> None:
    samples = noise(2.0, -5.0)
    assert (levelled(samples, "clip", [5000, 9000]) == normalize(samples, RATE_HZ, "clip")).all()


@pytest.mark.parametrize("level_lufs", [-35.0, TYPICAL_LUFS, -9.0])
def test_loudness_goes_to_the_target(level_lufs: float) -> None:
    made = levelled(noise(40.0, level_lufs), "loudness", [RATE_HZ] * 39)
    assert abs(loudness_lufs(made[:, -10 * RATE_HZ :], RATE_HZ) - TARGET_LUFS) < 1.0


def test_what_is_typical_is_right_from_the_start() -> None:
    made = levelled(noise(3.0, TYPICAL_LUFS), "loudness")
    assert abs(loudness_lufs(made[:, :RATE_HZ], RATE_HZ) - TARGET_LUFS) < 0.2


def test_rms_goes_to_its_target() -> None:
    made = levelled(noise(40.0, -30.0), "rms", [RATE_HZ] * 39)
    rms_dbfs = 10 * np.log10(np.mean(np.square(made[:, -5 * RATE_HZ :])))
    assert abs(rms_dbfs - TARGET_RMS_DBFS) < 1.0


def test_the_gain_moves_slowly() -> None:
    quiet = np.full((1, 20 * RATE_HZ), 0.01, np.float32) * np.sign(noise(20.0, -40.0))
    made = levelled(quiet, "loudness")
    gains_db = 20 * np.log10(np.abs(made / quiet)[0])
    per_s = np.diff(gains_db[::RATE_HZ])
    assert per_s.max() == pytest.approx(SLEW_DB_PER_S, abs=0.01)
    assert np.abs(np.diff(gains_db)).max() < 2 * SLEW_DB_PER_S / RATE_HZ


@pytest.mark.parametrize("strategy", ["loudness", "peak", "clip"])
def test_no_sample_passes_the_ceiling(strategy: NormalizationStrategy) -> None:
    samples = noise(4.0, -24.0)
    samples[:, 3 * RATE_HZ] = 30.0
    assert np.abs(levelled(samples, strategy, [1000] * 10)).max() <= ratio(CEILING_DBFS)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_silence_and_nothing(strategy: NormalizationStrategy) -> None:
    silence = np.zeros((2, 2 * RATE_HZ), np.float32)
    assert not levelled(silence, strategy, [100]).any()
    assert levelled(silence[:, :0], strategy).shape == (2, 0)
    assert levelled(silence[:, :7], strategy).shape == (2, 7)
