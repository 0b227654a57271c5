"""Running over a cache, in whatever pieces, equals running the whole at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel

S = 40
SIN = LmConfig(n_codebooks=2, card=16, dim=32, n_heads=4, n_layers=2, ffn_dim=64, delays=(0, 1))
CASES = {
    "sin": SIN,
    "rope": replace(SIN, positions="rope"),
    "rope window": replace(SIN, positions="rope", past_context=4),
    "sin window": replace(SIN, past_context=7),
    "text": replace(SIN, text_dim=8, text_fusion="cross"),
}


def build(config: LmConfig) -> LanguageModel:
    torch.manual_seed(0)
    lm = LanguageModel(config)
    lm.initialise()
    return lm.eval()


def random_tokens(n_rows: int) -> Tensor:
    return torch.randint(17, (n_rows, 2, S), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pieces", [[1] * S, [10] + [1] * 30, [S], [7, 5, 1, 1, 20, 6]])
@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
@torch.inference_mode()
def test_cached_equals_full(config: LmConfig, pieces: list[int]) -> None:
    lm, tokens = build(config), random_tokens(2)
    cross = torch.randn(2, 3, 32) if config.text_dim else None
    mask = torch.tensor([[True, True, False], [True, True, True]]) if config.text_dim else None
    full = lm(tokens, cross, mask)
    cache = lm.new_cache(S, max(pieces), [0, 0], cross, mask)
    logits = [
        lm.read_out(lm.extend(lm.embed(piece, None, None), cache))
        for piece in tokens.split(pieces, dim=-1)
    ]
    torch.testing.assert_close(torch.cat(logits, dim=2), full, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
@torch.inference_mode()
def test_padding_on_the_left_changes_nothing(config: LmConfig) -> None:
    lm, tokens = build(config), random_tokens(2)
    pads = [0, 6]
    tokens[1] = tokens[1].roll(6, dims=-1)
    cache = lm.new_cache(S, 10, pads)
    logits = [
        lm.read_out(lm.extend(lm.embed(piece, None, None), cache))
        for piece in tokens.split([10] + [1] * 30, dim=-1)
    ]
    padded = torch.cat(logits, dim=2)
    torch.testing.assert_close(padded[:1], lm(tokens[:1]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(padded[1:, :, 6:], lm(tokens[1:, :, 6:]), atol=1e-5, rtol=1e-4)


def test_a_window_bounds_the_memory() -> None:
    cache = build(CASES["rope window"]).new_cache(100_000, 3, [0])
    assert cache.n_slots == 3 + 4 * 4
