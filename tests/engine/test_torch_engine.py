"""The engine: batched equals single, cached equals replayed, prompts kept, cancelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fanfare.engine.job import Job, Progress, Result
from fanfare.engine.torch_engine import generate
from fanfare.nn.conditioning import Conditions, align_frames
from fanfare.nn.config import LmConfig
from fanfare.nn.delay import DelayPattern
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings, draw, exponential_noise, mix_guidance

BASE = {
    "n_codebooks": 3, "card": 40, "dim": 32, "n_heads": 4, "n_layers": 2, "ffn_dim": 64,
    "delays": (0, 1, 2),
}  # fmt: skip
KINDS: dict[str, dict[str, object]] = {
    "cross": {"text_dim": 8, "text_fusion": "cross"},
    "prefix": {"text_dim": 8, "text_fusion": "prefix", "n_chroma": 12, "chroma_length": 6},
    "plan": {"plan_features": 5, "plan_context": 2, "positions": "rope", "past_context": 8},
}


def build(kind: str) -> LanguageModel:
    torch.manual_seed(0)
    lm = LanguageModel(LmConfig.from_dict({**BASE, **KINDS[kind]}))
    lm.initialise()
    for head in lm.heads:
        torch.nn.init.normal_(head.weight, std=0.5)  # decided, so that rounding flips no token
    if lm.plan is not None:
        torch.nn.init.normal_(lm.plan.null_vector)
    return lm.eval()


def condition(lm: LanguageModel, seed: int) -> Conditions:
    generator = torch.Generator().manual_seed(seed)
    if lm.config.plan_features:
        return lm.conditions(plan=torch.randn(30, 5, generator=generator))
    return lm.conditions(text=torch.randn(2 + seed % 3, 8, generator=generator))


def make_jobs(lm: LanguageModel) -> list[Job]:
    """Jobs that differ in everything they may differ in."""
    generator = torch.Generator().manual_seed(9)
    prompt = torch.randint(40, (3, 7), generator=generator)
    settings = [
        SamplingSettings(top_k=10),
        SamplingSettings(top_k=0, top_p=0.9, guidance=2.0),
        SamplingSettings(temperature=0),
        SamplingSettings(top_k=10, guidance=1.0),
        SamplingSettings(top_k=10),
    ]
    jobs = []
    for seed, (n_frames, given) in enumerate([(30, 0), (12, 7), (9, 1), (20, 3), (25, 0)]):
        conditions = condition(lm, seed)
        null = None if seed == 4 else lm.null_conditions(conditions)
        jobs.append(
            Job(
                n_frames,
                conditions,
                null,
                settings[seed],
                seed,
                prompt[:, :given] if given else None,
            )
        )
    return jobs


def run(lm: LanguageModel, jobs: list[Job]) -> list[Tensor | None]:
    *_, result = generate(lm, jobs)
    assert isinstance(result, Result)
    return result.codes


@torch.inference_mode()
def replay(lm: LanguageModel, job: Job) -> Tensor:
    """The slow twin: the whole sequence anew for every column, by the book."""
    config = lm.config
    pattern = DelayPattern(config.delays, config.special_token)
    codes = torch.full((1, 3, job.n_frames), -1)
    if job.prompt is not None:
        codes[0, :, : job.n_prompt_frames] = job.prompt
    sequence = pattern.build(codes)
    generator = torch.Generator().manual_seed(job.seed)

    def logits(conditions: Conditions, n_steps: int) -> Tensor:
        cross, prefix, frames = conditions.cross, conditions.prefix, conditions.frames
        return lm(
            sequence[:, :, :n_steps],
            None if cross is None else cross[None],
            prefix=None if prefix is None else prefix[None],
            frames=None if frames is None else align_frames(frames, n_steps)[None],
        )[0, :, -1]

    for column in range(job.n_prompt_frames + 1, sequence.shape[2]):
        mixed = logits(job.conditions, column)
        if job.null is not None:
            mixed = mix_guidance(mixed, logits(job.null, column), job.settings.guidance)
        noise = exponential_noise(torch.empty(3, 40), generator)
        tokens = draw(mixed, job.settings, noise)
        free = sequence[0, :, column] < 0
        sequence[0, free, column] = tokens[free]
    return pattern.revert(sequence)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_single_equals_replayed(kind: str) -> None:
    lm = build(kind)
    for job in make_jobs(lm):
        (codes,) = run(lm, [job])
        assert codes is not None
        assert torch.equal(codes, replay(lm, job)), job


@pytest.mark.parametrize("kind", KINDS)
def test_batched_equals_single(kind: str) -> None:
    lm = build(kind)
    jobs = make_jobs(lm)
    for job, codes in zip(jobs, run(lm, jobs), strict=True):
        (alone,) = run(lm, [job])
        assert codes is not None
        assert alone is not None
        assert codes.shape == (3, job.n_frames)
        assert torch.equal(codes, alone), job


def test_codes_are_codes_and_the_prompt_is_kept() -> None:
    lm = build("plan")
    job = make_jobs(lm)[1]
    assert job.prompt is not None
    (codes,) = run(lm, [job])
    assert codes is not None
    assert torch.equal(codes[:, :7], job.prompt)
    assert 0 <= int(codes.min()) <= int(codes.max()) < lm.config.card


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    lm = build("cross")
    jobs = make_jobs(lm)[:1]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    (first,) = run(lm, jobs)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    (second,) = run(lm, jobs)
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


def test_guidance_without_effect_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = build("cross")
    rows: list[int] = []
    extend: Callable[..., Tensor] = lm.extend

    def counting(x: Tensor, cache: object) -> Tensor:
        rows.append(x.shape[0])
        return extend(x, cache)

    monkeypatch.setattr(lm, "extend", counting)
    run(lm, make_jobs(lm)[3:4])
    assert set(rows) == {1}


def test_progress_counts_every_step() -> None:
    lm = build("plan")
    events = list(generate(lm, make_jobs(lm)[:2]))
    n_steps = 30 + 2  # frames of the longest job, and the largest delay
    assert events[:-1] == [Progress(step + 1, n_steps) for step in range(n_steps)]
    assert isinstance(events[-1], Result)


def test_a_cancelled_job_stops_and_leaves_the_others_alone() -> None:
    lm = build("plan")
    (alone,) = run(lm, make_jobs(lm)[:1])
    jobs = make_jobs(lm)[:2]
    for event in generate(lm, jobs):
        if isinstance(event, Progress) and event.step == 3:
            jobs[1].cancelled.set()
    assert isinstance(event, Result)
    assert alone is not None
    assert event.codes[1] is None
    assert event.codes[0] is not None
    assert torch.equal(event.codes[0], alone)


def test_long_pieces_are_made_in_windows_that_go_on_from_each_other() -> None:
    lm = build("cross")
    lm.config = replace(lm.config, max_duration_s=20, frame_rate_hz=1)
    conditions = condition(lm, 0)
    null = lm.null_conditions(conditions)
    long = Job(30, conditions, null, SamplingSettings(temperature=0), 0)
    short = Job(9, conditions, null, SamplingSettings(top_k=5), 1)
    *progress, result = generate(lm, [long, short])
    assert isinstance(result, Result)
    assert progress[-1] == Progress(len(progress), len(progress))
    codes, alone = result.codes[0], run(lm, [short])[0]
    assert codes is not None
    assert alone is not None
    assert torch.equal(result.codes[1], alone)
    assert codes.shape == (3, 30)
    first = run(lm, [replace(long, n_frames=20)])[0]
    assert first is not None
    assert torch.equal(codes[:, :20], first)
    second = run(lm, [replace(long, n_frames=12, prompt=first[:, 18:])])[0]
    assert torch.equal(codes[:, 18:], second)


def test_cancelling_every_job_ends_the_run() -> None:
    lm = build("plan")
    jobs = make_jobs(lm)[:2]
    events = []
    for event in generate(lm, jobs):
        events.append(event)
        for job in jobs:
            job.cancelled.set()
    assert len(events) == 2
    assert isinstance(events[1], Result)
    assert events[1].codes == [None, None]
