"""The loop: whoever joins, leaves or is cancelled beside a job, its codes stay the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from test_torch_engine import build, condition, make_jobs, replay
from torch import Tensor

from fanfare.engine.job import Frames, Job, Made, Progress, Result
from fanfare.engine.loop import Loop
from fanfare.engine.runner import Runner
from fanfare.engine.torch_engine import generate
from fanfare.engine.torch_runner import TorchRunner
from fanfare.errors import BusyError
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings

KINDS = ("cross", "prefix", "plan")
SETTINGS = (
    SamplingSettings(top_k=5),
    SamplingSettings(top_k=5, guidance=1.0),
    SamplingSettings(top_p=0.9),
    SamplingSettings(temperature=0),
)


def short_jobs(lm: LanguageModel) -> list[Job]:
    """Pieces of a few frames, with and without guidance and prompt."""
    generator = torch.Generator().manual_seed(2)
    jobs = []
    for seed in range(8):
        conditions = condition(lm, seed)
        n_frames = 2 + (5 * seed) % 7
        prompt = (
            torch.randint(40, (3, n_frames - 1), generator=generator) if seed % 3 == 1 else None
        )
        null = lm.null_conditions(conditions)
        jobs.append(Job(n_frames, conditions, null, SETTINGS[seed % 4], seed, prompt))
    return jobs


@pytest.fixture(scope="module")
def cases() -> list[tuple[LanguageModel, list[tuple[Job, Tensor]]]]:
    """Models, with jobs and what comes of them one by one, without cache or batch."""
    models = [build(kind) for kind in KINDS]
    return [(lm, [(job, replay(lm, job)) for job in short_jobs(lm)]) for lm in models]


def play(runner: Runner, pool: list[tuple[Job, Tensor]], rng: random.Random) -> int:
    """One random schedule; how many pieces it made, all of them right."""
    loop = Loop(runner, max_rows=rng.randint(2, 6))
    coming = sorted((rng.randrange(8), i) for i in rng.sample(range(len(pool)), rng.randint(2, 5)))
    expected: dict[int, tuple[Job, Tensor]] = {}
    made: dict[int, Tensor | None] = {}
    tick = 0
    while coming or loop.is_busy:
        while coming and coming[0][0] <= tick:
            job, codes = pool[coming.pop(0)[1]]
            job = replace(job, cancelled=type(job.cancelled)())
            expected[loop.submit(job)] = job, codes
        if expected and rng.random() < 0.05:
            expected[rng.choice(sorted(expected))][0].cancelled.set()
        for event in loop.tick():
            assert isinstance(event, Made)
            made[event.index] = event.codes
        tick += 1
    assert made.keys() == expected.keys()
    for ticket, codes in made.items():
        job, right = expected[ticket]
        assert job.cancelled.is_set() if codes is None else torch.equal(codes, right)
    return sum(codes is not None for codes in made.values())


def test_a_thousand_schedules_change_no_code(
    cases: list[tuple[LanguageModel, list[tuple[Job, Tensor]]]],
) -> None:
    n_made = 0
    for seed in range(1000):
        lm, pool = cases[seed % len(cases)]
        n_made += play(TorchRunner(lm, 6), pool, random.Random(seed))
    assert n_made > 2500


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_rows_than_jobs_take_longer_and_make_the_same(kind: str) -> None:
    lm = build(kind)
    jobs = make_jobs(lm)
    *_, together = generate(lm, jobs)
    *progress, result = generate(TorchRunner(lm, 3), jobs)
    assert isinstance(together, Result)
    assert isinstance(result, Result)
    for ours, theirs in zip(result.codes, together.codes, strict=True):
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours, theirs)
    n_steps = len(progress)
    assert progress == [Progress(step + 1, n_steps) for step in range(n_steps)]


@torch.inference_mode()
def test_a_windows_memory_is_flat() -> None:
    lm = build("plan")
    jobs = [replace(job, n_frames=n) for job, n in zip(make_jobs(lm)[3:], (40, 200), strict=True)]
    runner = TorchRunner(lm, 3)
    loop = Loop(runner)
    for job in jobs:
        loop.submit(job)
    while loop.is_busy:
        loop.tick()
        assert runner.cache.n_slots == (lm.config.past_context if loop.is_busy else 0)


@pytest.mark.parametrize("every", [1, 4, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_reported_in_order_and_once(kind: str, every: int) -> None:
    lm = build(kind)
    jobs = [replace(job, report_every=every) for job in make_jobs(lm)]
    heard: dict[int, list[Tensor]] = {j: [] for j in range(len(jobs))}
    for event in generate(lm, jobs):
        if isinstance(event, Frames):
            assert event.start == sum(codes.shape[1] for codes in heard[event.index])
            heard[event.index].append(event.codes)
    assert isinstance(event, Result)
    for j, codes in enumerate(event.codes):
        assert codes is not None
        assert torch.equal(torch.cat(heard[j], dim=1), codes)
        assert all(part.shape[1] >= every for part in heard[j][:-1])


def test_frames_of_a_long_piece_come_as_its_windows_are_made() -> None:
    lm = build("cross")
    lm.config = replace(lm.config, max_duration_s=20, frame_rate_hz=1)
    conditions = condition(lm, 0)
    job = Job(50, conditions, lm.null_conditions(conditions), SETTINGS[0], 0, report_every=3)
    loop = Loop(TorchRunner(lm, 2))
    loop.submit(job)
    heard: list[Tensor] = []
    n_frames = 0
    while loop.is_busy:
        for event in loop.tick():
            if isinstance(event, Frames):
                heard.append(event.codes)
                n_frames += event.codes.shape[1]
            else:
                assert event.codes is not None
                assert torch.equal(torch.cat(heard, dim=1), event.codes)
        if loop.is_busy:
            (track,) = loop.tracks.values()
            in_window = track.step - lm.config.max_delay + track.window.n_prompt
            assert n_frames > track.window.start + in_window - 3, "what is complete isn't held back"
    assert n_frames == 50


def test_a_cancelled_job_leaves_at_once_and_the_next_joins() -> None:
    lm = build("plan")
    jobs = make_jobs(lm)
    loop = Loop(TorchRunner(lm, 2))
    first, second = loop.submit(jobs[0]), loop.submit(jobs[1])
    for _ in range(4):
        assert loop.tick() == []
    assert loop.progress(first) == Progress(4, 32)
    assert loop.progress(second).step == 0
    jobs[0].cancelled.set()
    (left,) = loop.tick()
    assert isinstance(left, Made)
    assert (left.index, left.codes) == (first, None)
    assert loop.progress(second).step == 1


def test_the_queue_is_bounded_and_closing_gives_rows_back() -> None:
    lm = build("plan")
    runner: Runner = TorchRunner(lm, 2)
    loop = Loop(runner, max_waiting=1)
    jobs = make_jobs(lm)
    loop.submit(jobs[0])
    with pytest.raises(BusyError):
        loop.submit(jobs[1])
    loop.tick()
    loop.submit(jobs[1])
    loop.close()
    assert not loop.is_busy
    assert isinstance(runner, TorchRunner)
    assert not runner.used
