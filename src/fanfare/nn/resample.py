"""Change of sample rate as the published MusicGen models had it: a windowed sinc per output phase.

Codes of a recording depend on how it was brought to the model's rate, edges and length included;
these are the ones that the published code makes. After J. O. Smith, "Digital Audio Resampling".

C channels, N samples, W taps on either side.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ZEROS = 24
"""Zero crossings of the sinc on either side of its middle."""
ROLLOFF = 0.945
"""Where the pass band ends, as a fraction of the lower of the two Nyquist frequencies."""
MAX_WEIGHTS = 1 << 22
"""Most filter weights; 11.025 to 32 kHz needs 0.6 million, rates without a common divisor 10^9."""

BLOCK = 1 << 18
"""Input samples convolved at once, which bounds the memory that torch takes for it."""


def has_simple_ratio(from_hz: int, to_hz: int) -> bool:
    """Whether `resample_frac` can be asked for these rates."""
    old, new = _reduced(from_hz, to_hz)
    return new * (old + 2 * _reach(old, new)) <= MAX_WEIGHTS


def resample_frac(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """`wav` float32 [C, N] at one rate to [C, floor(N·to/from)] at another.

    Beyond its edges the first and the last sample are repeated.
    """
    assert wav.dim() == 2, wav.shape
    assert has_simple_ratio(from_hz, to_hz), (from_hz, to_hz)
    old, new = _reduced(from_hz, to_hz)
    if old == new:
        return wav
    C, N = wav.shape
    W = _reach(old, new)
    padded = F.pad(wav[:, None], (W, W + old), mode="replicate")  # [C, 1, N + 2W + old]
    filters = _filters(old, new).to(wav)
    step = max(1, BLOCK // old) * old
    blocks = [
        F.conv1d(padded[..., start : start + step + 2 * W], filters, stride=old)
        for start in range(0, N + 1, step)
    ]
    phases = torch.cat(blocks, dim=2)  # [C, new, N // old + 1]
    # In single precision, as it was: 10^6 samples less a hundredth are 10^6.
    length = int(np.floor(np.float32(new * N / old)))
    return phases.mT.reshape(C, -1)[:, :length]


def _reduced(from_hz: int, to_hz: int) -> tuple[int, int]:
    divisor = math.gcd(from_hz, to_hz)
    return from_hz // divisor, to_hz // divisor


def _reach(old: int, new: int) -> int:
    """Taps W on either side of a phase's own `old` samples."""
    return math.ceil(ZEROS * old / (min(old, new) * ROLLOFF))


@lru_cache(maxsize=8)
def _filters(old: int, new: int) -> Tensor:
    """Weights [new, 1, old + 2W]: row i makes output i of every `new` from inputs -W … old + W.

    Input k weighs sinc(t) · cos²(t / 48) at t = π · cutoff · (k/old - i/new), up to the 24th zero;
    each row sums to one. Single precision throughout: its errors are part of what it has to equal.
    """
    W = _reach(old, new)
    shift = torch.tensor([-i / new for i in range(new)])[:, None]  # [new, 1]
    t = (shift + torch.arange(-W, W + old).float() / old) * (min(old, new) * ROLLOFF)
    t = t.clamp(-ZEROS, ZEROS) * math.pi
    weights = torch.where(t == 0, 1.0, torch.sin(t) / t) * torch.cos(t / ZEROS / 2) ** 2
    return (weights / weights.sum(dim=1, keepdim=True))[:, None]
