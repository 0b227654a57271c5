"""Noise: the same numbers by single steps and by blocks."""

from __future__ import annotations

import torch

from fanfare.engine.noise import BLOCK, Noise
from fanfare.nn.sampling import exponential_noise

CPU = torch.device("cpu")


def test_blocks_and_single_steps_are_what_multinomial_would_fill() -> None:
    generator = torch.Generator().manual_seed(3)
    single, blocks = Noise(3, 2, 17, CPU), Noise(3, 2, 17, CPU)
    out = torch.empty(2, 17)
    for step in range(3 * BLOCK):
        expected = exponential_noise(torch.empty(2, 17), generator)
        single.read(out)
        assert torch.equal(out, expected)
        assert torch.equal(blocks.block()[step % BLOCK], expected)
        blocks.n_read += 1
    assert single.n_read == blocks.n_read
