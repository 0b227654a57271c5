"""Overlap: a codec's layers over a signal that comes in parts, joined without a seam.

C channels, D width, n frames.

Only edges that are the signal's own are padded, so that all parts together are what the whole
gives at once, but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fanfare.nn.encodec import Convolution, Residual, TransposedConvolution
from fanfare.nn.lapped import Block, Synthesis


class Overlap:
    """Layers that hear some frames to either side, run over a signal that comes in parts."""

    def __init__(self, layers: Sequence[nn.Module], hop: int) -> None:
        """`hop`: samples that the layers make of each frame."""
        self.layers = layers
        self.hop = hop
        self.memory, self.lookahead = reach_frames(layers)
        self._kept: Tensor | None = None  # [C, D, frames before that may still be heard, and held]
        self._n_before = 0  # of those kept: made already
        self._first = 0  # of those kept: its place in the whole

    @torch.inference_mode()
    def run(self, x: Tensor, *, is_last: bool) -> Tensor:
        """Take in [C, D, n]; gives [C, D', hop * m], the frames whose neighbours are all known."""
        if self._kept is not None:
            x = torch.cat([self._kept, x], dim=2)
        before, n = self._n_before, x.shape[2]
        stop = n if is_last else max(before, n - self.lookahead)
        left = max(0, stop - self.memory)
        self._kept, self._n_before = x[:, :, left:], stop - left
        first, self._first = self._first, self._first + left
        if stop == before:
            return x.new_zeros(x.shape[0], self._width(x), 0)
        for layer in self.layers:
            x = layer(x, first) if isinstance(layer, Synthesis) else layer(x)
        return x[:, :, self.hop * before : self.hop * stop]

    def _width(self, x: Tensor) -> int:
        plain = [m.conv if isinstance(m, Convolution) else m for m in self.layers]
        widths = [m.out_channels for m in plain if isinstance(m, nn.Conv1d)]
        return widths[-1] if widths else x.shape[1]


def reach_frames(layers: Sequence[nn.Module]) -> tuple[int, int]:
    """How many frames before it, and after it, a frame's samples may depend on."""
    before = after = 0  # of the output so far, at its own rate
    for layer in reversed(layers):
        if isinstance(layer, Block | Synthesis):
            before, after = before + layer.left, after + layer.right
        elif isinstance(layer, TransposedConvolution):
            before = after = _reach_through(layer, max(before, after))
        else:
            width = (
                max(_span(layer.block), _span([layer.shortcut]))
                if isinstance(layer, Residual)
                else _span([layer])
            )
            before, after = before + width, after + width
    return before, after


def _reach_through(layer: TransposedConvolution, reach: int) -> int:
    """What `reach` samples to either side of a frame are in frames before the layer.

    Frame j is spread over samples j * stride - cut and the `kernel` - 1 after it.
    """
    stride, cut = layer.stride, layer.cut_left
    left = (reach + layer.kernel - 1 - cut) // stride
    right = (reach + stride - 1 + cut) // stride
    return max(left, right)


def _span(layers: Sequence[nn.Module] | nn.ModuleList) -> int:
    """How far convolutions one after the other hear, the way that they hear further."""
    total = 0
    for layer in layers:
        if isinstance(layer, Convolution):
            width = layer.span - 1
            total += width if layer.is_causal else -(-width // 2)
    return total
