"""What a codec's output is judged by: spectra at several scales, and how losses are balanced."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fanfare.epic.listen import SAMPLE_RATE_HZ

MEL_BANDS = {2048: 128, 1024: 96, 512: 64, 256: 40}
"""Window length in samples → mel bands, for the spectral loss."""


class SpectralLoss(nn.Module):
    """Multi-scale spectral distance; returns it with its log-mel part at the first scale."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = tuple(MEL_BANDS)
        for n_fft, n_mels in MEL_BANDS.items():
            self.register_buffer(f"mel{n_fft}", mel_bands(n_fft // 2 + 1, n_mels, SAMPLE_RATE_HZ))
            self.register_buffer(f"window{n_fft}", torch.hann_window(n_fft))

    def forward(self, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of `y` from `x`, both [B, N]."""
        total, first = y.new_zeros(()), y.new_zeros(())
        for n_fft in self.sizes:
            window = getattr(self, f"window{n_fft}")
            mel = getattr(self, f"mel{n_fft}")
            a, b = (
                torch.stft(s, n_fft, n_fft // 4, window=window, return_complex=True).abs()
                for s in (y, x)
            )
            log_a, log_b = (
                (s.transpose(1, 2) @ mel).clamp(min=1e-3 * n_fft**0.5 / 32).log() for s in (a, b)
            )
            log_l1 = (log_a - log_b).abs().mean()
            convergence = (a - b).norm() / b.norm().clamp(min=1e-3)
            total = total + log_l1 + 0.7 * convergence
            first = first if n_fft != self.sizes[0] else log_l1
        return total / len(self.sizes), first.detach()


def mel_bands(n_bins: int, n_mels: int, sample_rate_hz: int) -> Tensor:
    """Weights [bins, mels] that sum a spectrum's bins to bands, triangles alike in mel.

    The mel scale is 2595 log10(1 + f / 700 Hz). Low bands that fall between bins are empty.
    """
    top = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    mels = torch.linspace(0, top, n_mels + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)  # Hz
    bins = torch.linspace(0, sample_rate_hz // 2, n_bins, dtype=torch.float64)[:, None]
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - left) / (middle - left)
    falling = (right - bins) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()


def balanced(y: Tensor, losses: dict[Tensor, float]) -> Tensor:
    """Gradient at `y` of several losses, each brought to the norm of its share.

    Left alone, the log-spectral loss drowns the waveform's, and the codec never finds the phase
    (EnCodec's balancer, arXiv 2210.13438 §3.4, without its moving average).
    """
    total = torch.zeros_like(y)
    for loss, share in losses.items():
        if not share:
            continue
        (gradient,) = torch.autograd.grad(loss, y, retain_graph=True)
        total += share * gradient / gradient.norm().clamp(min=1e-12)
    return total / sum(losses.values())


def norm_ratio(a: Tensor, b: Tensor) -> Tensor:
    """How much longer `a` is than `b`."""
    ratio: Tensor = a.norm() / b.norm().clamp(min=1e-12)
    return ratio


def cosine(done: float) -> float:
    """1 at the start, 0 at the end."""
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def si_sdr(y: Tensor, x: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio in dB, mean over rows [B, N]."""
    scale = (y * x).sum(-1, keepdim=True) / x.pow(2).sum(-1, keepdim=True).clamp(min=1e-8)
    target = scale * x
    ratio = target.pow(2).sum(-1) / (y - target).pow(2).sum(-1).clamp(min=1e-8)
    decibels: Tensor = 10 * ratio.clamp(min=1e-8).log10()
    return decibels.mean()


def averages(state: Mapping[str, Any], parameters: Sequence[Tensor]) -> list[Tensor]:
    """A checkpoint's moving averages; one that was carried has them in place of the parameters."""
    kept = state.get("average")
    return [a.detach().clone() for a in (parameters if kept is None else kept)]
