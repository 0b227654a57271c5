"""Ensemble: the jobs that play together until somebody joins or leaves.

J jobs, R rows, K codebooks, D width, n steps of a stretch.

What differs from step to step is laid out for a stretch of steps at a time, so that a step itself
is a few operations for all jobs together, and waits for no device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fanfare.engine.runner import Runner
from fanfare.engine.sampler import Sampler
from fanfare.engine.track import FREE, Track

STRETCH = 64
"""Most steps that are laid out at once."""


class Ensemble:
    """Runs its jobs by single steps. Whoever begins a window must have been admitted."""

    def __init__(
        self, runner: Runner, tracks: Sequence[Track], admitted: Mapping[int, Tensor]
    ) -> None:
        """`admitted` are the logits [K, card] of rows that were just prefilled."""
        self.runner, self.tracks = runner, tracks
        order = sorted((row, j, i) for j, track in enumerate(tracks)
                       for i, row in enumerate(track.rows))  # fmt: skip
        self.rows = [row for row, _, _ in order]
        self.job_of_row = [j for _, j, _ in order]
        device = runner.lm.device
        self.spread = torch.tensor(self.job_of_row, device=device)  # [R]
        conditions = [track.conditions() for track in tracks]
        self.conditions = [conditions[j][i] for _, j, i in order]  # of each row
        self.sampler = Sampler(tracks, self.rows, runner.lm.config)
        self.admitted = dict(admitted)
        self.last: Tensor | None = None  # [J, K]
        self._lay_out()

    def _lay_out(self) -> None:
        """The next stretch: its columns with free cells, and what is added to its inputs."""
        self.n = max(1, min(STRETCH, *(track.n_until_due() for track in self.tracks)))
        self.used = 0
        self.columns = torch.stack([t.forced(self.n) for t in self.tracks], dim=1)  # [n, J, K]
        self.frames: Tensor | None = None
        by_row = [
            self.tracks[j].next_frames(condition, self.n)
            for j, condition in zip(self.job_of_row, self.conditions, strict=True)
        ]
        given = [frames for frames in by_row if frames is not None]
        if given:
            assert len(given) == len(by_row), "either all jobs have frames or none"
            self.frames = torch.stack(given, dim=1)[:, :, None]  # [n, R, 1, D]

    @property
    def is_due(self) -> bool:
        """Whether the stretch is at its end, and with it perhaps some window."""
        return self.used == self.n

    def step(self) -> None:
        """Draw one column of every job."""
        if self.is_due:
            self.close()
            self._lay_out()
        logits = self._first_logits() if self.last is None else self._logits(self.last)
        tokens = self.sampler(logits)  # [J, K]
        if any(track.is_forced() for track in self.tracks):
            column = self.columns[self.used]
            tokens = torch.where(column == FREE, tokens, column)
        self.columns[self.used] = tokens
        self.last = tokens
        self.used += 1
        for track in self.tracks:
            track.step += 1
            track.n_done += 1

    def _logits(self, last: Tensor) -> Tensor:
        """[R, K, card] after the last columns [J, K]."""
        x = self.runner.lm.embed(last[:, :, None], None, None)  # [J, 1, D]
        x = x.index_select(0, self.spread)  # [R, 1, D]
        if self.frames is not None:
            x = x + self.frames[self.used]
        return self.runner.step(self.rows, x)

    def _first_logits(self) -> Tensor:
        """The same in the first step: some rows were prefilled, the others go on."""
        going = [i for i, row in enumerate(self.rows) if row not in self.admitted]
        by_row = {row: self.admitted[row] for row in self.rows if row in self.admitted}
        if going:
            columns = []
            for i in going:
                last = self.tracks[self.job_of_row[i]].last
                assert last is not None, "a job without a past must be admitted"
                columns.append(last)
            x = self.runner.lm.embed(torch.stack(columns)[:, :, None], None, None)  # [going, 1, D]
            if self.frames is not None:
                x = x + self.frames[self.used][going]
            rows = [self.rows[i] for i in going]
            by_row.update(zip(rows, self.runner.step(rows, x), strict=True))
        self.admitted.clear()
        return torch.stack([by_row[row] for row in self.rows])

    def close(self) -> None:
        """Hand the columns of this stretch to their jobs; the next has columns of its own."""
        if self.used == 0 or self.last is None:
            return
        for j, track in enumerate(self.tracks):
            track.take(self.columns[: self.used, j], self.last[j])
        self.n = self.used = 0
