"""DelayPattern: codebooks laid out so that slower ones lag behind faster ones.

B batch, K codebooks, T frames, S delayed steps = 1 + T + the largest delay.
Column 0 holds no code at all: it is what the first step reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DelayPattern:
    """The delay of each codebook, and the token that fills the cells that hold no code.

    Frame `t` of book `k` stands in column `t + 1 + delays[k]` (specification: MusicGen,
    arXiv 2306.05284, the "delay" interleaving).
    """

    delays: tuple[int, ...]
    special_token: int

    def n_steps(self, n_frames: int) -> int:
        """S for T frames."""
        return 1 + n_frames + max(self.delays)

    def build(self, codes: Tensor) -> Tensor:
        """Codes [B, K, T] to the delayed sequence [B, K, S]."""
        B, K, T = codes.shape
        assert len(self.delays) == K, (len(self.delays), codes.shape)
        delayed = codes.new_full((B, K, self.n_steps(T)), self.special_token)  # [B, K, S]
        for k, delay in enumerate(self.delays):
            delayed[:, k, 1 + delay : 1 + delay + T] = codes[:, k]
        return delayed

    def revert(self, delayed: Tensor) -> Tensor:
        """The delayed sequence [B, K, S] back to codes [B, K, T]."""
        B, K, S = delayed.shape
        T = S - 1 - max(self.delays)
        assert len(self.delays) == K, (len(self.delays), delayed.shape)
        assert T >= 0, delayed.shape
        codes = delayed.new_empty((B, K, T))  # [B, K, T]
        for k, delay in enumerate(self.delays):
            codes[:, k] = delayed[:, k, 1 + delay : 1 + delay + T]
        return codes

    def mask(self, n_frames: int) -> Tensor:
        """Which cells of the delayed sequence hold a code: bool [K, S]."""
        column = torch.arange(self.n_steps(n_frames))
        frame = column - 1 - torch.tensor(self.delays)[:, None]  # [K, S]
        return (frame >= 0) & (frame < n_frames)
