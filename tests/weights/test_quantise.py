"""Matrices in few bits stand for nearly the same matrices."""

from __future__ import annotations

import pytest
import torch

from fanfare.weights.quantise import block_for, dequantise, quantise


# A block's peak is some three standard deviations; a step of rounding errs by 1/√12 of it.
@pytest.mark.parametrize(("bits", "largest"), [(8, 3.2 / 127 / 12**0.5), (4, 3.2 / 7 / 12**0.5)])
@pytest.mark.parametrize("shape", [(64, 256), (48, 100), (8, 16), (3, 5)])
def test_little_is_lost(bits: int, largest: float, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape)
    small = quantise(weight, bits)
    again = dequantise(small)
    assert again.shape == weight.shape
    assert float((again - weight).norm() / weight.norm()) < largest
    n_blocks = -(-shape[1] // small.block)
    assert small.values.shape == (shape[0], n_blocks, small.block * bits // 8)
    assert small.scales.shape == (shape[0], n_blocks)


@pytest.mark.parametrize("bits", [4, 8])
def test_what_fits_is_kept_exactly(bits: int) -> None:
    top = 2 ** (bits - 1) - 1
    weight = torch.randint(-top, top + 1, (6, 128)).float()
    weight[:, 0] = top  # the block's largest value sets its scale
    torch.testing.assert_close(dequantise(quantise(weight, bits)), weight, rtol=1e-6, atol=1e-5)


def test_the_earlier_value_is_in_the_low_half() -> None:
    weight = torch.zeros(1, 16)
    weight[0, 0], weight[0, 1] = 7.0, -7.0
    small = quantise(weight, 4)
    assert small.values[0, 0, 0].item() == 15 | (1 << 4)
    assert small.values[0, 0, 1].item() == 8 | (8 << 4)


def test_a_matrix_of_nothing_stays_nothing() -> None:
    assert not dequantise(quantise(torch.zeros(4, 64), 4)).any()


def test_blocks_are_no_longer_than_rows_need() -> None:
    assert [block_for(n) for n in (1024, 128, 100, 64, 20, 3)] == [128, 128, 128, 64, 32, 16]
