"""Excerpts of rendered pieces, drawn at random: what codecs and band models are trained on.

B excerpts, S pieces, N samples.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Wavs(Protocol):
    """Where excerpts come from: int16 audio [S, N], of which the first `n_filled` rows count."""

    @property
    def wavs(self) -> Tensor:
        """[S, N], on the device that trains."""

    @property
    def n_filled(self) -> int:
        """Rows that hold pieces."""

    def refresh(self, at_most: int = 1) -> None:
        """Brings new pieces, if there are some."""


def crops(pieces: Wavs, n: int, n_samples: int, device: torch.device) -> Tensor:
    """`n` excerpts [B, N] within +-1, avoiding silent ones; level and polarity vary at random."""
    drawn = n + max(2, n // 4)  # more than needed: the quietest are left out
    where = pieces.wavs.device
    rows = torch.randint(pieces.n_filled, (drawn, 1), device=where)
    starts = torch.randint(pieces.wavs.shape[1] - n_samples, (drawn, 1), device=where)
    if where.type == "cpu":  # gathering by index would be slower by far
        pairs = zip(rows.flatten().tolist(), starts.flatten().tolist(), strict=True)
        x = torch.stack([pieces.wavs[row, start : start + n_samples] for row, start in pairs])
    else:
        x = pieces.wavs[rows, starts + torch.arange(n_samples, device=where)]
    x = x.to(device).float() / 32767
    is_silent = x.abs().amax(dim=1) < 0.01
    x = x[torch.argsort(is_silent.int(), stable=True)[:n]]
    signs = torch.randint(2, (n, 1), device=device) * 2.0 - 1.0
    return x * signs * 10 ** (torch.rand(n, 1, device=device) * 0.25 - 0.2)
