"""The language model: shapes, causality, the window, positions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel

TINY = LmConfig(
    n_codebooks=4, card=16, dim=32, n_heads=4, n_layers=2, ffn_dim=64, delays=(0, 1, 2, 3)
)
WINDOWED = replace(TINY, positions="rope", past_context=5, plan_features=6, plan_context=2)


def build(config: LmConfig) -> LanguageModel:
    torch.manual_seed(0)
    lm = LanguageModel(config)
    lm.initialise()
    return lm.eval()


def random_tokens(config: LmConfig, n_rows: int = 2, n_steps: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(config.card + 1, (n_rows, 4, n_steps), generator=generator)


@pytest.mark.parametrize("config", [TINY, WINDOWED], ids=["sin", "rope window"])
def test_forward_never_sees_the_future(config: LmConfig) -> None:
    lm, tokens = build(config), random_tokens(config)
    before = lm(tokens)
    assert before.shape == (2, 4, 12, config.card)
    tokens[:, :, 8] = (tokens[:, :, 8] + 1) % config.card
    after = lm(tokens)
    torch.testing.assert_close(before[:, :, :8], after[:, :, :8])
    assert not torch.allclose(before[:, :, 8], after[:, :, 8])


def test_the_window_forgets_what_lies_behind_it() -> None:
    lm, tokens = build(WINDOWED), random_tokens(WINDOWED)
    before = lm(tokens)
    tokens[:, :, 0] = (tokens[:, :, 0] + 1) % WINDOWED.card
    after = lm(tokens)
    # Each of the two layers looks 4 steps back, so step 0 reaches as far as step 8.
    assert not torch.allclose(before[:, :, 8], after[:, :, 8])
    torch.testing.assert_close(before[:, :, 9:], after[:, :, 9:])


def test_rope_depends_on_distance_alone() -> None:
    lm, tokens = build(WINDOWED), random_tokens(WINDOWED)
    torch.testing.assert_close(lm(tokens), lm(tokens, position_offset=100), atol=1e-4, rtol=1e-4)


def test_position_offsets_may_differ_by_row() -> None:
    lm, tokens = build(TINY), random_tokens(TINY)
    logits = lm(tokens, position_offset=torch.tensor([0, 7]))
    torch.testing.assert_close(logits[:1], lm(tokens[:1]))
    torch.testing.assert_close(logits[1:], lm(tokens[1:], position_offset=7))


def test_prefix_and_frames_change_the_logits_but_not_their_shape() -> None:
    lm, tokens = build(WINDOWED), random_tokens(WINDOWED)
    plain = lm(tokens)
    assert lm.plan is not None
    frames = lm.plan(torch.randn(2, 12, 6))
    for logits in (lm(tokens, frames=frames), lm(tokens, prefix=torch.randn(2, 3, 32))):
        assert logits.shape == plain.shape
        assert not torch.allclose(logits, plain)


def test_training_under_bfloat16_keeps_float32_logits_and_reaches_every_weight() -> None:
    lm, tokens = build(WINDOWED), random_tokens(WINDOWED)
    assert lm.plan is not None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        frames = lm.plan(torch.randn(2, 12, 6)) + lm.plan.null(2, 12)
        logits = lm(tokens, frames=frames)
    assert logits.dtype == torch.float32
    logits.logsumexp(-1).mean().backward()
    missing = [name for name, p in lm.named_parameters() if p.grad is None]
    assert missing == []


def test_config_survives_a_round_trip_and_refuses_strangers() -> None:
    assert LmConfig.from_dict(WINDOWED.to_dict()) == WINDOWED
    with pytest.raises(ValueError, match="unknown keys depth"):
        LmConfig.from_dict({**TINY.to_dict(), "depth": 3})
    with pytest.raises(ValueError, match="one entry per codebook"):
        replace(TINY, delays=(0, 1))
