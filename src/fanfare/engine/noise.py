"""Noise: the random numbers that a job's tokens are drawn with.

n steps of a block, K codebooks.

What a job draws depends on its seed and its device, and neither on who else is drawn for nor on how
steps are grouped. On a CPU each step fills its own, as `torch.multinomial` would, which makes seeds
give the published codes. Elsewhere a launch for every step and job would cost more than the
numbers, and how many are filled at once shows in them: there it is always a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fanfare.nn.sampling import exponential_noise

BLOCK = 32
"""Steps that are filled at once, counted from a job's first."""


class Noise:
    """Exponential noise for one job, step after step.

    It is read either by single steps or by blocks.
    """

    def __init__(self, seed: int, n_codebooks: int, card: int, device: torch.device) -> None:
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.shape = n_codebooks, card
        self.n_read = 0  # steps
        self._block: Tensor | None = None

    def read(self, out: Tensor) -> None:
        """The next step's, into `out`, contiguous float32 [K, card]."""
        assert out.shape == self.shape, (out.shape, self.shape)
        if out.device.type == "cpu":
            exponential_noise(out, self.generator)
        else:
            out.copy_(self.block()[self.n_read % BLOCK])
        self.n_read += 1

    def block(self) -> Tensor:
        """The block in which the next step's is number `n_read % BLOCK`, [n, K, card].

        It is filled when its first step is asked for; whoever uses a step's adds 1 to `n_read`.
        """
        if self._block is None:
            assert self.n_read % BLOCK == 0, "read by single steps so far"
            self._block = torch.empty(BLOCK, *self.shape, device=self.generator.device)
            self._filled = -1
        number = self.n_read // BLOCK
        if self._filled != number:
            assert self._filled == number - 1, (self._filled, number)
            self._filled = number
            parts = self._block if self._block.device.type == "cpu" else [self._block]
            for part in parts:
                exponential_noise(part, self.generator)
        return self._block
