"""Encodec: the modules of EnCodec (arXiv 2210.13438): encoder, residual quantizer, decoder.

B batch, C width of a layer, D latent width, K codebooks, T frames, N samples.

Weights bear the names of transformers' `EncodecModel`, without its weight norm: published weights
have it multiplied out when they are read. The numbers are the same to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PadMode = Literal["reflect", "constant", "replicate"]
State = tuple[Tensor, Tensor]
"""What a recurrent layer remembers: two tensors [layers, B, C]."""


@dataclass(frozen=True)
class EncodecConfig:
    """What fixes the tensors of an `Encodec`, and how edges are padded.

    Attributes:
        sample_rate_hz: samples per second.
        ratios: by how much each layer of the decoder lengthens the signal; the encoder's shorten
            it in the opposite order.
        n_codebooks: K.
        card: codes per codebook.
        latent_dim: D, width of what is quantized.
        n_filters: C at the sample rate; it doubles with each ratio.
        n_residual_layers: residual blocks per ratio.
        kernel, last_kernel: length of the first and last convolutions of encoder and decoder.
        residual_kernel: length of a residual block's first convolution.
        dilation_growth: a ratio's block j is dilated by this to the power of j.
        compress: how many times narrower the inside of a residual block is.
        n_lstm_layers: of each recurrent layer.
        is_causal: whether convolutions hear the past only.
        trim_right_ratio: of what transposed convolutions make too much, the share that is cut at
            the right if they are causal.
        pad_mode: what stands for samples beyond the edges; "constant" is silence.
        has_conv_shortcut: whether a convolution runs beside each residual block.
    """

    sample_rate_hz: int
    ratios: tuple[int, ...]
    n_codebooks: int
    card: int = 1024
    latent_dim: int = 128
    n_filters: int = 32
    n_residual_layers: int = 1
    kernel: int = 7
    last_kernel: int = 7
    residual_kernel: int = 3
    dilation_growth: int = 2
    compress: int = 2
    n_lstm_layers: int = 2
    is_causal: bool = True
    trim_right_ratio: float = 1.0
    pad_mode: PadMode = "reflect"
    has_conv_shortcut: bool = True

    def __post_init__(self) -> None:
        assert self.is_causal or self.trim_right_ratio == 1, self
        assert self.sample_rate_hz % self.hop == 0, self

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate_hz(self) -> int:
        """Frames per second."""
        return self.sample_rate_hz // self.hop


class Encodec(nn.Module):
    """Mono audio to codes and back; codebooks are zero until they are given."""

    def __init__(self, config: EncodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Layers(encoder_layers(config))  # [B, 1, N] -> [B, D, ceil(N / hop)]
        self.decoder = Layers(_decoder(config))  # [B, D, T] -> [B, 1, hop * T]
        self.quantizer = Quantizer(config)


class Layers(nn.Module):
    """Layers one after the other."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """From [B, C, n] to [B, C', n']."""
        for layer in self.layers:
            x = layer(x)
        return x


def encoder_layers(config: EncodecConfig) -> list[nn.Module]:
    """From [B, 1, N] to [B, D, ceil(N / hop)]."""
    width = config.n_filters
    layers: list[nn.Module] = [Convolution(config, 1, width, config.kernel)]
    for ratio in reversed(config.ratios):
        layers += _residuals(config, width)
        layers += [nn.ELU(), Convolution(config, width, 2 * width, 2 * ratio, stride=ratio)]
        width *= 2
    last = Convolution(config, width, config.latent_dim, config.last_kernel)
    return [*layers, Recurrent(width, config.n_lstm_layers), nn.ELU(), last]


def _decoder(config: EncodecConfig) -> list[nn.Module]:
    width = config.n_filters << len(config.ratios)
    layers: list[nn.Module] = [
        Convolution(config, config.latent_dim, width, config.kernel),
        Recurrent(width, config.n_lstm_layers),
    ]
    for ratio in config.ratios:
        layers += [nn.ELU(), TransposedConvolution(config, width, width // 2, 2 * ratio, ratio)]
        width //= 2
        layers += _residuals(config, width)
    return [*layers, nn.ELU(), Convolution(config, width, 1, config.last_kernel)]


def _residuals(config: EncodecConfig, width: int) -> list[nn.Module]:
    growth = config.dilation_growth
    return [Residual(config, width, growth**j) for j in range(config.n_residual_layers)]


class Convolution(nn.Module):
    """A convolution whose input is padded, so that n samples give ceil(n / stride)."""

    def __init__(
        self,
        config: EncodecConfig,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride, dilation=dilation)
        self.is_causal = config.is_causal
        self.pad_mode = config.pad_mode
        self.stride = stride
        self.span = (kernel - 1) * dilation + 1  # samples that it hears at once

    def forward(self, x: Tensor) -> Tensor:
        """From [B, C, n] to [B, C', ceil(n / stride)]."""
        total = self.span - self.stride
        right = 0 if self.is_causal else total // 2
        to_whole_steps = -x.shape[-1] % self.stride
        return self.conv(padded(x, total - right, right + to_whole_steps, self.pad_mode))


def padded(x: Tensor, left: int, right: int, mode: PadMode) -> Tensor:
    """[B, C, n] with `left` and `right` samples more.

    A signal too short to be reflected is taken to go on with silence.
    """
    if left == right == 0:
        return x
    missing = max(left, right) + 1 - x.shape[-1]
    if mode != "reflect" or missing <= 0:
        return F.pad(x, (left, right), mode)
    whole = F.pad(F.pad(x, (0, missing)), (left, right), mode)
    return whole[..., : whole.shape[-1] - missing]


class TransposedConvolution(nn.Module):
    """A transposed convolution whose output is cut, so that n samples give n * stride."""

    def __init__(
        self, config: EncodecConfig, n_in: int, n_out: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(n_in, n_out, kernel, stride)
        self.stride, self.kernel = stride, kernel
        total = kernel - stride
        share = math.ceil(total * config.trim_right_ratio) if config.is_causal else total // 2
        self.cut_right = share
        self.cut_left = total - share

    def forward(self, x: Tensor) -> Tensor:
        """From [B, C, n] to [B, C', n * stride]."""
        x = self.conv(x)
        return x[..., self.cut_left : x.shape[-1] - self.cut_right]


class Recurrent(nn.Module):
    """An LSTM over time, added to what it hears."""

    def __init__(self, width: int, n_layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, n_layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] to the same."""
        return self.carry_on(x, None)[0]

    def carry_on(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """[B, C, n] to the same, and what to remember of it, given that of what came before."""
        steps = x.permute(2, 0, 1)  # [n, B, C]
        made, state = self.lstm(steps, state)
        return (made + steps).permute(1, 2, 0), state


class Residual(nn.Module):
    """Two convolutions, added to what they hear."""

    def __init__(self, config: EncodecConfig, width: int, dilation: int) -> None:
        super().__init__()
        inside = width // config.compress
        self.block = nn.ModuleList(
            [
                nn.ELU(),
                Convolution(config, width, inside, config.residual_kernel, dilation=dilation),
                nn.ELU(),
                Convolution(config, inside, width, 1),
            ]
        )
        self.shortcut: nn.Module = nn.Identity()
        if config.has_conv_shortcut:
            self.shortcut = Convolution(config, width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, n] to the same."""
        made = x
        for layer in self.block:
            made = layer(made)
        return self.shortcut(x) + made


class Books(Protocol):
    """What fixes the shapes of codebooks."""

    @property
    def n_codebooks(self) -> int:
        """K."""

    @property
    def card(self) -> int:
        """Codes per codebook."""

    @property
    def latent_dim(self) -> int:
        """D."""


class Quantizer(nn.Module):
    """Codebooks, each of which names what those before it left over."""

    def __init__(self, config: Books) -> None:
        super().__init__()
        self.layers = nn.ModuleList(QuantizerLayer(config) for _ in range(config.n_codebooks))

    def encode(self, latent: Tensor, n_codebooks: int | None = None) -> Tensor:
        """Latents [B, D, T] to codes [K, B, T] of the first `n_codebooks`, or of all."""
        left, codes = latent, []
        for codebook in self.codebooks()[:n_codebooks]:
            codes.append(codebook.encode(left))
            left = left - codebook.decode(codes[-1])
        return torch.stack(codes)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [K, B, T], K as many as there are or fewer, to latents [B, D, T]."""
        latent = torch.zeros((), device=codes.device)
        for chosen, codebook in zip(codes, self.codebooks(), strict=False):
            latent = latent + codebook.decode(chosen)
        return latent

    def codebooks(self) -> list[Codebook]:
        """All of them, in order."""
        return [module for module in self.modules() if isinstance(module, Codebook)]


class QuantizerLayer(nn.Module):
    """Holds a codebook."""

    def __init__(self, config: Books) -> None:
        super().__init__()
        self.codebook = Codebook(config)


class Codebook(nn.Module):
    """Vectors `embed` [card, D], each of which is a code."""

    def __init__(self, config: Books) -> None:
        super().__init__()
        self.embed: Tensor
        self.register_buffer("embed", torch.zeros(config.card, config.latent_dim))

    def encode(self, x: Tensor) -> Tensor:
        """The nearest codes [B, T] of vectors [B, D, T]."""
        B, D, T = x.shape
        rows, columns = x.permute(0, 2, 1).reshape(B * T, D), self.embed.t()
        # In this order of operations rounding is as it was when codebooks were trained.
        squares = rows.pow(2).sum(1, keepdim=True)
        distance = squares - 2 * rows @ columns + columns.pow(2).sum(0, keepdim=True)  # [B T, card]
        return distance.min(dim=-1).indices.view(B, T)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, T] to vectors [B, D, T]."""
        return F.embedding(codes, self.embed).permute(0, 2, 1)
