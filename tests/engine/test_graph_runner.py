"""Whole steps, run eagerly: what a graph replays makes the codes of plain steps."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from test_torch_engine import build, condition, make_jobs, run
from torch import Tensor

from fanfare.engine.graph_runner import GraphRunner
from fanfare.engine.job import Frames, Job, Made, Result
from fanfare.engine.loop import Loop
from fanfare.engine.noise import BLOCK
from fanfare.engine.torch_engine import generate
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings

KINDS = ("cross", "prefix", "plan")


def random_jobs(lm: LanguageModel, rng: random.Random, n_jobs: int) -> list[Job]:
    """Pieces that differ in length, settings, prompts and how they are reported."""
    jobs = []
    for seed in range(n_jobs):
        n_frames = rng.randint(3, 3 * BLOCK)
        settings = SamplingSettings(
            top_k=rng.choice([0, 1, 5, 39, 40, 250]),
            top_p=rng.choice([0.0, 0.0, 0.5, 0.95]),
            temperature=rng.choice([0.0, 0.7, 1.0, 1.3]),
            guidance=rng.choice([0.0, 1.0, 3.0, 3.3]),
        )
        generator = torch.Generator().manual_seed(seed)
        prompt = torch.randint(40, (3, rng.randrange(1, n_frames)), generator=generator)
        conditions = condition(lm, seed)
        jobs.append(
            Job(
                n_frames,
                conditions,
                lm.null_conditions(conditions) if rng.random() < 0.7 else None,
                settings,
                seed,
                prompt if rng.random() < 0.4 else None,
                report_every=rng.choice([None, 7, 50]),
            )
        )
    return jobs


def equal(ours: list[Tensor | None], theirs: list[Tensor | None]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_steps_make_what_plain_ones_make(kind: str) -> None:
    lm = build(kind)
    jobs = make_jobs(lm)
    expected = run(lm, jobs)
    runner = GraphRunner(lm, 5, captures=False)
    for _ in range(2):  # it's kept for the next jobs
        *_, result = generate(runner, jobs)
        assert isinstance(result, Result)
        assert equal(result.codes, expected)
    assert not runner.used


@pytest.mark.parametrize("kind", KINDS)
def test_random_schedules_of_mixed_settings_change_no_code(kind: str) -> None:
    lm, rng = build(kind), random.Random(1)
    jobs = random_jobs(lm, rng, 12)
    expected = [run(lm, [job])[0] for job in jobs]
    runner = GraphRunner(lm, 8, captures=False)
    n_made = 0
    for _ in range(12):
        loop = Loop(runner, max_rows=rng.randint(2, 8))
        coming = sorted((rng.randrange(60), i) for i in rng.sample(range(12), 6))
        playing: dict[int, tuple[Job, Tensor | None]] = {}
        tick = 0
        while coming or loop.is_busy:
            while coming and coming[0][0] <= tick:
                i = coming.pop(0)[1]
                job = replace(jobs[i], cancelled=type(jobs[i].cancelled)())
                playing[loop.submit(job)] = job, expected[i]
            if playing and rng.random() < 0.01:
                playing[rng.choice(sorted(playing))][0].cancelled.set()
            for event in loop.tick():
                job, right = playing[event.index]
                if isinstance(event, Frames):
                    assert right is not None
                    n = event.start + event.codes.shape[1]
                    assert torch.equal(event.codes, right[:, event.start : n])
                    continue
                assert isinstance(event, Made)
                assert (
                    job.cancelled.is_set() if event.codes is None else equal([event.codes], [right])
                )
                n_made += event.codes is not None
            tick += 1
        assert not runner.used
    assert n_made > 40


def test_windows_of_a_long_piece_go_on_from_each_other() -> None:
    lm = build("cross")
    lm.config = replace(lm.config, max_duration_s=20, frame_rate_hz=1)
    conditions = condition(lm, 0)
    jobs = [
        Job(70, conditions, lm.null_conditions(conditions), SamplingSettings(top_k=5), 0),
        Job(30, conditions, None, SamplingSettings(top_p=0.8), 1),
    ]
    *_, result = generate(GraphRunner(lm, 3, captures=False), jobs)
    assert isinstance(result, Result)
    assert equal(result.codes, run(lm, jobs))


def test_there_is_a_replay_for_each_bucket_of_jobs_rows_and_slots() -> None:
    lm = build("cross")
    jobs = make_jobs(lm)
    runner = GraphRunner(lm, 8, captures=False)
    list(generate(runner, [replace(jobs[3], n_frames=130)]))
    assert sorted(runner.replays) == [(1, 1, 64), (1, 1, 96), (1, 1, 128), (1, 1, 192)]
    list(generate(runner, [jobs[0], jobs[3]]))
    assert sorted(runner.replays)[4:] == [(1, 2, 64), (2, 4, 64)], "one job goes on alone"
    list(generate(runner, [replace(jobs[3], n_frames=200)]))
    assert (2, 4, 64) not in runner.replays, "larger buffers are elsewhere"


def test_a_piece_may_fill_its_slots_to_the_last() -> None:
    lm = build("cross")
    for n_frames in range(61, 67):
        job = replace(make_jobs(lm)[3], n_frames=n_frames, prompt=None)
        *_, result = generate(GraphRunner(lm, 1, captures=False), [job])
        assert isinstance(result, Result)
        assert equal(result.codes, run(lm, [job]))


def test_a_replay_reads_and_writes_the_same_memory_every_time() -> None:
    lm = build("plan")
    runner = GraphRunner(lm, 4, captures=False)
    jobs = make_jobs(lm)

    def addresses() -> list[int]:
        state = [b for b in vars(runner.state).values() if isinstance(b, Tensor)]
        return [b.data_ptr() for b in (*state, *runner.state.settings)]

    before = addresses()
    list(generate(runner, jobs[:1]))
    kept = [b.data_ptr() for layer in runner.cache.layers for b in vars(layer).values()]
    list(generate(runner, jobs))
    assert addresses() == before
    assert [b.data_ptr() for layer in runner.cache.layers for b in vars(layer).values()] == kept


def test_steps_ask_nothing_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = build("plan")
    runner = GraphRunner(lm, 2, captures=False)
    events = generate(runner, [replace(make_jobs(lm)[4], n_frames=130)])
    next(events)

    def refuse(*_: object) -> None:
        raise AssertionError("the host waits for the device")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(Tensor, name, refuse)
    assert isinstance([*events][-1], Result)
