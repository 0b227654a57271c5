"""DiffusionUnet: estimates the noise in a sound, given the codec's latent of what it should be.

B batch, C channels (of a layer), T frames (of a layer), N samples, D width of the codec's latent,
L frames of that latent.

Long sounds are computed layer by layer, each layer in pieces. Convolutions see little beyond a
piece, but group norm takes its statistics over the whole length, and so does whatever stands in
the bottleneck: cutting the sound itself into pieces would change every sample. So the activations
of the skip connections are kept whole, and nothing else is: depth + 1 tensors of
hidden / stride values per sample at the most (with a growth of `stride` all layers' are of the same
size), two more with a BiLSTM or a transformer. Where the pieces are cut changes nothing but
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanfare.nn.diffusion_bottleneck import N_HEADS, BiLstm, BottleneckTransformer
from fanfare.nn.diffusion_schedule import N_STEPS

CHUNK_VALUES = 2**22
"""Most values of an activation that are computed at once."""
MAX_DEPTH = 16
MAX_WIDTH = 2**20

Bottleneck = Literal["nothing", "bilstm", "transformer", "cross_attention"]
Affine = tuple[Tensor, Tensor]
"""Scale and shift, each [B, C, 1]."""


@dataclass(frozen=True)
class UnetConfig:
    """What fixes the tensors of a `DiffusionUnet`, and what its tensors don't show.

    Attributes:
        latent_dim: D, width of the codec's latent.
        hidden: channels of the first layer.
        depth: layers on the way down, and on the way up again.
        growth: by which each layer has more channels than the one above.
        max_channels: but no more than this.
        kernel: taps of the convolutions that change the rate.
        stride: by which they change it.
        res_blocks: residual blocks per layer.
        norm_groups: groups of channels that are normalised together.
        emb_all_layers: every layer is told the step, not only the first.
        bottleneck: what stands in the middle; "cross_attention" is a transformer that attends to
            the latent, to which the latent isn't added.
    """

    latent_dim: int
    hidden: int
    depth: int
    growth: float
    max_channels: int
    kernel: int
    stride: int
    res_blocks: int
    norm_groups: int
    emb_all_layers: bool
    bottleneck: Bottleneck = "nothing"

    def __post_init__(self) -> None:
        """Refuse shapes that can't be built; raises ValueError."""
        sizes = (self.latent_dim, self.hidden, self.stride, self.norm_groups, self.max_channels)
        checks = (
            (min(sizes) >= 1 and max(sizes) <= MAX_WIDTH, f"sizes are 1 to {MAX_WIDTH}"),
            (1 <= self.depth <= MAX_DEPTH, f"depth is 1 to {MAX_DEPTH}"),
            (0 <= self.res_blocks <= MAX_DEPTH, f"res_blocks is 0 to {MAX_DEPTH}"),
            (0 < self.growth <= 100, "growth is up to 100"),
            (
                self.kernel >= self.stride and (self.kernel - self.stride) % 2 == 0,
                "kernel must exceed stride by an even number",
            ),
        )
        for good, complaint in checks:
            if not good:
                raise ValueError(f"diffusion network: {complaint} ({self})")
        if min(self.widths) < 1 or any(width % self.norm_groups for width in self.widths):
            raise ValueError(f"diffusion network: norm_groups must divide {self.widths}")
        if self.has_transformer and self.widths[-1] % N_HEADS:
            raise ValueError(f"diffusion network: {N_HEADS} heads must divide {self.widths[-1]}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each layer, from the first down."""
        widths = [self.hidden]
        while len(widths) < self.depth:
            widths.append(min(int(widths[-1] * self.growth), self.max_channels))
        return tuple(widths)

    @property
    def has_transformer(self) -> bool:
        """Of either kind."""
        return self.bottleneck in ("transformer", "cross_attention")

    @property
    def hop(self) -> int:
        """Samples per frame of the bottleneck."""
        return int(self.stride**self.depth)


class DiffusionUnet(nn.Module):
    """A convolutional network over samples with skip connections (arXiv 2308.02560)."""

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        above = (1, *widths)
        self.encoders = nn.ModuleList(
            EncoderLayer(config, *pair) for pair in zip(above, widths, strict=False)
        )
        self.decoders = nn.ModuleList(
            DecoderLayer(config, below, chout)
            for chout, below in reversed(list(zip(above, widths, strict=False)))
        )
        self.embedding = nn.Embedding(N_STEPS, widths[0])
        deeper = widths[1:] if config.emb_all_layers else ()
        self.embeddings = nn.ModuleList(nn.Embedding(N_STEPS, width) for width in deeper)
        self.conv_codec = nn.Conv1d(config.latent_dim, widths[-1], 1)
        self.bilstm = BiLstm(widths[-1]) if config.bottleneck == "bilstm" else None
        self.transformer = None
        if config.has_transformer:
            has_cross = config.bottleneck == "cross_attention"
            self.transformer = BottleneckTransformer(widths[-1], has_cross=has_cross)

    @torch.inference_mode()
    def forward(self, x: Tensor, step: int, latent: Tensor, chunk: int = CHUNK_VALUES) -> Tensor:
        """The noise in `x` [B, 1, N] after `step`, as [B, 1, N].

        Args:
            latent: [B, D, L], spread evenly over the length of `x`.
            chunk: most values of an activation that are computed at once.
        """
        assert x.shape[1:2] == (1,), x.shape
        assert latent.shape[:2] == (x.shape[0], self.config.latent_dim), (x.shape, latent.shape)
        z = x
        skips = []
        for encoder, embedding in zip_longest(self.encoders, (self.embedding, *self.embeddings)):
            z = encoder(z, chunk)
            if embedding is not None:
                z += embedding.weight[step][:, None]
            skips.append(z)
        rising = self._bottleneck(z, self.conv_codec(latent), chunk)
        for decoder in self.decoders:
            z = skips.pop()
            if rising is not None:
                z += rising[:, :, : z.shape[2]]
            rising = decoder(z, chunk)
        assert rising is not None
        return rising[:, :, : x.shape[2]]

    def _bottleneck(self, z: Tensor, condition: Tensor, chunk: int) -> Tensor | None:
        """What is added to the deepest skip `z` [B, C, T], the condition [B, C, L] known.

        The condition itself is added to `z` in place: in the published models the skip carries it
        too, and is the only thing that does where nothing stands in the bottleneck.
        """
        frames = max(1, chunk // z.shape[1])
        if self.config.bottleneck == "cross_attention":
            assert self.transformer is not None
            return self.transformer(z, condition, frames)
        z += F.interpolate(condition, z.shape[2])
        if self.transformer is not None:
            return self.transformer(z, None, frames)
        if self.bilstm is not None:
            return self.bilstm(z, frames)
        return None


class EncoderLayer(nn.Module):
    """Fewer frames and more channels."""

    def __init__(self, config: UnetConfig, chin: int, chout: int) -> None:
        super().__init__()
        padding = (config.kernel - config.stride) // 2
        self.conv = nn.Conv1d(chin, chout, config.kernel, config.stride, padding, bias=False)
        self.norm = nn.GroupNorm(config.norm_groups, chout)
        self.res_blocks = nn.ModuleList(
            ResBlock(config, chout, 2**j) for j in range(config.res_blocks)
        )

    def forward(self, x: Tensor, chunk: int) -> Tensor:
        """[B, C, T] to [B, C', ceil(T / stride)]."""
        stride = self.conv.stride[0]
        z = x.new_empty(x.shape[0], self.conv.out_channels, -(-x.shape[2] // stride))
        for start, stop, piece in _convolved(self.conv, x, None, z.shape[2], chunk):
            z[:, :, start:stop] = piece
        scale, shift = _normalisation(self.norm, z)
        z.mul_(scale).add_(shift).relu_()
        for block in self.res_blocks:
            block(z, chunk)
        return z


class DecoderLayer(nn.Module):
    """More frames and fewer channels."""

    def __init__(self, config: UnetConfig, chin: int, chout: int) -> None:
        super().__init__()
        padding = (config.kernel - config.stride) // 2
        self.res_blocks = nn.ModuleList(
            ResBlock(config, chin, 2**j) for j in range(config.res_blocks)
        )
        self.norm = nn.GroupNorm(config.norm_groups, chin)
        self.convtr = nn.ConvTranspose1d(
            chin, chout, config.kernel, config.stride, padding, bias=False
        )

    def forward(self, x: Tensor, chunk: int) -> Tensor:
        """[B, C, T], which is changed, to [B, C', T * stride]."""
        for block in self.res_blocks:
            block(x, chunk)
        affine = _normalisation(self.norm, x)
        n_out = x.shape[2] * self.convtr.stride[0]
        out = x.new_empty(x.shape[0], self.convtr.out_channels, n_out)
        for start, stop, piece in _spread(self.convtr, x, affine, n_out, chunk):
            out[:, :, start:stop] = piece
        return out


class ResBlock(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, config: UnetConfig, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(config.norm_groups, channels)
        self.conv1 = nn.Conv1d(channels, channels, 3, 1, dilation, dilation)
        self.norm2 = nn.GroupNorm(config.norm_groups, channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, 1, dilation, dilation)

    def forward(self, x: Tensor, chunk: int) -> None:
        """Change `x` [B, C, T] in place."""
        T = x.shape[2]
        h = torch.empty_like(x)
        for start, stop, piece in _convolved(
            self.conv1, x, _normalisation(self.norm1, x), T, chunk
        ):
            h[:, :, start:stop] = piece
        for start, stop, piece in _convolved(
            self.conv2, h, _normalisation(self.norm2, h), T, chunk
        ):
            x[:, :, start:stop] += piece


def _normalisation(norm: nn.GroupNorm, x: Tensor) -> Affine:
    """What group norm multiplies `x` [B, C, T] by and adds to it."""
    B, C, _ = x.shape
    variance, mean = torch.var_mean(x.view(B, norm.num_groups, -1), dim=2, correction=0)  # [B, G]
    per_group = C // norm.num_groups
    rate = torch.rsqrt(variance + norm.eps).repeat_interleave(per_group, dim=1)  # [B, C]
    scale = norm.weight * rate
    shift = norm.bias - scale * mean.repeat_interleave(per_group, dim=1)
    return scale[:, :, None], shift[:, :, None]


def _activated(x: Tensor, affine: Affine | None) -> Tensor:
    if affine is None:
        return x
    scale, shift = affine
    return torch.addcmul(shift, x, scale).relu_()


def _convolved(
    conv: nn.Conv1d, x: Tensor, affine: Affine | None, n_out: int, chunk: int
) -> Iterator[tuple[int, int, Tensor]]:
    """`n_out` frames of a convolution of relu(affine(x)), zeros around it: start, stop, piece."""
    T = x.shape[2]
    stride, padding = conv.stride[0], int(conv.padding[0])
    reach = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
    frames = max(1, chunk // max(stride * conv.in_channels, conv.out_channels))
    for start in range(0, n_out, frames):
        stop = min(start + frames, n_out)
        first = start * stride - padding
        last = (stop - 1) * stride - padding + reach
        seen = _activated(x[:, :, max(0, first) : min(last, T)], affine)
        seen = F.pad(seen, (max(0, -first), max(0, last - T)))
        yield (
            start,
            stop,
            F.conv1d(seen, conv.weight, conv.bias, stride, 0, conv.dilation),
        )


def _spread(
    conv: nn.ConvTranspose1d, x: Tensor, affine: Affine, n_out: int, chunk: int
) -> Iterator[tuple[int, int, Tensor]]:
    """`n_out` frames of a transposed convolution of relu(affine(x)): start, stop, piece.

    Frame i of `x` reaches frames i * stride - padding to i * stride - padding + kernel - 1.
    """
    T = x.shape[2]
    stride, padding, kernel = conv.stride[0], int(conv.padding[0]), conv.kernel_size[0]
    frames = max(stride, chunk // max(-(-conv.in_channels // stride), conv.out_channels))
    for start in range(0, n_out, frames):
        stop = min(start + frames, n_out)
        first = max(0, -((kernel - 1 - padding - start) // stride))
        last = min(T - 1, (stop - 1 + padding) // stride)
        seen = _activated(x[:, :, first : last + 1], affine)
        made = F.conv_transpose1d(seen, conv.weight, None, stride)
        offset = start + padding - first * stride
        yield start, stop, made[:, :, offset : offset + stop - start]
