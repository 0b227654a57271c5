"""What a piece is conditioned on: plans, text and melodies turned into vectors of the model.

B batch, T frames, S delayed steps, D model width, F plan features, L text length, P prefix length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Conditions:
    """What one request is conditioned on, as vectors of the model; each part is optional.

    Attributes:
        cross: text for cross-attention [L, D].
        prefix: melody and text put before the first step [P, D].
        frames: a plan, one vector per frame [T, D].
    """

    cross: Tensor | None = None
    prefix: Tensor | None = None
    frames: Tensor | None = None


class PlanEncoder(nn.Module):
    """A plan, seen through a few frames on either side, as one vector per frame.

    `mean` and `std` standardise the features; `null_vector` stands for "no plan".
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_features: int, context: int, dim: int) -> None:
        super().__init__()
        self.context = context
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.linear1 = nn.Linear((2 * context + 1) * n_features, dim)
        self.linear2 = nn.Linear(dim, dim)
        self.null_vector = nn.Parameter(torch.zeros(dim))

    def forward(self, plan: Tensor) -> Tensor:
        """Plan [B, T, F] to frames [B, T, D]; beyond the edges the edge frame is repeated."""
        B, T, n_features = plan.shape
        assert n_features == self.mean.shape[0], (plan.shape, self.mean.shape)
        standard = (plan - self.mean) / self.std
        padded = F.pad(standard.mT, (self.context, self.context), mode="replicate")  # [B, F, T+2c]
        stacked = padded.unfold(2, 2 * self.context + 1, 1)  # [B, F, T, 2c+1]
        stacked = stacked.permute(0, 2, 3, 1).reshape(B, T, -1)  # [B, T, (2c+1)F], frame t-c first
        return self.linear2(F.gelu(self.linear1(stacked)))

    def null(self, n_rows: int, n_frames: int) -> Tensor:
        """The frames [B, T, D] of "no plan"."""
        return self.null_vector.expand(n_rows, n_frames, -1)


def align_frames(frames: Tensor, n_steps: int) -> Tensor:
    """Frames [..., T, D] to the input of each delayed step [..., S, D].

    Step s predicts column s + 1, whose undelayed book holds frame s; the steps that only finish
    the delayed books keep the last frame.
    """
    T = frames.shape[-2]
    if n_steps <= T:
        return frames[..., :n_steps, :]
    last = frames[..., -1:, :].expand(*frames.shape[:-2], n_steps - T, frames.shape[-1])
    return torch.cat([frames, last], dim=-2)
