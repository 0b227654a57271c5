"""Data-parallel training on one machine's cores: a process with a single thread for each.

Faster than one process with as many threads, whose small operations wait for one another, and far
less disturbed by whatever else the machine is doing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn


@dataclass(frozen=True)
class Team:
    """One process's place among those that train together; alone by default."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process reports, judges and saves."""
        return self.rank == 0

    def average(self, parameters: Sequence[Tensor]) -> None:
        """Replaces every parameter's gradient by its mean over the team."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        distributed.all_reduce(flat)
        flat /= self.size
        for gradient, part in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def leaders(self, value: float) -> float:
        """The leader's value, for everyone: a clock that all stop by."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        distributed.broadcast(shared, src=0)
        return shared.item()


def work_together(work: Callable[[Team], None], size: int) -> None:
    """Runs `work`, which must be picklable, in `size` processes at once, and waits for them.

    Raises:
        torch.multiprocessing.ProcessRaisedException: one of them failed; the others are stopped.
    """
    if size == 1:
        work(Team())
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting_point = (Path(folder) / "meet").as_uri()
        spawn(_join, (work, size, meeting_point), nprocs=size)


def _join(rank: int, work: Callable[[Team], None], size: int, meeting_point: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=meeting_point, rank=rank, world_size=size)
    try:
        work(Team(rank, size))
    finally:
        distributed.destroy_process_group()
