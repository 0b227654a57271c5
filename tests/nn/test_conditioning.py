"""Plans: alignment, edges, standardisation; the null conditions."""

from __future__ import annotations

import torch

from fanfare.nn.conditioning import PlanEncoder, align_frames
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel

CONFIG = LmConfig(n_codebooks=2, card=16, dim=32, n_heads=4, n_layers=1, ffn_dim=64, delays=(0, 1))


def build(**changes: object) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(LmConfig.from_dict({**CONFIG.to_dict(), **changes})).eval()


def test_a_frame_sees_its_context_and_no_further() -> None:
    encoder = PlanEncoder(3, 2, 8)
    plan = torch.randn(1, 12, 3)
    changed = plan.clone()
    changed[:, 6] += 1
    differs = (encoder(plan) != encoder(changed)).any(dim=-1)[0]
    assert differs.nonzero()[:, 0].tolist() == [4, 5, 6, 7, 8]


def test_the_edge_frame_is_repeated_beyond_the_edge() -> None:
    encoder = PlanEncoder(3, 2, 8)
    plan = torch.randn(1, 5, 3)
    longer = torch.cat([plan[:, :1], plan[:, :1], plan, plan[:, -1:], plan[:, -1:]], dim=1)
    torch.testing.assert_close(encoder(plan), encoder(longer)[:, 2:-2])


def test_standardised_features_are_what_counts() -> None:
    encoder, scaled = PlanEncoder(3, 2, 8), PlanEncoder(3, 2, 8)
    scaled.load_state_dict(encoder.state_dict())
    scaled.mean += 5
    scaled.std *= 2
    plan = torch.randn(1, 5, 3)
    torch.testing.assert_close(encoder(plan), scaled(plan * 2 + 5), atol=1e-5, rtol=1e-5)


def test_frames_are_aligned_with_the_step_that_predicts_them() -> None:
    frames = torch.arange(3.0)[:, None]  # [T, 1]
    assert align_frames(frames, 7)[:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2]
    assert align_frames(frames, 2)[:, 0].tolist() == [0, 1]


def test_no_plan_is_the_null_vector() -> None:
    lm = build(plan_features=3)
    assert lm.plan is not None
    torch.nn.init.normal_(lm.plan.null_vector)
    frames = lm.conditions().frames
    assert frames is not None
    assert torch.equal(frames[0], lm.plan.null_vector)
    null = lm.null_conditions(lm.conditions(plan=torch.randn(9, 3)))
    assert torch.equal(align_frames(null.frames, 4), lm.plan.null_vector.expand(4, -1))


def test_no_text_is_a_zero_vector_however_it_is_fused() -> None:
    cross = build(text_dim=6, text_fusion="cross")
    assert torch.equal(cross.conditions().cross, torch.zeros(1, 32))
    prefix = build(text_dim=6, text_fusion="prefix", n_chroma=12, chroma_length=5)
    conditions = prefix.conditions(text=torch.randn(4, 6))
    assert conditions.prefix is not None
    assert conditions.prefix.shape == (9, 32)
    null = prefix.null_conditions(conditions).prefix
    assert torch.equal(null[5:], torch.zeros(4, 32))
    # "No melody" is the first pitch class throughout, which isn't zero.
    assert torch.equal(null[:5], conditions.prefix[:5])
    assert null[:5].any()
