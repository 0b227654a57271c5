"""CUDA graphs: what they replay is what is run eagerly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_torch_engine import build, make_jobs

from fanfare.engine.graph_runner import GraphRunner
from fanfare.engine.job import Result
from fanfare.engine.loop import Loop
from fanfare.engine.noise import BLOCK
from fanfare.engine.torch_engine import generate
from fanfare.engine.torch_runner import TorchRunner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("kind", ["cross", "prefix", "plan"])
def test_graphs_make_what_eager_steps_make(kind: str) -> None:
    lm = build(kind).to("cuda")
    jobs = make_jobs(lm)
    eager = GraphRunner(lm, 16, captures=False)
    graphs = GraphRunner(lm, 16)
    for runner in (eager, graphs, graphs, TorchRunner(lm, 16)):
        *_, result = generate(runner, jobs)
        assert isinstance(result, Result)
        made = [codes for codes in result.codes if codes is not None]
        if runner is eager:
            expected = made
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True)), runner.name
    assert graphs.replays.keys() == eager.replays.keys()


def test_steps_wait_for_nothing() -> None:
    lm = build("plan").to("cuda")
    runner = GraphRunner(lm, 2)
    job = replace(make_jobs(lm)[0], n_frames=100)
    *_, _ = generate(runner, [job])  # captures
    events = generate(runner, [job])
    next(events)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2 * BLOCK):  # other noise, another stretch, more slots
            next(events)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert isinstance(list(events)[-1], Result)


def test_a_job_joins_without_waiting_for_the_device() -> None:
    lm = build("plan").to("cuda")
    runner = GraphRunner(lm, 4)
    jobs = [replace(job, prompt=None) for job in make_jobs(lm)[:2]]
    list(generate(runner, jobs))  # captures
    loop = Loop(runner)
    for job in jobs:
        loop.submit(job)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            loop.tick()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    loop.close()


def test_codes_depend_on_the_bucket_alone() -> None:
    lm = build("cross").to("cuda", torch.bfloat16)
    jobs = make_jobs(lm)
    runner = GraphRunner(lm, 16)
    # Three jobs in six rows, and the same first one beside others that outlast it: one bucket.
    made = []
    for others in ((1, 2), (2, 0), (1, 0)):
        longer = [replace(jobs[i], n_frames=30) for i in others]
        *_, result = generate(runner, [replace(jobs[0], n_frames=9), *longer])
        assert isinstance(result, Result)
        assert result.codes[0] is not None
        made.append(result.codes[0])
    assert all(torch.equal(codes, made[0]) for codes in made)
