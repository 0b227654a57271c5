"""Frequency bands: a sound split by low-passes evenly spaced in mel, and its bands levelled.

N samples, F filters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ZERO_CROSSINGS = 8
"""Of the sinc on both sides together, for the lowest cutoff: longer filters are steeper."""
EQUALISER_BANDS = 32
MAX_BANDS = 256
MAX_POWER = 10


def band_cutoffs(n_bands: int, sample_rate_hz: int) -> Tensor:
    """What lies between `n_bands` mel-spaced bands: [n_bands - 1], in cycles per sample."""
    assert 2 <= n_bands <= MAX_BANDS, n_bands
    top_mel = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    mels = torch.linspace(0, top_mel, n_bands + 1, device="cpu")[1:-1]
    cutoffs: Tensor = 700 * (10 ** (mels / 2595) - 1) / sample_rate_hz
    return cutoffs


def half_width(cutoffs: Tensor) -> int:
    """Taps on either side of the middle one; all filters are as long as the lowest needs."""
    return int(ZERO_CROSSINGS / float(cutoffs.min()) / 2)


def lowpass_filters(n_bands: int, sample_rate_hz: int) -> Tensor:
    """Hann-windowed sincs [n_bands - 1, 2 * half_width + 1], each summing to one."""
    cutoffs = band_cutoffs(n_bands, sample_rate_hz)
    half = half_width(cutoffs)
    time = torch.arange(-half, half + 1, device="cpu", dtype=torch.float32)
    window = torch.hann_window(2 * half + 1, periodic=False, device="cpu")
    # torch's sinc has pi inside.
    filters = window * torch.sinc(2 * cutoffs[:, None] * time)  # [F, taps]
    return filters / filters.sum(dim=1, keepdim=True)


def split_bands(x: Tensor, filters: Tensor) -> Iterator[Tensor]:
    """The bands of `x` [N], lowest first, each [N]; together they are `x` again.

    Args:
        x: continued beyond its ends by its first and last sample.
        filters: low-passes [F, taps] by rising cutoff; there are F + 1 bands.
    """
    (N,) = x.shape
    half = filters.shape[1] // 2
    padded = F.pad(x[None], (half, half), mode="replicate")[0]
    n_fft = _fast_length(N + 2 * half)
    spectrum = torch.fft.rfft(padded, n_fft)
    below = torch.zeros_like(x)
    for taps in filters:
        low = torch.fft.irfft(spectrum * torch.fft.rfft(taps, n_fft), n_fft)
        low = low[2 * half : 2 * half + N]
        yield low - below
        below = low
    yield x - below


def match_bands(x: Tensor, reference: Tensor, sample_rate_hz: int) -> Tensor:
    """`x` [N] with each band brought to the standard deviation that it has in `reference` [N]."""
    assert x.shape == reference.shape, (x.shape, reference.shape)
    filters = lowpass_filters(EQUALISER_BANDS, sample_rate_hz).to(x.device)
    out = torch.zeros_like(x)
    for band, wanted in zip(split_bands(x, filters), split_bands(reference, filters), strict=True):
        # Silence stays silence.
        out += band * (wanted.std() / band.std().clamp(min=1e-12))
    return out


@dataclass(frozen=True)
class ProcessorConfig:
    """How a diffusion band is brought back to the levels of sound.

    Attributes:
        n_bands: frequency bands that are levelled on their own.
        power_std: 1 = to the full difference of levels, 0 = not at all; for all or for each.
    """

    n_bands: int
    power_std: float | tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what can't be built; raises ValueError."""
        if not 2 <= self.n_bands <= MAX_BANDS:
            raise ValueError(f"n_bands is 2 to {MAX_BANDS}, not {self.n_bands}")
        powers = self.power_std if isinstance(self.power_std, tuple) else (self.power_std,)
        if not all(type(one) in (int, float) and abs(one) <= MAX_POWER for one in powers):
            raise ValueError(f"power_std is of numbers up to {MAX_POWER}, not {self.power_std!r}")
        if isinstance(self.power_std, tuple) and len(powers) != self.n_bands:
            raise ValueError(f"power_std needs one value or {self.n_bands}, not {self.power_std}")


class MultiBandProcessor(nn.Module):
    """Undoes the levelling of bands that a diffusion model was trained on.

    Its buffers are sums over the training audio: of each band's mean, of its mean square, and of
    the mean square of Gaussian noise in that band.
    """

    counts: Tensor  # [1]
    sum_x: Tensor  # [bands]
    sum_x2: Tensor  # [bands]
    sum_target_x2: Tensor  # [bands]
    filters: Tensor  # [bands - 1, 1, taps]

    def __init__(self, config: ProcessorConfig, sample_rate_hz: int) -> None:
        super().__init__()
        self.config = config
        taps = 2 * half_width(band_cutoffs(config.n_bands, sample_rate_hz)) + 1
        self.register_buffer("counts", torch.ones(1))
        self.register_buffer("sum_x", torch.zeros(config.n_bands))
        self.register_buffer("sum_x2", torch.ones(config.n_bands))
        self.register_buffer("sum_target_x2", torch.ones(config.n_bands))
        self.register_buffer("filters", torch.empty(config.n_bands - 1, 1, taps))

    @property
    def mean(self) -> Tensor:
        """Of each band of the training audio: [bands]."""
        return self.sum_x / self.counts

    @property
    def gain(self) -> Tensor:
        """From diffusion's levels to those of sound: [bands]."""
        std = (self.sum_x2 / self.counts - self.mean**2).clamp(min=0).sqrt()
        # Without a root, though a deviation is meant: so the published models were trained.
        target = self.sum_target_x2 / self.counts
        power = torch.as_tensor(self.config.power_std, dtype=std.dtype, device=std.device)
        return (std / target) ** power

    def forward(self, x: Tensor) -> Tensor:
        """[N] to [N]."""
        out = torch.zeros_like(x)
        bands = split_bands(x, self.filters[:, 0])
        for band, gain, mean in zip(bands, self.gain, self.mean, strict=True):
            out += band * gain + mean
        return out


def _fast_length(n: int) -> int:
    """The next length of at least `n` with small prime factors only: 4 to 8 times a power of 2."""
    grain = 1 << max(0, n.bit_length() - 3)
    return -(-n // grain) * grain
