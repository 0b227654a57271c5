"""Weights of half precision: no infinities, and logits close to those of float32."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import Tensor

from fanfare.engine.job import Job, Result
from fanfare.engine.torch_engine import generate
from fanfare.nn.config import LmConfig
from fanfare.nn.delay import DelayPattern
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings
from fanfare.nn.transformer import Layer, can_pack

FLOAT16_MAX = 65504.0
HALVES = [torch.float16, torch.bfloat16]
CONFIG = LmConfig(
    n_codebooks=2, card=32, dim=64, n_heads=2, n_layers=6, ffn_dim=128, delays=(0, 1),
    text_dim=16, text_fusion="cross",
)  # fmt: skip


def make() -> LanguageModel:
    torch.manual_seed(1)
    lm = LanguageModel(CONFIG).eval().requires_grad_(False)
    lm.initialise()
    return lm


def lowered(lm: LanguageModel, dtype: torch.dtype) -> LanguageModel:
    """A copy as loading makes it."""
    lm = copy.deepcopy(lm)
    for name, parameter in lm.named_parameters():
        if re.fullmatch(LanguageModel.LOW_PRECISION, name):
            parameter.data = parameter.data.to(dtype)
    return lm


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(33, (2, 2, 12), generator=generator)
    return tokens, torch.randn(2, 5, 16, generator=generator)


@torch.inference_mode()
def logits(lm: LanguageModel) -> Tensor:
    """Of all steps at once [B, K, S, card]."""
    tokens, text = inputs()
    assert lm.text_proj is not None
    made: Tensor = lm(tokens, cross=lm.text_proj(text.to(lm.text_proj.weight.dtype)))
    assert made.dtype == torch.float32
    return made


@torch.inference_mode()
def check_steps(lm: LanguageModel) -> None:
    """What is generated step by step is what the whole sequence makes likeliest."""
    conditions = lm.conditions(inputs()[1][0])
    settings = SamplingSettings(temperature=0, guidance=1)
    *_, result = generate(lm, [Job(10, conditions, None, settings, 0)])
    assert isinstance(result, Result)
    assert result.codes[0] is not None
    delayed = DelayPattern(CONFIG.delays, CONFIG.special_token).build(result.codes[0][None])
    assert conditions.cross is not None
    whole = lm(delayed[:, :, :-1], cross=conditions.cross[None])[0]  # [K, S - 1, card]
    for k, delay in enumerate(CONFIG.delays):
        steps = whole[k, delay : delay + 10]  # [T, card]
        chosen = steps.gather(1, result.codes[0][k][:, None])[:, 0]
        assert bool((steps.amax(dim=1) - chosen <= 0.02 * steps.abs().max()).all())


def divergence(expected: Tensor, given: Tensor) -> float:
    """Kullback-Leibler, of the mean step, in nats."""
    p, q = expected.log_softmax(-1), given.log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def grow_residual(lm: LanguageModel, each: float) -> None:
    """Let every layer add `each` to one channel, as large models do, whatever comes in."""
    for layer in lm.layers:
        assert isinstance(layer, Layer)
        layer.norm2.weight.mul_(0.5)
        layer.norm2.bias[0] = 1.0
        layer.norm2.weight[0] = 0.0
        layer.linear1.weight[0] = 0.0
        layer.linear1.weight[0, 0] = 10.0  # gelu(10) = 10
        layer.linear2.weight[:, 0] = 0.0
        layer.linear2.weight[3, 0] = each / 10


@pytest.mark.parametrize("dtype", HALVES)
def test_the_residual_stream_may_exceed_what_float16_holds(dtype: torch.dtype) -> None:
    lm = make()
    grow_residual(lm, 40_000.0)
    streams: list[Tensor] = []
    lm.layers[-1].register_forward_hook(lambda layer, given, made: streams.append(made))
    expected = logits(lm)
    assert streams[0].abs().max() > 3 * FLOAT16_MAX, "the test would prove nothing"
    low = lowered(lm, dtype)
    made = logits(low)
    assert bool(made.isfinite().all())
    assert divergence(expected, made) < 1e-3
    check_steps(low)


@pytest.mark.parametrize("dtype", HALVES)
def test_attention_may_be_as_sharp_as_it_likes(dtype: torch.dtype) -> None:
    lm = make()
    for layer in lm.layers:
        assert isinstance(layer, Layer)
        for attention in (layer.self_attn, layer.cross_attn):
            assert attention is not None
            attention.in_proj.weight[: 2 * CONFIG.dim] *= 300  # products beyond 65,504
    low = lowered(lm, dtype)
    assert bool(logits(low).isfinite().all())
    check_steps(low)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 1e-6), (torch.bfloat16, 1e-4)])
def test_logits_are_close_to_those_of_float32(dtype: torch.dtype, bound: float) -> None:
    lm = make()
    for head in lm.heads:
        head.weight.mul_(20)  # as sure of itself as a trained model
    assert divergence(logits(lm), logits(lowered(lm, dtype))) < bound


@pytest.mark.parametrize("dtype", HALVES)
def test_a_model_halved_as_a_whole_works_too(dtype: torch.dtype) -> None:
    lm = make()
    halved = copy.deepcopy(lm).to(dtype)
    assert divergence(logits(lm), logits(halved)) < 1e-2
    check_steps(halved)


@pytest.mark.parametrize("dtype", HALVES)
def test_nothing_to_say_is_conditioned_on(dtype: torch.dtype) -> None:
    lm = lowered(make(), dtype)
    conditions = lm.conditions(None)
    null = lm.null_conditions(conditions)
    for given in (conditions.cross, null.cross):
        assert given is not None
        assert given.dtype == torch.float32
        assert torch.equal(given, torch.zeros(1, CONFIG.dim))


def test_what_is_halved_is_nearly_everything() -> None:
    with torch.device("meta"):
        lm = LanguageModel(
            LmConfig(
                n_codebooks=4, card=2048, dim=1536, n_heads=24, n_layers=48, ffn_dim=6144,
                delays=(0, 1, 2, 3), text_dim=768, text_fusion="prefix",
                n_chroma=12, chroma_length=235,
            )
        )  # fmt: skip
    sizes = {name: parameter.numel() for name, parameter in lm.named_parameters()}
    halved = sum(n for name, n in sizes.items() if re.fullmatch(LanguageModel.LOW_PRECISION, name))
    assert halved > 0.98 * sum(sizes.values())
    assert all(name.endswith("weight") for name in sizes if re.fullmatch(lm.LOW_PRECISION, name))


@pytest.mark.skipif(not can_pack(torch.device("cpu")), reason="no such products in this torch")
@pytest.mark.parametrize("dtype", HALVES)
def test_packed_matrices_are_closer_to_float32(dtype: torch.dtype) -> None:
    exact = make()
    plain, packed = lowered(exact, dtype), lowered(exact, dtype)
    packed.pack()
    assert packed.dtype == dtype
    widened = lowered(plain, torch.float32)  # the rounded weights, computed exactly
    differences = [float((logits(lm) - logits(widened)).abs().max()) for lm in (plain, packed)]
    assert differences[1] < 0.2 * differences[0]
    assert sum(p.numel() for p in packed.parameters()) < sum(p.numel() for p in plain.parameters())


@pytest.mark.skipif(not can_pack(torch.device("cpu")), reason="no such products in this torch")
def test_a_matrix_that_float16_cannot_hold_is_not_packed() -> None:
    lm = lowered(make(), torch.bfloat16)
    layer = lm.layers[3]
    assert isinstance(layer, Layer)
    layer.linear1.weight[0, 0] = 1e6
    expected = logits(lm)
    lm.pack()
    assert not layer.linear1.packed
    assert layer.linear2.packed
    assert logits(lm).isfinite().all()
    assert float((logits(lm) - expected).norm()) < 0.1 * float(expected.norm())
