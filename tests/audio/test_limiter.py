"""The limiter's promise: no peak above the ceiling, and nothing changed far from one."""

from __future__ import annotations

import numpy as np
import pytest

from fanfare.audio.limiter import _sliding_mean, _sliding_min, limit
from sounds import RATE_HZ, chord


@pytest.mark.parametrize("seed", range(5))
def test_no_peak_passes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((2, 20_000)).astype(np.float32)
    samples[:, rng.integers(0, 20_000, 9)] *= 30
    made = limit(samples, RATE_HZ, 0.9)
    assert np.abs(made).max() <= 0.9


def test_what_stays_below_is_untouched() -> None:
    samples = chord(0.5)
    assert limit(samples, RATE_HZ, 0.9) is samples


def test_far_from_a_peak_nothing_changes() -> None:
    samples = chord(1.0)
    samples[0, 16_000] = 3.0
    made = limit(samples, RATE_HZ, 0.9)
    np.testing.assert_array_equal(made[0, :14_000], samples[0, :14_000])
    np.testing.assert_array_equal(made[0, 18_000:], samples[0, 18_000:])


def test_both_channels_share_the_gain() -> None:
    samples = chord(0.5, 2)
    samples[0, 8000] = 2.0
    made = limit(samples, RATE_HZ, 0.5)
    near = slice(7900, 7990)
    np.testing.assert_allclose(made[0, near] / samples[0, near], made[1, near] / samples[1, near],
                               rtol=1e-4)  # fmt: skip


@pytest.mark.parametrize("reach", [1, 7, 300])
@pytest.mark.parametrize("n", [1, 2, 50, 1000])
def test_sliding_windows(reach: int, n: int) -> None:
    values = np.random.default_rng(n).random(n)
    windows = [range(i - reach, i + reach + 1) for i in range(n)]
    clamped = [[values[min(max(j, 0), n - 1)] for j in window] for window in windows]
    np.testing.assert_array_equal(_sliding_min(values, reach), [min(w) for w in clamped])
    np.testing.assert_allclose(_sliding_mean(values, reach), [np.mean(w) for w in clamped])


def test_long_sound_is_limited_in_pieces_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    envelope = np.repeat(rng.uniform(0.2, 1.5, 60), RATE_HZ // 15)
    samples = (rng.uniform(-1, 1, (2, envelope.size)) * envelope).astype(np.float32)
    whole = limit(samples, RATE_HZ, 0.9)
    monkeypatch.setattr("fanfare.audio.limiter.PIECE_S", 1)
    in_pieces = limit(samples, RATE_HZ, 0.9)
    assert np.abs(whole).max() > 0.85
    np.testing.assert_allclose(in_pieces, whole, atol=1e-6)
