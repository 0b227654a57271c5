"""A look-ahead limiter: peaks are turned down smoothly instead of being cut off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fanfare.audio.io import Samples

WINDOW_S = 0.03
"""Over how long the level dips around a peak; shorter is audible as distortion in the bass."""


PIECE_S = 30
"""How much is limited at once: what it takes are some copies in float64."""


def limit(
    samples: Samples, sample_rate_hz: int, ceiling: float, gain: float | None = None
) -> Samples:
    """Samples [C, N], times `gain`, with no |sample| above `ceiling`.

    They are untouched where none comes near it.
    """
    size = PIECE_S * sample_rate_hz
    if samples.shape[1] <= size:
        return _limited(_scaled(samples, gain), sample_rate_hz, ceiling)
    limiter = StreamLimiter(samples.shape[0], sample_rate_hz, ceiling)
    made, n_made = np.empty_like(samples), 0
    for start in range(0, samples.shape[1], size):
        is_last = start + size >= samples.shape[1]
        part = _scaled(samples[:, start : start + size], gain)
        part = limiter.push(part, is_last=is_last)
        made[:, n_made : n_made + part.shape[1]] = part
        n_made += part.shape[1]
    assert n_made == samples.shape[1], (n_made, samples.shape)
    return made


def _scaled(samples: Samples, gain: float | None) -> Samples:
    return samples if gain is None else (samples * gain).astype(np.float32, copy=False)


def _limited(samples: Samples, sample_rate_hz: int, ceiling: float) -> Samples:
    """The same at once.

    The gain at n is the mean, over a window around n, of the least gain that any sample within
    reach of that window needs, so it is never above what sample n itself needs. Both channels
    share it, which keeps the stereo picture still.
    """
    peaks = np.abs(samples).max(axis=0).astype(np.float64)  # [N]
    if peaks.max(initial=0.0) <= ceiling:
        return samples
    half = _half_window(sample_rate_hz)
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-12))
    gain = _sliding_mean(_sliding_mean(_sliding_min(needed, 2 * half), half), half)  # [N]
    limited: Samples = (samples * np.minimum(gain, needed)).astype(np.float32)
    return limited.clip(-ceiling, ceiling)  # float32's last bit


class StreamLimiter:
    """The same limiter for samples that come in chunks; it holds 30 ms back to look ahead."""

    def __init__(self, channels: int, sample_rate_hz: int, ceiling: float) -> None:
        self._rate_hz, self._ceiling = sample_rate_hz, ceiling
        self._reach = 4 * _half_window(sample_rate_hz)
        self._kept = np.zeros((channels, 0), np.float32)  # heard by the next chunk, and held back
        self._n_before = 0  # of those kept: given out already

    def push(self, samples: Samples, *, is_last: bool = False) -> Samples:
        """Take in [C, n]; gives [C, m] that is final: with the last all that was held back."""
        window = np.concatenate([self._kept, samples], axis=1)
        before, n = self._n_before, window.shape[1]
        stop = n if is_last else max(before, n - self._reach)
        made = _limited(window, self._rate_hz, self._ceiling)[:, before:stop]
        left = max(0, stop - self._reach)
        self._kept, self._n_before = window[:, left:], stop - left
        return made


def _half_window(sample_rate_hz: int) -> int:
    return max(1, int(WINDOW_S * sample_rate_hz) // 4)


def _sliding_min(values: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """Minimum of values[n-reach … n+reach], in time that doesn't grow with reach.

    Blocks of the window's length: a window is the end of one block and the start of the next, so
    its minimum is that of two running minima (van Herk 1992, Gil and Werman 1993).
    """
    width, n = 2 * reach + 1, values.size
    n_padded = -(-(n + 2 * reach) // width) * width
    padded = np.full(n_padded, np.inf)
    padded[reach : reach + n] = values
    blocks = padded.reshape(-1, width)
    ahead = np.minimum.accumulate(blocks, axis=1).ravel()
    behind = np.minimum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    return np.minimum(behind[:n], ahead[width - 1 : width - 1 + n])


def _sliding_mean(values: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """Mean of values[n-reach … n+reach], the edges repeated outwards."""
    width = 2 * reach + 1
    sums = np.cumsum(np.pad(values, (reach + 1, reach), mode="edge"))
    return (sums[width:] - sums[:-width]) / width
