"""Oscillators beside a codec's transform: on pitch, steady, and found again in what they play."""

from __future__ import annotations

import math

import pytest
import torch

from fanfare.epic.peaks import EDGE_FRAMES, partials_loss, peaks
from fanfare.nn.partials import (
    FLOOR,
    Partials,
    PartialsConfig,
    amplitudes,
    frequencies,
    played,
)

HOP, RATE_HZ = 640, 32000
CONFIG = PartialsConfig()


def steady(*tones: tuple[int, float], n_frames: int = 40) -> torch.Tensor:
    """Amplitudes [1, T, n] of a few oscillators."""
    amplitude = torch.zeros(1, n_frames, CONFIG.n)
    for i, level in tones:
        amplitude[:, :, i] = level
    return amplitude


def test_oscillators_are_as_far_apart_as_they_say() -> None:
    hz = frequencies(CONFIG)
    assert hz[0].item() == pytest.approx(CONFIG.lowest_hz)
    assert hz[72].item() == pytest.approx(2 * CONFIG.lowest_hz)
    assert hz[-1].item() == pytest.approx(CONFIG.highest_hz)


@pytest.mark.parametrize("i", [0, 71, 199])
def test_an_oscillator_is_a_sine_of_its_frequency_and_level(i: int) -> None:
    wav = played(steady((i, 0.3)), CONFIG, HOP, RATE_HZ)[0, HOP:-HOP].double()
    t = torch.arange(len(wav)).double() * 2 * math.pi * frequencies(CONFIG)[i] / RATE_HZ
    fit = torch.stack([t.cos(), t.sin()], dim=1)
    solution = torch.linalg.lstsq(fit, wav[:, None]).solution
    assert solution.norm().item() == pytest.approx(0.3, rel=1e-4)
    assert (fit @ solution - wav[:, None]).abs().max().item() < 1e-4


@pytest.mark.parametrize("first", [0, 1, 17, 30_000])
def test_parts_are_what_the_whole_has_there(first: int) -> None:
    torch.manual_seed(first)
    amplitude = torch.rand(1, 30, CONFIG.n) * 0.01
    whole = played(amplitude, CONFIG, HOP, RATE_HZ, first)
    part = played(amplitude[:, 9:], CONFIG, HOP, RATE_HZ, first + 9)
    torch.testing.assert_close(part[:, HOP:], whole[:, 10 * HOP :], atol=1e-6, rtol=0)


def test_ten_minutes_on_it_is_in_tune_still() -> None:
    wav = played(steady((150, 0.3)), CONFIG, HOP, RATE_HZ, 30_000)[0, HOP:-HOP].double()
    samples = torch.arange(len(wav)) + 30_001 * HOP
    turns = frequencies(CONFIG)[150] / RATE_HZ * samples + 150 * 0.6180339887498949
    # The window of frame 0 begins half a frame before it: phases count from there.
    expected = 0.3 * torch.cos(2 * math.pi * turns)
    torch.testing.assert_close(wav, expected, atol=1e-5, rtol=0)


def test_of_neighbours_the_likelier_sounds_for_both() -> None:
    logits = torch.full((1, 1, 5), -30.0)
    logits[0, 0, 1:3] = torch.tensor([0.0, -1.0])
    loudness = torch.ones(1, 1, 5)
    level = amplitudes(logits, loudness)[0, 0] / (FLOOR * math.e)
    both = 0.5 + 1 / (1 + math.e)
    assert level[1].item() == pytest.approx(both, rel=1e-5)
    assert level[2].item() == 0
    logits[0, 0, 2] = 0.0
    tied = amplitudes(logits, loudness)[0, 0]
    assert tied[1] == tied[2]


def test_a_likelihood_of_nearly_nothing_is_no_sound() -> None:
    level = amplitudes(torch.full((1, 2, 8), -200.0), torch.full((1, 2, 8), 1e4))
    assert level.isfinite().all()
    assert level.max() < 1e-6


def test_peaks_are_found_where_oscillators_play() -> None:
    torch.manual_seed(1)
    tones = ((20, 0.1), (60, 0.02), (61 + 24, 0.05), (180, 0.01))
    wav = played(steady(*tones, n_frames=60), CONFIG, HOP, RATE_HZ)
    found = peaks(wav + 1e-5 * torch.randn_like(wav), CONFIG)[0, EDGE_FRAMES:-EDGE_FRAMES]
    for i, level in tones:
        loudness = math.log(level / FLOOR)
        assert (found[:, i] - loudness).abs().max() < 0.05, i
        found[:, i] = 0
    assert not found.any()


def test_noise_has_few_peaks_and_silence_none() -> None:
    torch.manual_seed(2)
    assert (peaks(0.1 * torch.randn(1, HOP * 40), CONFIG) > 0).float().mean() < 0.02
    assert not peaks(torch.zeros(1, HOP * 40), CONFIG).any()


def test_what_sounds_is_learned() -> None:
    torch.manual_seed(3)
    partials = Partials(PartialsConfig(hidden=32), width=4, hop=HOP, sample_rate_hz=RATE_HZ)
    heard = torch.eye(4)[torch.arange(40) // 10][None]  # four states, ten frames each
    loudness = torch.zeros(1, 40, CONFIG.n)
    for state, i in enumerate((10, 50, 90, 130)):
        loudness[0, 10 * state : 10 * state + 10, i] = 5.0 + state
    optimizer = torch.optim.Adam(partials.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        partials_loss(*partials.says(heard), loudness).backward()
        optimizer.step()
    logits, said = partials.says(heard)
    middle = slice(EDGE_FRAMES, -EDGE_FRAMES)
    assert torch.equal(logits[:, middle] > 0, loudness[:, middle] > 0)
    distance = (said - loudness)[loudness > 0].abs()
    assert distance.max() < 0.3
    assert not partials(heard).requires_grad


def test_partials_are_amplified_from_a_frequency_on() -> None:
    torch.manual_seed(4)
    partials = Partials(PartialsConfig(1000.0, 12, 25, 8), width=4, hop=HOP, sample_rate_hz=RATE_HZ)
    heard = torch.randn(1, 3, 4)
    before = amplitudes(*partials.says(heard))
    partials.amplify(((0.0, -6.0), (1999.0, 20.0)))
    after = amplitudes(*partials.says(heard))
    torch.testing.assert_close(after[..., :12], before[..., :12] * 10**-0.3)
    torch.testing.assert_close(after[..., 12:], before[..., 12:] * 10)
