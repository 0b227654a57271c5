"""Rates and channels. C channels, N samples."""

from __future__ import annotations

import numpy as np

from fanfare.audio.io import Samples


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """[C, N] at one rate to [C, round(N·to/from)] at another."""
    assert samples.ndim == 2, samples.shape
    if from_hz == to_hz:
        return samples
    import soxr

    made: Samples = soxr.resample(np.ascontiguousarray(samples.T), from_hz, to_hz, quality="VHQ")
    return np.ascontiguousarray(made.reshape(-1, samples.shape[0]).T)


def to_channels(samples: Samples, n_channels: int) -> Samples:
    """[1 or 2, N] to [n_channels, N]: stereo's mean, or mono twice."""
    assert n_channels in (1, 2), n_channels
    if samples.shape[0] == n_channels:
        return samples
    if n_channels == 1:
        mean: Samples = samples.mean(axis=0, keepdims=True, dtype=np.float32)
        return mean
    return np.repeat(samples, 2, axis=0)
