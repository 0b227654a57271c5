"""StreamDecoder: codes to sound while they are being made, joined without a seam.

C channels, K codebooks (of all channels), T frames, D width, N samples.

The decoder of an EnCodec is a convolution, a recurrent layer and convolutions that spread each
frame over its samples. The recurrent layer remembers all that was before, so its state is carried
on from chunk to chunk. The convolutions hear a few frames to either side: those at a chunk's left
are kept for the next one, and the last few frames are held back until what follows is known. Only
edges that are the piece's own are padded, so that what comes out is what decoding all at once
gives, but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.models.encodec.modeling_encodec import (
    EncodecConv1d,
    EncodecConvTranspose1d,
    EncodecResnetBlock,
)

from fanfare.nn.codec import Codec


class StreamDecoder:
    """Decodes one piece, chunk by chunk."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        first, self._recurrent, local = codec.decoder_parts()
        self._first = _Overlap([first], hop=1)
        self._local = _Overlap(local, hop=codec.hop)
        self._state: tuple[Tensor, Tensor] | None = None
        self._is_finished = False

    @property
    def n_held_frames(self) -> int:
        """How many frames the sound lags behind the codes."""
        return self._first.reach + self._local.reach

    def push(self, codes: Tensor) -> Tensor:
        """Take in codes [K, n]; gives sound [C, m] that is final, m being 0 at first."""
        assert codes.ndim == 2, codes.shape
        return self._run(self.codec.latent(codes[None]), is_last=False)  # [C, latent, n]

    def finish(self) -> Tensor:
        """What was held back, sound [C, m]; all frames together give hop samples each."""
        nothing = torch.zeros(self.codec.n_codebooks, 0, dtype=torch.int64)
        wav = self._run(self.codec.latent(nothing[None]), is_last=True)
        self._is_finished = True
        return wav

    @torch.inference_mode()
    def _run(self, latent: Tensor, *, is_last: bool) -> Tensor:
        assert not self._is_finished, "finished"
        x = self._first.run(latent, is_last=is_last)  # [C, D, n]
        if x.shape[2]:
            steps = x.permute(2, 0, 1)  # [n, C, D]
            made, self._state = self._recurrent.lstm(steps, self._state)
            x = (made + steps).permute(1, 2, 0)
        return self._local.run(x, is_last=is_last)[:, 0]  # [C, N]


class _Overlap:
    """Layers that hear `reach` frames to either side, run over a signal that comes in parts."""

    def __init__(self, layers: Sequence[nn.Module], hop: int) -> None:
        """`hop`: samples that the layers make of each frame."""
        self.layers = layers
        self.hop = hop
        self.reach = reach_frames(layers)
        self._kept: Tensor | None = None  # [C, D, frames before that may still be heard, and held]
        self._n_before = 0  # of those kept: made already

    def run(self, x: Tensor, *, is_last: bool) -> Tensor:
        """Take in [C, D, n]; gives [C, D', hop * m], the frames whose neighbours are all known."""
        if self._kept is not None:
            x = torch.cat([self._kept, x], dim=2)
        before, n = self._n_before, x.shape[2]
        stop = n if is_last else max(before, n - self.reach)
        left = max(0, stop - self.reach)
        self._kept, self._n_before = x[:, :, left:], stop - left
        if stop == before:
            return x.new_zeros(x.shape[0], self._width(x), 0)
        for layer in self.layers:
            x = layer(x)
        return x[:, :, self.hop * before : self.hop * stop]

    def _width(self, x: Tensor) -> int:
        convolutions = [m for m in self.layers if isinstance(m, EncodecConv1d)]
        return convolutions[-1].conv.out_channels if convolutions else x.shape[1]


def reach_frames(layers: Sequence[nn.Module]) -> int:
    """Frames to either side that a frame's samples may depend on."""
    reach = 0  # of the output so far, at its own rate
    for layer in reversed(layers):
        if isinstance(layer, EncodecConvTranspose1d):
            reach = _reach_through(layer, reach)
        elif isinstance(layer, EncodecResnetBlock):
            reach += max(_span(layer.block), _span([layer.shortcut]))
        else:
            reach += _span([layer])
    return reach


def _reach_through(layer: EncodecConvTranspose1d, reach: int) -> int:
    """What `reach` samples to either side of a frame are in frames before the layer.

    Frame j is spread over samples j * stride - cut and the `kernel` - 1 after it.
    """
    kernel, stride = int(layer.conv.kernel_size[0]), int(layer.conv.stride[0])
    total = kernel - stride
    cut = total - (math.ceil(total * layer.trim_right_ratio) if layer.causal else total // 2)
    left = (reach + kernel - 1 - cut) // stride
    right = (reach + stride - 1 + cut) // stride
    return max(left, right)


def _span(layers: Sequence[nn.Module] | nn.ModuleList) -> int:
    """How far convolutions one after the other hear, the way that they hear further."""
    total = 0
    for layer in layers:
        if isinstance(layer, EncodecConv1d):
            assert layer.norm_type == "weight_norm", "a norm over time needs the whole piece"
            width = int(layer.kernel_size) - 1
            total += width if layer.causal else -(-width // 2)
    return total
