"""Runners are kept from call to call, lent to one at a time, and few of them idle."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import pytest
import torch
from test_torch_engine import build, make_jobs, run

from fanfare.engine.graph_runner import GraphRunner
from fanfare.engine.job import Result
from fanfare.engine.loop import run as play
from fanfare.engine.runners import RunnerPool, idle_bytes
from fanfare.engine.torch_engine import generate


def pool(max_idle: int = 2, max_bytes: int | None = None) -> RunnerPool[GraphRunner]:
    lm = build("plan")
    return RunnerPool(
        lambda n_rows: GraphRunner(lm, min(n_rows, 8), captures=False),
        max_idle=max_idle,
        max_bytes=max_bytes,
    )


def test_a_runner_is_kept_with_what_it_learnt() -> None:
    runners = pool()
    lm = build("plan")
    jobs = make_jobs(lm)[:2]
    for _ in range(2):
        with runners.lend(4) as runner:
            *_, result = generate(runner, jobs)
        assert isinstance(result, Result)
        expected = run(lm, jobs)
        for ours, theirs in zip(result.codes, expected, strict=True):
            assert ours is not None
            assert theirs is not None
            assert torch.equal(ours, theirs)
    with runners.lend(3) as again:
        assert again is runner
        assert again.replays


def test_nobody_gets_what_somebody_has_and_sizes_differ() -> None:
    runners = pool()
    first, second, large = runners.take(2), runners.take(2), runners.take(100)
    assert first is not second
    assert (first.n_rows, large.n_rows) == (2, 8)
    for runner in (first, large):
        runners.give_back(runner)
    assert runners.take(100) is large
    assert runners.take(1) is not first
    assert runners.take(2) is first


def test_few_are_kept_and_the_oldest_go() -> None:
    runners = pool(max_idle=2)
    lent = [runners.take(2) for _ in range(3)]
    for runner in lent:
        runners.give_back(runner)
    assert {id(runners.take(2)), id(runners.take(2))} == {id(lent[1]), id(lent[2])}
    assert runners.take(2) is not lent[0]


def test_memory_bounds_what_is_kept() -> None:
    runners = pool(max_bytes=1)
    with runners.lend(2) as first:
        assert first.n_bytes > 1
    with runners.lend(2) as second:
        assert second is not first


def test_a_runner_that_failed_is_not_kept_but_one_whose_call_was_closed_is() -> None:
    runners = pool()
    with pytest.raises(ValueError, match="broken"), runners.lend(2) as failed:
        raise ValueError("broken")

    lent = []

    def call() -> Generator[object, None, None]:
        with runners.lend(2) as runner, closing(play(runner, make_jobs(runner.lm))) as events:
            lent.append(runner)
            yield from events

    events = call()
    for _ in range(5):
        next(events)
    events.close()
    again = runners.take(2)
    assert again is lent[0]
    assert again is not failed
    assert not again.used


def test_threads_share_it() -> None:
    runners = pool(max_idle=4)
    held: set[int] = set()
    clashes: list[int] = []

    def work() -> None:
        for _ in range(50):
            with runners.lend(2) as runner:
                if id(runner) in held:
                    clashes.append(id(runner))
                held.add(id(runner))
                held.discard(id(runner))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clashes
    assert idle_bytes(torch.device("cpu")) is None
