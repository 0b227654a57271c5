"""Generates a batch of jobs with torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fanfare.engine.job import Frames, Job, Progress, Result
from fanfare.engine.loop import run
from fanfare.engine.runners import AnyRunner
from fanfare.engine.torch_runner import make_runner
from fanfare.nn.lm import LanguageModel


def generate(
    model: LanguageModel | AnyRunner, jobs: Sequence[Job]
) -> Iterator[Progress | Frames | Result]:
    """Run `jobs` together; yields a `Progress` after every step and, last, the `Result`.

    Of a model, all jobs run at once if there can be rows enough; of a runner, as many as it has
    rows for. `Frames` come before
    the progress of the step that completed them. A job's codes don't depend on the others in the
    batch, nor on torch's global generator.
    """
    if isinstance(model, LanguageModel):
        model = make_runner(model, sum(2 if job.is_guided else 1 for job in jobs))
    return run(model, jobs)
