"""Loop: jobs over a runner's rows, joining and leaving at any step (continuous batching).

K codebooks, T frames.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from fanfare.engine.ensemble import Ensemble
from fanfare.engine.graph_runner import GraphEnsemble, GraphRunner
from fanfare.engine.job import Frames, Job, Made, Progress, Result
from fanfare.engine.runners import AnyRunner
from fanfare.engine.scheduler import Scheduler
from fanfare.engine.torch_runner import TorchRunner
from fanfare.engine.track import Track

JobEvent = Frames | Made


class Loop:
    """Runs jobs as they come; what a job's codes are depends on nothing but the job.

    It belongs to one thread; only a job's `cancelled` may be set from others. A job joins as soon
    as rows are free, and leaves at the step after it was cancelled. Pieces longer than the model's
    reach are made in windows, each going on from the end of the last, in the same rows.
    """

    def __init__(
        self, runner: AnyRunner, max_rows: int | None = None, max_waiting: int | None = None
    ) -> None:
        """Use at most `max_rows` rows of `runner`, and queue at most `max_waiting` jobs."""
        n_rows = runner.n_rows if max_rows is None else min(max_rows, runner.n_rows)
        self.runner = runner
        self.scheduler = Scheduler(n_rows, max_waiting)
        self.tracks: dict[int, Track] = {}  # of jobs that wait or run, by ticket
        self.ensemble: Ensemble | GraphEnsemble | None = None  # None = who runs has changed
        self.n_steps = 0  # so far
        self._n_tickets = 0

    @property
    def is_busy(self) -> bool:
        """Whether any job waits or runs."""
        return bool(self.tracks)

    def submit(self, job: Job) -> int:
        """Queue a job; the number by which events will name it. BusyError if the queue is full."""
        ticket = self._n_tickets
        with torch.inference_mode():
            track = Track(self.runner.lm, ticket, job)
        self.scheduler.submit(ticket, track.n_rows)
        self.tracks[ticket] = track
        self._n_tickets += 1
        return ticket

    def progress(self, ticket: int) -> Progress:
        """How far a job has come that waits or runs."""
        track = self.tracks[ticket]
        return Progress(track.n_done, track.n_steps)

    @torch.inference_mode()
    def tick(self) -> list[JobEvent]:
        """One step of all who run; what came of it."""
        events: list[JobEvent] = [
            self._end(track, None)
            for track in list(self.tracks.values())
            if track.job.cancelled.is_set()
        ]
        if self.scheduler.waiting:
            self._admit()
        if not self.scheduler.running:
            return events
        ensemble = self._gathered()
        ensemble.step()
        self.n_steps += 1
        if ensemble.is_due:
            ensemble.close()
            events += self._settle(ensemble.tracks)
        return events

    def close(self) -> None:
        """Give all rows back; jobs that aren't done are forgotten."""
        for rows in self.scheduler.running.values():
            for row in rows:
                self.runner.release(row)
        self.scheduler = Scheduler(self.scheduler.n_rows, self.scheduler.max_waiting)
        self.tracks.clear()
        self.ensemble = None

    def _admit(self) -> None:
        """Let in who has waited, as far as there are rows."""
        for admission in self.scheduler.admit():
            self.tracks[admission.ticket].rows = admission.rows
            self._regroup()

    def _gathered(self) -> Ensemble | GraphEnsemble:
        """All who run; whoever begins a window is prefilled."""
        if self.ensemble is None:
            running = [self.tracks[ticket] for ticket in self.scheduler.running]
            admitted = self._prefill(running)
            if isinstance(self.runner, GraphRunner):
                self.ensemble = GraphEnsemble(self.runner, running, admitted)
            else:
                self.ensemble = Ensemble(self.runner, running, admitted)
        return self.ensemble

    def _regroup(self) -> None:
        """Whoever runs will be another ensemble from the next step on."""
        if self.ensemble is not None:
            self.ensemble.close()
            self.ensemble = None

    def _prefill(self, running: Sequence[Track]) -> dict[int, Tensor]:
        """Start the rows of all who begin a window: logits [K, card] by row."""
        logits = {}
        for track in running:
            if track.step > 0:
                continue
            for row, condition in zip(track.rows, track.conditions(), strict=True):
                x, n_steps = track.prefill(condition)
                logits[row] = self.runner.admit(row, x, condition.cross, n_steps)
            if isinstance(self.runner, TorchRunner):
                self.runner.tie(track.rows)
        return logits

    def _settle(self, running: Sequence[Track]) -> list[JobEvent]:
        """After a stretch: report what is due, go on to next windows, let go who is done."""
        events: list[JobEvent] = []
        for track in running:
            report = track.settle() if track.n_until_due() < 1 else None
            if report is not None:
                events.append(report)
            if track.is_made:
                events.append(self._end(track, torch.cat(track.codes, dim=1)))
            elif track.is_window_made:
                self._regroup()
                track.go_on()
        return events

    def _end(self, track: Track, codes: Tensor | None) -> Made:
        """Let a job go, with its codes [K, T]."""
        if track.ticket in self.scheduler.running:
            self._regroup()
        for row in self.scheduler.leave(track.ticket):
            self.runner.release(row)
        del self.tracks[track.ticket]
        return Made(track.ticket, codes)


def run(
    runner: AnyRunner, jobs: Sequence[Job]
) -> Generator[Progress | Frames | Result, None, None]:
    """Run `jobs` together: a `Progress` after every step, `Frames` where asked for, the `Result`.

    As many at once as the runner has rows for; the others follow as rows become free. Closing it
    releases them all.
    """
    assert jobs, "no jobs"
    loop = Loop(runner)
    for job in jobs:
        loop.submit(job)
    n_steps = _forecast(loop)
    codes: list[Tensor | None] = [None] * len(jobs)
    done = 0
    try:
        while loop.is_busy:
            events = loop.tick()
            for event in events:
                if isinstance(event, Made):
                    codes[event.index] = event.codes
                else:
                    yield event
            if loop.n_steps > done:
                done = loop.n_steps
                yield Progress(done, n_steps)
    finally:
        loop.close()
    yield Result(codes)


def _forecast(loop: Loop) -> int:
    """Steps that the jobs of a fresh loop will take if none is cancelled."""
    rows = Scheduler(loop.scheduler.n_rows)
    left = {}
    for ticket, track in loop.tracks.items():
        rows.submit(ticket, track.n_rows)
        left[ticket] = track.n_steps
    n_steps = 0
    while rows.waiting or rows.running:
        rows.admit()
        n_next = min(left[ticket] for ticket in rows.running)
        n_steps += n_next
        for ticket in list(rows.running):
            left[ticket] -= n_next
            if left[ticket] == 0:
                rows.leave(ticket)
    return n_steps
