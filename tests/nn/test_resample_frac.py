"""Resampling against what julius 0.2.8 made of the same samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fanfare.nn.resample import BLOCK, has_simple_ratio, resample_frac

GOLDEN = Path(__file__).parent.parent / "golden" / "julius.npz"


@pytest.mark.parametrize("name", [
    "44100-32000", "48000-32000", "22050-32000", "11025-32000", "96000-32000",
    "32000-44100", "44100-48000",
])  # fmt: skip
def test_samples_equal_julius(name: str) -> None:
    from_hz, to_hz = map(int, name.split("-"))
    with np.load(GOLDEN) as arrays:
        made = resample_frac(torch.from_numpy(arrays["wav"]), from_hz, to_hz)
        np.testing.assert_allclose(made.numpy(), arrays[name], atol=1e-6)


def test_lengths_equal_julius() -> None:
    """Among them some that single precision rounds up to the next sample."""
    with np.load(GOLDEN) as arrays:
        lengths = arrays["lengths"]
    rounded_up = 0
    for from_hz, to_hz, n_samples, expected in lengths.tolist():
        assert resample_frac(torch.zeros(1, n_samples), from_hz, to_hz).shape == (1, expected)
        rounded_up += expected > n_samples * to_hz // from_hz
    assert rounded_up


def test_a_tone_stays_a_tone_across_blocks() -> None:
    def tone(rate_hz: int, n_samples: int) -> torch.Tensor:
        return torch.sin(torch.arange(n_samples).double() * (2 * torch.pi * 1000 / rate_hz)).float()

    N = 2 * BLOCK + 1234
    made = resample_frac(tone(44100, N)[None], 44100, 32000)[0]
    error = (made - tone(32000, made.shape[0])).abs()
    assert error[100:-100].max() < 1e-3


def test_what_is_at_the_rate_already_is_left_alone() -> None:
    wav = torch.randn(2, 50)
    assert torch.equal(resample_frac(wav, 32000, 32000), wav)


def test_usual_rates_are_taken_and_odd_ones_are_not() -> None:
    usual = (8000, 11025, 16000, 22050, 24000, 44100, 48000, 88200, 96000, 176400, 192000)
    assert all(has_simple_ratio(rate_hz, 32000) for rate_hz in usual)
    assert not any(has_simple_ratio(rate_hz, 32000) for rate_hz in (31999, 44099, 44056, 48001))
