"""Chroma of a melody: which of the twelve pitch classes is the strongest at each moment.

C channels, N samples, M chroma frames.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

N_FFT = 16384
HOP = 4096  # samples
CENTRE_OCTAVE = 5.0  # of the weighting over pitch, counted from A0
WIDTH_OCTAVES = 2.0


def chroma(wav: Tensor, sample_rate_hz: int, n_chroma: int = 12) -> Tensor:
    """One-hot chroma [M, n_chroma], C first, of `wav` [C, N]; M = 1 + N // 4096.

    Silence counts as C. Channels are averaged.
    """
    assert wav.dim() == 2, wav.shape
    mono = wav.float().mean(dim=0)  # [N]
    missing = N_FFT - mono.shape[0]
    if missing > 0:
        mono = F.pad(mono, (missing // 2, missing - missing // 2))
    window = torch.hann_window(N_FFT, device=mono.device)
    spectrum = torch.stft(
        mono, N_FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    power = spectrum.abs().pow(2) / window.pow(2).sum()  # [1 + N_FFT/2, M]
    bank = torch.from_numpy(filter_bank(sample_rate_hz, n_chroma)).to(mono.device)
    raw = bank @ power  # [n_chroma, M]
    # Dividing first, as the published models do, decides which of two near-equal classes wins.
    raw = raw / raw.amax(dim=0).clamp(min=1e-6)
    return F.one_hot(raw.argmax(dim=0), n_chroma).float()


def fit_length(chroma: Tensor, n_frames: int) -> Tensor:
    """Chroma [M, 12] cut, or repeated from its start, to [n_frames, 12]."""
    M = chroma.shape[0]
    return chroma.repeat(-(-n_frames // M), 1)[:n_frames]


def silent_chroma(n_frames: int, n_chroma: int = 12) -> Tensor:
    """What the models were taught to take for "no melody": the first class throughout."""
    classes = torch.zeros(n_frames, dtype=torch.long)
    return F.one_hot(classes, n_chroma).float()


@lru_cache(maxsize=4)
def filter_bank(sample_rate_hz: int, n_chroma: int) -> np.ndarray:
    """Float32 [n_chroma, 1 + N_FFT/2]: how much each bin of a spectrum counts for each class.

    Gaussian bumps around the equal-tempered pitches (A = 440 Hz), of unit length over the
    classes, times a Gaussian weighting over octaves: Ellis' chroma features.
    """
    frequency_hz = np.arange(1, N_FFT) * sample_rate_hz / N_FFT
    pitch = n_chroma * np.log2(frequency_hz / (440.0 / 16))  # [N_FFT - 1], in classes above A0
    pitch = np.concatenate([[pitch[0] - 1.5 * n_chroma], pitch])  # the 0 Hz bin, far below
    width = np.concatenate([np.maximum(np.diff(pitch), 1.0), [1.0]])
    half = round(n_chroma / 2)
    distance = pitch - np.arange(n_chroma)[:, None]  # [n_chroma, N_FFT]
    distance = np.remainder(distance + half + 10 * n_chroma, n_chroma) - half
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.sqrt((bumps**2).sum(axis=0, keepdims=True))
    bumps *= np.exp(-0.5 * ((pitch / n_chroma - CENTRE_OCTAVE) / WIDTH_OCTAVES) ** 2)
    from_c = np.roll(bumps, -3 * (n_chroma // 12), axis=0)
    return np.ascontiguousarray(from_c[:, : 1 + N_FFT // 2], dtype=np.float32)
