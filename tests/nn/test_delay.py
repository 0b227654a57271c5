"""The delay pattern."""

from __future__ import annotations

import pytest
import torch

from fanfare.nn.delay import DelayPattern

HOLE = 99


@pytest.mark.parametrize("delays", [(0, 1, 2, 3), (0, 0, 1, 1, 2, 2, 3, 3), (0,)])
@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_revert_undoes_build(delays: tuple[int, ...], n_frames: int) -> None:
    pattern = DelayPattern(delays, HOLE)
    codes = torch.randint(50, (2, len(delays), n_frames))
    delayed = pattern.build(codes)
    assert delayed.shape == (2, len(delays), pattern.n_steps(n_frames))
    assert torch.equal(pattern.revert(delayed), codes)


def test_build_lays_each_book_out_by_its_delay() -> None:
    codes = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    expected = [[HOLE, 1, 2, 3, HOLE, HOLE], [HOLE, HOLE, HOLE, 4, 5, 6]]
    assert DelayPattern((0, 2), HOLE).build(codes)[0].tolist() == expected


def test_mask_marks_the_cells_that_hold_codes() -> None:
    pattern = DelayPattern((0, 1, 2, 3), HOLE)
    delayed = pattern.build(torch.zeros(1, 4, 5, dtype=torch.int64))
    assert torch.equal(pattern.mask(5), delayed[0] != HOLE)
