"""Rates and channels."""

from __future__ import annotations

import numpy as np
import pytest

from fanfare.audio.resample import resample, to_channels
from sounds import chord


@pytest.mark.parametrize("from_hz", [8000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_keeps_its_pitch_and_level(from_hz: int, channels: int) -> None:
    time_s = np.arange(from_hz) / from_hz
    tone = np.sin(2 * np.pi * 440 * time_s).astype(np.float32)
    made = resample(np.repeat(tone[None], channels, axis=0), from_hz, 32000)
    assert made.shape == (channels, 32000)
    assert made.dtype == np.float32
    expected = np.sin(2 * np.pi * 440 * np.arange(32000) / 32000)
    np.testing.assert_allclose(made[-1, 2000:-2000], expected[2000:-2000], atol=1e-3)


def test_equal_rates_change_nothing() -> None:
    samples = chord(0.1)
    assert resample(samples, 32000, 32000) is samples


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    tone = np.sin(2 * np.pi * 20_000 * np.arange(48_000) / 48_000).astype(np.float32)[None]
    assert np.abs(resample(tone, 48_000, 32_000)[:, 1000:-1000]).max() < 1e-3


def test_channels() -> None:
    stereo = np.array([[1.0, 0.0], [0.0, 0.5]], np.float32)
    np.testing.assert_array_equal(to_channels(stereo, 1), [[0.5, 0.25]])
    np.testing.assert_array_equal(to_channels(stereo[:1], 2), [[1.0, 0.0], [1.0, 0.0]])
    assert to_channels(stereo, 2) is stereo
