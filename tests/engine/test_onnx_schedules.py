"""The loop over ONNX Runtime: whoever joins or leaves beside a job, its codes stay the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from test_loop import KINDS, play, short_jobs
from test_torch_engine import build
from torch import Tensor

from fanfare.engine.job import Job, Result
from fanfare.engine.loop import run
from fanfare.engine.onnx_runner import OnnxModel, OnnxRunner


def alone(model: OnnxModel, job: Job) -> Tensor:
    *_, result = run(OnnxRunner(model, 2), [replace(job)])
    assert isinstance(result, Result)
    (codes,) = result.codes
    assert codes is not None
    return codes


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_random_schedules_change_no_code(kind: str, precision: str) -> None:
    lm = build(kind)
    model = OnnxModel(lm, precision)
    pool = [(job, alone(model, job)) for job in short_jobs(lm)]
    runner = OnnxRunner(model, 6)  # the same for all, as it is for a server
    assert sum(play(runner, pool, random.Random(seed)) for seed in range(60)) > 120
