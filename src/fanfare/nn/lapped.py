"""LappedCodec: a small codec that works on a lapped transform, frame by frame.

Encoder and decoder are residual blocks at 50 frames a second (ConvNeXt, arXiv 2201.03545, as in
Vocos, arXiv 2306.00814) between a modified discrete cosine transform (Princen and Bradley 1986) and
its inverse, which together lose nothing. An EnCodec spends most of its time at tens of thousands
of samples a second; this one runs and learns several times as fast.

B batch, W width, D latent width, K codebooks, T frames, N samples, h samples per transform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanfare.nn.encodec import EncodecConfig, Layers, Quantizer, encoder_layers
from fanfare.nn.partials import Partials, PartialsConfig

MODEL_TYPE = "lapped"
MAX_LOG_GAIN = 5.0


@dataclass(frozen=True)
class LappedConfig:
    """What fixes the tensors of a `LappedCodec`.

    Attributes:
        sample_rate_hz: samples per second.
        hop: samples per frame.
        n_transforms: transforms per frame; each has a window of 2 * hop / n_transforms samples.
        n_bands: parts of the spectrum whose loudness the decoder says on its own.
        n_codebooks: K.
        card: codes per codebook.
        latent_dim: D, width of what is quantized.
        width: W of the blocks.
        encoder_blocks, decoder_blocks: how many there are.
        encoder_hidden, decoder_hidden: width inside the blocks.
        kernel: frames that a block hears, itself included.
        lookahead: of these, how many come later in the decoder's blocks; the encoder's are
            centred. Streams lag behind by the sum.
        encodec: whose encoder is there in place of one of blocks, for a decoder that plays codes
            that were there before it.
        partials: oscillators that play beside the transform, if there are some.
    """

    sample_rate_hz: int
    hop: int
    n_codebooks: int
    n_transforms: int = 2
    n_bands: int = 32
    card: int = 1024
    latent_dim: int = 128
    width: int = 320
    encoder_blocks: int = 4
    decoder_blocks: int = 7
    encoder_hidden: int = 640
    decoder_hidden: int = 960
    kernel: int = 7
    lookahead: int = 1
    encodec: EncodecConfig | None = None
    partials: PartialsConfig | None = None

    @property
    def frame_rate_hz(self) -> int:
        """Frames per second."""
        return self.sample_rate_hz // self.hop

    @property
    def transform_hop(self) -> int:
        """Samples, and coefficients, per transform: h."""
        return self.hop // self.n_transforms


class LappedCodec(nn.Module):
    """Mono audio to codes and back; codebooks are zero until they are given."""

    def __init__(self, config: LappedConfig) -> None:
        super().__init__()
        self.config = config
        decoding = [
            Block(config.width, config.decoder_hidden, config.kernel, config.lookahead)
            for _ in range(config.decoder_blocks)
        ]
        # [B, 1, N] -> [B, D, ceil(N / hop)]
        listens = encoder_layers(config.encodec) if config.encodec else _encoder(config)
        self.encoder = Layers(listens)
        # [B, D, T] -> [B, 1, hop * T]
        inlet = nn.Conv1d(config.latent_dim, config.width, 1)
        self.decoder = Layers([inlet, *decoding, Synthesis(config)])
        self.quantizer = Quantizer(config)


def _encoder(config: LappedConfig) -> list[nn.Module]:
    middle = (config.kernel - 1) // 2
    blocks = [
        Block(config.width, config.encoder_hidden, config.kernel, middle)
        for _ in range(config.encoder_blocks)
    ]
    return [Analysis(config), *blocks, Outlet(config.width, config.latent_dim)]


class Block(nn.Module):
    """A convolution over time for each channel, and two layers across channels, added."""

    def __init__(self, width: int, hidden: int, kernel: int, lookahead: int) -> None:
        super().__init__()
        self.left, self.right = kernel - 1 - lookahead, lookahead
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, T] to the same."""
        heard = self.depthwise(F.pad(x, (self.left, self.right))).transpose(1, 2)
        added = self.scale * self.down(F.gelu(self.up(self.norm(heard))))
        return x + added.transpose(1, 2)


class Outlet(nn.Module):
    """Normalises, and projects."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_in)
        self.projection = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, n_in, T] to [B, n_out, T]."""
        made: Tensor = self.projection(self.norm(x.transpose(1, 2)))
        return made.transpose(1, 2)


class Analysis(nn.Module):
    """Audio to frames of transform coefficients at unit level, projected to the blocks' width."""

    level: Tensor

    def __init__(self, config: LappedConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("level", torch.ones(config.transform_hop))
        self.projection = nn.Linear(config.hop, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, N] to [B, W, ceil(N / hop)]."""
        config = self.config
        x = F.pad(x[:, 0], (0, -x.shape[-1] % config.hop))
        made = transformed(x, config.transform_hop) / self.level
        frames: Tensor = self.projection(made.reshape(len(x), -1, config.hop))
        return frames.transpose(1, 2)


class Synthesis(nn.Module):
    """The way back: frames to coefficients, and these to audio.

    Coefficients are multiplied by their band's gain, of which the network gives the logarithm: sums
    of many terms are hardly ever as quiet as music's treble often is. Partials are added, if the
    codec has them.
    """

    left = right = 1
    """Frames to either side whose windows reach into a frame."""
    level: Tensor

    def __init__(self, config: LappedConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("level", torch.ones(config.transform_hop))
        self.outlet = Outlet(config.width, config.hop)
        self.loudness = nn.Linear(config.width, config.n_transforms * config.n_bands)
        nn.init.zeros_(self.loudness.weight)
        nn.init.zeros_(self.loudness.bias)
        self.partials = (
            Partials(
                config.partials, width=config.width, hop=config.hop,
                sample_rate_hz=config.sample_rate_hz,
            )
            if config.partials
            else None
        )  # fmt: skip

    def heard(self, x: Tensor) -> Tensor:
        """[B, W, T] normalised, [B, T, W]."""
        normalised: Tensor = self.outlet.norm(x.transpose(1, 2))
        return normalised

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """[B, W, T] to [B, 1, hop * T]; the first is frame `first` of the whole."""
        config, h = self.config, self.config.transform_hop
        heard = self.heard(x)
        made = self.outlet.projection(heard).float().reshape(len(x), -1, h) * self.level
        gain = self.loudness(heard).float().reshape(len(x), -1, config.n_bands)
        band = torch.arange(h, device=x.device) * config.n_bands // h
        gain = gain.clamp(max=MAX_LOG_GAIN).exp()[..., band]
        audio = untransformed(made * gain)
        if self.partials is not None:
            audio = audio + self.partials(heard, first)
        return audio[:, None]


@lru_cache(maxsize=8)
def basis(h: int, device: torch.device) -> Tensor:
    """The modified discrete cosine transform with a sine window, [2h, h]: orthonormal frames."""
    with torch.inference_mode(False):
        n = torch.arange(2 * h, dtype=torch.float64)[:, None]
        k = torch.arange(h, dtype=torch.float64)[None]
        window = torch.sin(math.pi * (n + 0.5) / (2 * h))
        phase = math.pi / h * (n + 0.5 + h / 2) * (k + 0.5)
        return (window * math.sqrt(2 / h) * torch.cos(phase)).float().to(device)


def transformed(x: Tensor, h: int) -> Tensor:
    """Coefficients [B, N / h, h] of audio [B, N]; N must be a multiple of h.

    Window i covers the samples h * i - h / 2 … h * i + 3 h / 2.
    """
    n = x.shape[1] // h
    x = F.pad(x, (h // 2, h - h // 2))
    return x.unfold(1, 2 * h, h)[:, :n] @ basis(h, x.device)


def untransformed(coefficients: Tensor) -> Tensor:
    """Audio [B, n * h] of coefficients [B, n, h]; exact but for half a window at either end."""
    B, n, h = coefficients.shape
    parts = coefficients @ basis(h, coefficients.device).T  # [B, n, 2h]
    first, second = parts[..., :h].reshape(B, -1), parts[..., h:].reshape(B, -1)
    whole = F.pad(first, (0, h)) + F.pad(second, (h, 0))
    return whole[:, h // 2 : h // 2 + n * h]
