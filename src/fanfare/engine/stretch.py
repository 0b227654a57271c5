"""Stretch: some steps of an ensemble, with what differs from one to the next laid out beforehand.

J jobs, R rows, K codebooks, D width, n steps of a stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fanfare.engine.track import Track

STRETCH = 64
"""Most steps that are laid out at once."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """What the next steps read.

    Attributes:
        n: how many there are.
        columns: int64 [n, J, K] to be drawn, FREE where nothing is known of a cell.
        free: steps in which all cells of all jobs are.
        frames: added to the inputs of rows, [n, R, D]; None where the model takes no plan.
    """

    n: int
    columns: Tensor
    free: range
    frames: Tensor | None


class Seating:
    """Which job has which rows.

    Attributes:
        tracks: the jobs.
        rows: theirs, ascending.
        job_of_row: each row's number of its job.
        conditions: of each row.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        order = sorted((row, j, i) for j, track in enumerate(tracks)
                       for i, row in enumerate(track.rows))  # fmt: skip
        self.tracks = tracks
        self.rows = [row for row, _, _ in order]
        self.job_of_row = [j for _, j, _ in order]
        conditions = [track.conditions() for track in tracks]
        self.conditions = [conditions[j][i] for _, j, i in order]

    def lay_out(self) -> Stretch:
        """The next steps: until something is due for one of the jobs, but not too many."""
        n = max(1, min(STRETCH, *(track.n_until_due() for track in self.tracks)))
        columns = torch.stack([track.forced(n) for track in self.tracks], dim=1)
        free = [track.free_steps() for track in self.tracks]
        by_row = [
            self.tracks[j].next_frames(condition, n)
            for j, condition in zip(self.job_of_row, self.conditions, strict=True)
        ]
        given = [frames for frames in by_row if frames is not None]
        assert len(given) in (0, len(by_row)), "either all jobs have frames or none"
        return Stretch(
            n,
            columns,
            range(max(steps.start for steps in free), min(steps.stop for steps in free)),
            torch.stack(given, dim=1) if given else None,
        )
