"""Matrices in few bits: blocks along the input, each with a scale of its own.

The layout is that of ONNX Runtime's MatMulNBits. n outputs, m inputs, b values a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 128
"""Values that share a scale: twice as many read hardly faster, half as many a tenth slower."""
MIN_BLOCK = 16


@dataclass(frozen=True, eq=False)
class QuantisedMatrix:
    """A matrix [n, m] as integers.

    Attributes:
        values: uint8 [n, m / b, b * bits / 8]; of 4 bits, the earlier value is in the low half.
        scales: float32 [n, m / b]; a value v stands for (v - 2^(bits-1)) * scale.
        bits: 4 or 8.
        block: b.
        shape: (n, m) before padding to whole blocks.
    """

    values: Tensor
    scales: Tensor
    bits: int
    block: int
    shape: tuple[int, int]


def block_for(n_inputs: int) -> int:
    """The block length for rows of `n_inputs` values: a power of two, no longer than needed."""
    block = BLOCK
    while block > MIN_BLOCK and block >= 2 * n_inputs:
        block //= 2
    return block


def quantise(weight: Tensor, bits: int) -> QuantisedMatrix:
    """A matrix [n, m] of floats in 8 or 4 bits, symmetric about zero.

    With 4 bits, each block takes that of a few scales which leaves the least squared error: the
    largest value is worth cutting for the sake of the many small ones.
    """
    assert bits in (4, 8), bits
    n, m = weight.shape
    block = block_for(m)
    rows = F.pad(weight.float(), (0, -m % block)).view(n, -1, block)  # [n, m / b, b]
    top = 2 ** (bits - 1)
    peak = rows.abs().amax(dim=2, keepdim=True).clamp(min=1e-12)
    scale = peak / (top - 1)
    if bits == 4:
        scale = _best_scale(rows, peak, top)
    whole = torch.round(rows / scale).clamp(-top, top - 1) + top
    values = whole.to(torch.uint8)
    if bits == 4:
        values = values[..., 0::2] | (values[..., 1::2] << 4)
    return QuantisedMatrix(values.contiguous(), scale.squeeze(2).contiguous(), bits, block, (n, m))


def _best_scale(rows: Tensor, peak: Tensor, top: int) -> Tensor:
    best = peak / (top - 1)
    least = torch.full_like(peak, float("inf"))
    for share in (1.0, 0.94, 0.88, 0.82, 0.76, 0.7):
        scale = share * peak / (top - 1)
        whole = torch.round(rows / scale).clamp(-top, top - 1)
        error = (whole * scale - rows).square().sum(dim=2, keepdim=True)
        better = error < least
        best, least = torch.where(better, scale, best), torch.where(better, error, least)
    return best


def dequantise(matrix: QuantisedMatrix) -> Tensor:
    """The float32 matrix [n, m] that a quantised one stands for."""
    values = matrix.values
    if matrix.bits == 4:
        values = torch.stack([values & 15, values >> 4], dim=-1).flatten(2)
    whole = values.float() - 2 ** (matrix.bits - 1)
    n, m = matrix.shape
    scaled: Tensor = whole * matrix.scales[..., None]
    return scaled.view(n, -1)[:, :m]
