"""How loud a piece is (ITU-R BS.1770-4), and the four strategies that set its level.

- loudness: to -14 LUFS. Peaks that would pass -1 dBFS are turned down by a look-ahead limiter,
  by at most 18 dB, and the lost loudness is made up for; they are never cut off. Only clicks over
  near silence need more, and stay below the target. What comes in beyond full scale is measured
  as the published code does it, whose meter clips: it ends up louder, mostly by less than 1 LU.
- peak: the highest sample to -1 dBFS.
- rms: the power to -18 dBFS; peaks that would pass full scale are turned down likewise.
- clip: left as it is, cut off at -1 dBFS.

Silence stays silence. C channels, N samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fanfare.audio.io import Samples
from fanfare.audio.limiter import limit
from fanfare.inputs import NormalizationStrategy

TARGET_LUFS = -14.0
TARGET_RMS_DBFS = -18.0
CEILING_DBFS = -1.0
SILENCE_RMS = 2e-3
"""Below this (-54 dBFS) there is nothing to make louder but noise."""
SILENCE_PEAK = 1e-6
"""Below this (-120 dBFS, under one step of 16 bits) there is nothing at all."""
MAX_LIMITING_DB = 18.0
LOUDNESS_TOLERANCE_LU = 0.1
FULL_SCALE_AFTER_SHELF = 0.5
"""A peak below this stays below full scale in the weighting, which adds 4 dB and some overshoot."""

BLOCK_S, STEP_S = 0.4, 0.1
SHORT_TERM_S = 3.0
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0

CHUNK_S = 30
WARM_UP_S = 0.5
"""The weighting filter's answer to a click has faded below 1e-50 by then."""

RMS_BLOCK = 1 << 20
"""Samples that are squared at once."""


def normalize(samples: Samples, sample_rate_hz: int, strategy: NormalizationStrategy) -> Samples:
    """Samples [C, N] at the level that the strategy sets."""
    ceiling = ratio(CEILING_DBFS)
    peak = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if strategy == "clip":
        return samples.clip(-ceiling, ceiling)
    if peak < SILENCE_PEAK:
        return samples
    if strategy == "peak":
        return (samples * (ceiling / peak)).astype(np.float32)
    if strategy == "rms":
        rms = _rms(samples.mean(axis=0))
        # Opposite channels cancel in the mean: what is left of it says nothing of the power.
        gain = ratio(TARGET_RMS_DBFS) / max(rms, 1e-3 * peak)
        return limit(samples, sample_rate_hz, 1.0, gain)
    return _to_loudness(samples, sample_rate_hz, peak, ceiling)


def loudness_lufs(samples: Samples, sample_rate_hz: int, *, clipped: bool = False) -> float:
    """Integrated loudness of samples [C, N]; -inf where all is below the gate of -70 LUFS.

    A piece shorter than a gating block (0.4 s) is measured as one block. `clipped` cuts the signal
    off at full scale after each of the weighting's filters, as torchaudio's meter does.
    """
    loud = gated(_block_powers(samples, sample_rate_hz, BLOCK_S, clipped=clipped))
    return float(lufs_of_power(loud.mean())) if loud.size else -np.inf


def gated(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of the powers of gating blocks, those that count for the integrated loudness."""
    powers = powers[lufs_of_power(powers) > ABSOLUTE_GATE_LUFS]
    if not powers.size:
        return powers
    return powers[lufs_of_power(powers) > lufs_of_power(powers.mean()) + RELATIVE_GATE_LU]


def momentary_lufs(samples: Samples, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Loudness of every 0.4 s, one value each 0.1 s; silence is about -300."""
    return lufs_of_power(_block_powers(samples, sample_rate_hz, BLOCK_S))


def short_term_lufs(samples: Samples, sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Loudness of every 3 s (EBU Tech 3341), one value each 0.1 s; silence is about -300."""
    return lufs_of_power(_block_powers(samples, sample_rate_hz, SHORT_TERM_S))


def peak_dbfs(samples: Samples) -> float:
    """The highest sample against full scale; -inf for silence."""
    peak = float(np.abs(samples).max(initial=0.0))
    return 20 * float(np.log10(peak)) if peak else -np.inf


def _to_loudness(samples: Samples, rate_hz: int, peak: float, ceiling: float) -> Samples:
    loudness = loudness_lufs(samples, rate_hz)
    if _rms(samples) < SILENCE_RMS or not np.isfinite(loudness):
        return limit(samples, rate_hz, ceiling)
    target = TARGET_LUFS
    if peak > FULL_SCALE_AFTER_SHELF:
        target += loudness - loudness_lufs(samples, rate_hz, clipped=True)
    gain_db = target - loudness
    most_db = CEILING_DBFS + MAX_LIMITING_DB - 20 * float(np.log10(peak))
    for _ in range(6):
        gain_db = min(gain_db, most_db)
        made = samples[:, :0]  # lets go of the last attempt before the next is made
        made = limit(samples, rate_hz, ceiling, ratio(gain_db))
        missing = target - loudness_lufs(made, rate_hz)
        if abs(missing) < LOUDNESS_TOLERANCE_LU or gain_db == most_db:
            break
        gain_db += missing
    return made


def _block_powers(
    samples: Samples, rate_hz: int, block_s: float, *, clipped: bool = False
) -> npt.NDArray[np.float64]:
    """Weighted power, channels summed, of every `block_s`: float64 [blocks], one each 0.1 s."""
    step = round(STEP_S * rate_hz)
    per_block = round(block_s / STEP_S)
    N = samples.shape[1]
    if per_block * step > N:
        weighted = k_weighted(samples, rate_hz, clipped=clipped)
        return np.array([np.square(weighted).sum() / max(N, 1)])
    energies = np.concatenate(
        [
            np.square(piece).sum(axis=0)[: piece.shape[1] // step * step].reshape(-1, step).sum(1)
            for piece in _weighted_pieces(samples, rate_hz, CHUNK_S * 10 * step, clipped)
        ]
    )  # [steps]
    blocks = np.lib.stride_tricks.sliding_window_view(energies, per_block)
    powers: npt.NDArray[np.float64] = blocks.sum(axis=1) / (per_block * step)
    return powers


def _weighted_pieces(
    samples: Samples, rate_hz: int, length: int, clipped: bool
) -> Iterator[npt.NDArray[np.float64]]:
    """The weighted signal in pieces of `length`, each filtered with what came before it."""
    warm_up = int(WARM_UP_S * rate_hz)
    for start in range(0, samples.shape[1], length):
        before = min(start, warm_up)
        part = samples[:, start - before : start + length]
        yield k_weighted(part, rate_hz, clipped=clipped)[:, before:]


def k_weighted(samples: Samples, rate_hz: int, *, clipped: bool = False) -> npt.NDArray[np.float64]:
    """K-weighting (BS.1770-4, annex 1) of [C, N], from silence before.

    Two biquads, whose design at any rate comes from their analogue prototypes; they are applied
    as a spectrum over a signal padded until the answer has faded, which needs no recursion.
    """
    N = samples.shape[1]
    size = 1 << (N + int(WARM_UP_S * rate_hz)).bit_length()
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)  # z^-1 on the unit circle

    shelf_hz, shelf_q, gain = 1681.974450955533, 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    k = np.tan(np.pi * shelf_hz / rate_hz)
    middle = gain**0.4996667741545416 * k / shelf_q
    shelf = ((gain + middle + k * k) + 2 * (k * k - gain) * z + (gain - middle + k * k) * z**2) / (
        (1 + k / shelf_q + k * k) + 2 * (k * k - 1) * z + (1 - k / shelf_q + k * k) * z**2
    )

    pass_hz, pass_q = 38.13547087602444, 0.5003270373238773
    k = np.tan(np.pi * pass_hz / rate_hz)
    a0 = 1 + k / pass_q + k * k
    # The standard's numerator is 1, -2, 1: it is not divided by a0.
    high_pass = (1 - z) ** 2 / (1 + 2 * (k * k - 1) / a0 * z + (1 - k / pass_q + k * k) / a0 * z**2)

    spectrum = np.fft.rfft(samples.astype(np.float64), size, axis=1)
    if clipped:
        bright = np.fft.irfft(spectrum * shelf, size, axis=1).clip(-1, 1)
        spectrum = np.fft.rfft(bright, size, axis=1)
        return np.fft.irfft(spectrum * high_pass, size, axis=1)[:, :N].clip(-1, 1)
    return np.fft.irfft(spectrum * shelf * high_pass, size, axis=1)[:, :N]


def lufs_of_power(power: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    """The loudness of weighted power."""
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-30))


def _rms(samples: npt.NDArray[np.floating]) -> float:
    parts = np.array_split(samples, max(1, samples.shape[-1] // RMS_BLOCK), axis=-1)
    return float(
        np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts) / samples.size)
    )


def ratio(level_db: float) -> float:
    """An amplitude from a level."""
    return float(10 ** (level_db / 20))
