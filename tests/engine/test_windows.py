"""The windows of long pieces."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanfare.engine.windows import Window, plan_windows
from fanfare.nn.config import LmConfig

SIN = LmConfig(n_codebooks=1, card=8, dim=8, n_heads=1, n_layers=1, ffn_dim=8, delays=(0,))
ROPE = replace(SIN, positions="rope", past_context=256)


@pytest.mark.parametrize(
    ("n_frames", "n_prompt", "expected"),
    [
        (1500, 0, [Window(0, 0, 1500)]),
        (1501, 0, [Window(0, 0, 1500), Window(900, 600, 601)]),
        (2000, 0, [Window(0, 0, 1500), Window(900, 600, 1100)]),
        (2400, 100, [Window(0, 100, 1500), Window(900, 600, 1500)]),
        (2401, 0, [Window(0, 0, 1500), Window(900, 600, 1500), Window(1800, 600, 601)]),
    ],
)
def test_windows_are_those_published(n_frames: int, n_prompt: int, expected: list[Window]) -> None:
    assert plan_windows(SIN, n_frames, n_prompt) == expected


@pytest.mark.parametrize("n_frames", range(1400, 6000, 37))
def test_windows_cover_a_piece_once(n_frames: int) -> None:
    end = 0
    for window in plan_windows(SIN, n_frames):
        assert window.start + window.n_prompt == end
        assert window.n_prompt < window.n_frames <= 1500
        end = window.start + window.n_frames
    assert end == n_frames


def test_a_rotary_model_with_a_window_needs_none() -> None:
    assert plan_windows(ROPE, 30_000, 10) == [Window(0, 10, 30_000)]
