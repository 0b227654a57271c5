"""Draws equal torch.multinomial's; guidance and the cut-offs do what they say."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from fanfare.nn.sampling import (
    BatchSettings,
    SamplingSettings,
    draw,
    draw_each,
    exponential_noise,
    mix_guidance,
)

K, CARD = 4, 300


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_logits(seed: int) -> Tensor:
    return 3 * torch.randn(K, CARD, generator=seeded(seed))


def noise(seed: int) -> Tensor:
    return exponential_noise(torch.empty(K, CARD), seeded(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_plain_draws_are_multinomial(seed: int, temperature: float) -> None:
    logits = random_logits(seed)
    p = torch.softmax(logits / temperature, dim=-1)
    expected = torch.multinomial(p, 1, generator=seeded(seed))[:, 0]
    settings = SamplingSettings(top_k=0, temperature=temperature)
    assert torch.equal(draw(logits, settings, noise(seed)), expected)


@pytest.mark.parametrize("seed", range(5))
def test_top_k_draws_are_multinomial_over_the_k_likeliest(seed: int) -> None:
    logits = random_logits(seed)
    p = torch.softmax(logits, dim=-1)
    kept = torch.topk(p, 20).indices
    cut = torch.zeros_like(p).scatter(1, kept, p.gather(1, kept))
    expected = torch.multinomial(cut / cut.sum(-1, keepdim=True), 1, generator=seeded(seed))[:, 0]
    assert torch.equal(draw(logits, SamplingSettings(top_k=20), noise(seed)), expected)


@pytest.mark.parametrize("seed", range(5))
def test_top_p_draws_are_multinomial_along_the_sorted_axis(seed: int) -> None:
    logits = random_logits(seed)
    p, order = torch.softmax(logits, dim=-1).sort(dim=-1, descending=True)
    p[p.cumsum(-1) - p > 0.8] = 0
    index = torch.multinomial(p / p.sum(-1, keepdim=True), 1, generator=seeded(seed))
    settings = SamplingSettings(top_k=3, top_p=0.8)  # top_k gives way to top_p
    assert torch.equal(draw(logits, settings, noise(seed)), order.gather(1, index)[:, 0])


def test_more_than_there_is_means_all_of_it() -> None:
    logits = random_logits(0)
    everything = draw(logits, SamplingSettings(top_k=0), noise(1))
    assert torch.equal(draw(logits, SamplingSettings(top_k=9 * CARD), noise(1)), everything)


def test_zero_temperature_is_greedy_and_needs_no_noise() -> None:
    logits = random_logits(0)
    assert torch.equal(draw(logits, SamplingSettings(temperature=0), None), logits.argmax(-1))


def test_top_1_is_greedy_whatever_the_noise() -> None:
    logits = random_logits(0)
    assert torch.equal(draw(logits, SamplingSettings(top_k=1), noise(3)), logits.argmax(-1))


def test_guidance_interpolates_and_goes_beyond() -> None:
    cond, null = random_logits(0), random_logits(1)
    torch.testing.assert_close(mix_guidance(cond, null, 0.0), null)
    torch.testing.assert_close(mix_guidance(cond, null, 1.0), cond)
    torch.testing.assert_close(mix_guidance(cond, null, 3.0), 3 * cond - 2 * null)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_job_draws_what_it_would_draw_alone(seed: int, ties: bool) -> None:
    settings = [
        SamplingSettings(*fields)
        for fields in itertools.product(
            (0, 1, 2, 50, CARD - 1, CARD, 9 * CARD), (0.0, 1e-6, 0.5, 0.9, 1.0), (0.0, 0.3, 1.0, 2)
        )
    ]
    J = len(settings)
    logits = 3 * torch.randn(J, K, CARD, generator=seeded(seed))
    if ties:
        logits = logits.round()
    numbers = exponential_noise(torch.empty(J, K, CARD), seeded(seed + 1))
    tokens = draw_each(logits, BatchSettings.of(settings, CARD), numbers)
    for j, one in enumerate(settings):
        assert torch.equal(tokens[j], draw(logits[j], one, numbers[j])), one
