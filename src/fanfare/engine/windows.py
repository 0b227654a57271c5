"""Windows: how a piece longer than a model has ever seen is made in overlapping parts."""

from __future__ import annotations

from dataclasses import dataclass

from fanfare.nn.config import LmConfig

STRIDE_S = 18.0
"""Seconds between the starts of two windows; what overlaps is the next window's prompt."""


@dataclass(frozen=True)
class Window:
    """One part of a piece, in frames: it starts at `start` with `n_prompt` frames given."""

    start: int
    n_prompt: int
    n_frames: int


def max_window_frames(config: LmConfig) -> int | None:
    """Frames that a model can hold in view at once; None = any number.

    Rotary positions with a window of attention look alike everywhere; sinusoidal ones are known
    only as far as training went.
    """
    if config.positions == "rope" and config.past_context is not None:
        return None
    return int(config.max_duration_s * config.frame_rate_hz)


def plan_windows(config: LmConfig, n_frames: int, n_prompt: int = 0) -> list[Window]:
    """The windows of a piece of `n_frames` frames that begins with `n_prompt` given ones.

    The prompt must be shorter than the first window.
    """
    longest = max_window_frames(config)
    if longest is None or n_frames <= longest:
        return [Window(0, n_prompt, n_frames)]
    assert n_prompt < longest, (n_prompt, longest)
    stride = min(int(STRIDE_S * config.frame_rate_hz), longest - 1)
    windows = []
    start = 0
    while start + n_prompt < n_frames:
        windows.append(Window(start, n_prompt, min(n_frames - start, longest)))
        n_prompt = windows[-1].n_frames - stride
        start += stride
    return windows
