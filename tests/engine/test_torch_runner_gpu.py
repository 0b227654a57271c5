"""CUDA graphs: what they replay is what is run eagerly."""

from __future__ import annotations

import pytest
import torch
from test_torch_engine import build, make_jobs

from fanfare.engine.job import Result
from fanfare.engine.torch_engine import generate
from fanfare.engine.torch_runner import GraphRunner, TorchRunner

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
    *_, _ = generate(runner, make_jobs(lm)[:1])  # captures
    events = generate(runner, make_jobs(lm)[:1])
    for _ in range(12):  # beyond the cells that the delays force
        next(events)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            next(events)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert isinstance(list(events)[-1], Result)
