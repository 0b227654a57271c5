"""The engine on a CUDA device: what it makes there is what it makes on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch

from fanfare.engine.job import Job, Result
from fanfare.engine.torch_engine import generate
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

CONFIG = LmConfig(
    n_codebooks=3, card=40, dim=64, n_heads=4, n_layers=2, ffn_dim=128, delays=(0, 1, 2),
    positions="rope", past_context=16, plan_features=5,
)  # fmt: skip


def make_lm() -> LanguageModel:
    torch.manual_seed(0)
    lm = LanguageModel(CONFIG)
    lm.initialise()
    for head in lm.heads:
        torch.nn.init.normal_(head.weight, std=0.5)
    return lm.eval()


def run(lm: LanguageModel, settings: list[SamplingSettings]) -> list[torch.Tensor]:
    jobs = []
    for seed, one in enumerate(settings):
        plan = torch.randn(40, 5, generator=torch.Generator().manual_seed(seed))
        conditions = lm.conditions(plan=plan)
        prompt = torch.arange(9).view(3, 3) if seed % 2 else None
        jobs.append(Job(40 - seed, conditions, lm.null_conditions(conditions), one, seed, prompt))
    *_, result = generate(lm, jobs)
    assert isinstance(result, Result)
    return [codes.cpu() for codes in result.codes if codes is not None]


def test_greedy_codes_equal_the_cpus() -> None:
    lm, settings = make_lm(), [SamplingSettings(temperature=0), SamplingSettings(temperature=0)]
    on_cpu = run(lm, settings)
    on_gpu = run(copy.deepcopy(lm).to("cuda"), settings)
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert torch.equal(ours, theirs)


def test_sampled_codes_are_reproducible_and_independent_of_the_batch() -> None:
    lm = make_lm().to("cuda")
    settings = [SamplingSettings(top_k=8), SamplingSettings(top_p=0.9), SamplingSettings(top_k=8)]
    first, second = run(lm, settings), run(lm, settings)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(run(lm, settings[:1])[0], first[0])
