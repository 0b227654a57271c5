"""Ensemble: the jobs that play together until somebody joins or leaves.

J jobs, R rows, K codebooks, D width, n steps of a stretch.

What differs from step to step is laid out for a stretch of steps at a time, so that a step itself
is a few operations for all jobs together, and waits for no device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fanfare.engine.runner import Runner
from fanfare.engine.sampler import Sampler
from fanfare.engine.stretch import Seating
from fanfare.engine.track import FREE, Track


class Ensemble:
    """Runs its jobs by single steps. Whoever begins a window must have been admitted."""

    def __init__(
        self, runner: Runner, tracks: Sequence[Track], admitted: Mapping[int, Tensor]
    ) -> None:
        """`admitted` are the logits [K, card] of rows that were just prefilled."""
        self.runner, self.tracks = runner, tracks
        self.seating = Seating(tracks)
        self.rows = self.seating.rows
        self.spread = torch.tensor(self.seating.job_of_row, device=runner.lm.device)  # [R]
        self.sampler = Sampler(tracks, self.rows, runner.lm.config)
        self.admitted = dict(admitted)
        self.last: Tensor | None = None  # [J, K]
        self._lay_out()

    def _lay_out(self) -> None:
        self.stretch = self.seating.lay_out()
        self.drawn: list[Tensor] = []  # [J, K] each
        frames = self.stretch.frames
        self.frames = None if frames is None else frames[:, :, None].unbind()  # [R, 1, D] each

    @property
    def is_due(self) -> bool:
        """Whether the stretch is at its end, and with it perhaps some window."""
        return len(self.drawn) == self.stretch.n

    def step(self) -> None:
        """Draw one column of every job."""
        if self.is_due:
            self.close()
            self._lay_out()
        at = len(self.drawn)
        logits = self._first_logits() if self.last is None else self._logits(self.last)
        tokens = self.sampler(logits)  # [J, K]
        if at not in self.stretch.free:
            column = self.stretch.columns[at]
            tokens = torch.where(column == FREE, tokens, column)
        self.drawn.append(tokens)
        self.last = tokens
        for track in self.tracks:
            track.step += 1
            track.n_done += 1

    def _logits(self, last: Tensor) -> Tensor:
        """[R, K, card] after the last columns [J, K]."""
        x = self.runner.lm.embed(last[:, :, None], None, None)  # [J, 1, D]
        if len(self.tracks) > 1:
            x = x.index_select(0, self.spread)
        elif self.frames is None:
            x = x.expand(len(self.rows), -1, -1)
        if self.frames is not None:
            x = x + self.frames[len(self.drawn)]
        return self.runner.step(self.rows, x)  # x [R, 1, D]

    def _first_logits(self) -> Tensor:
        """The same where some rows have just been prefilled, and the others go on."""
        by_row = dict(self.admitted)
        going = [i for i, row in enumerate(self.rows) if row not in by_row]
        if going:
            columns = []
            for i in going:
                last = self.tracks[self.seating.job_of_row[i]].last
                assert last is not None, "a job without a past must be admitted"
                columns.append(last)
            x = self.runner.lm.embed(torch.stack(columns)[:, :, None], None, None)  # [going, 1, D]
            if self.frames is not None:
                x = x + self.frames[len(self.drawn)][going]
            rows = [self.rows[i] for i in going]
            by_row.update(zip(rows, self.runner.step(rows, x), strict=True))
        self.admitted.clear()
        return torch.stack([by_row[row] for row in self.rows])

    def close(self) -> None:
        """Hand the columns of this stretch to their jobs."""
        if not self.drawn:
            return
        columns = torch.stack(self.drawn)  # [n, J, K]
        for j, track in enumerate(self.tracks):
            track.take(columns[:, j], columns[-1, j])
        self.drawn = []
        self.stretch = replace(self.stretch, n=0)
