"""RunningLevel: levels a piece while it is being made.

A file's level is set when all of it is known. A stream's can't be: here the gain goes by what has
been heard so far. It starts from what models mostly give (`TYPICAL_*`), which is forgotten over the
first seconds of music, and moves by 1.5 dB a second at most, so that a crescendo stays one. Peaks
that would pass the ceiling are turned down by the limiter, as in files. A streamed piece is thus as
loud as its file only roughly, and at first it may be some dB off; with "clip" both are the same.

C channels, N samples.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fanfare.audio.io import Samples
from fanfare.audio.limiter import StreamLimiter
from fanfare.audio.loudness import (
    BLOCK_S,
    CEILING_DBFS,
    MAX_LIMITING_DB,
    STEP_S,
    TARGET_LUFS,
    TARGET_RMS_DBFS,
    WARM_UP_S,
    gated,
    k_weighted,
    lufs_of_power,
    ratio,
)
from fanfare.inputs import NormalizationStrategy

TYPICAL_LUFS, TYPICAL_RMS_DBFS, TYPICAL_PEAK_DBFS = -20.0, -19.0, -4.0
"""Of what models give before it is levelled."""
TRUST_S = 3.0
"""After these seconds of music what is typical has a third of the say, then ever less."""
SILENCE_DBFS = -70.0
"""Below this a step says nothing of the level."""
SLEW_DB_PER_S = 1.5
BLOCK_STEPS = round(BLOCK_S / STEP_S)


class RunningLevel:
    """Takes a piece's samples in chunks of any length; what it gives doesn't depend on those."""

    def __init__(self, channels: int, sample_rate_hz: int, strategy: NormalizationStrategy) -> None:
        self._rate_hz, self._strategy = sample_rate_hz, strategy
        self._step = round(STEP_S * sample_rate_hz)
        self._waiting = np.zeros((channels, 0), np.float32)  # less than a step
        self._heard = np.zeros((channels, 0), np.float32)  # what the weighting filter still feels
        self._energies: list[float] = []  # of each step: weighted for loudness, plain for rms
        self._peak = 0.0
        self._gain_db = self._wanted_db()
        ceiling = 1.0 if strategy == "rms" else ratio(CEILING_DBFS)
        self._ceiling = ceiling
        self._limiter = StreamLimiter(channels, sample_rate_hz, ceiling)

    def push(self, samples: Samples, *, is_last: bool = False) -> Samples:
        """Take in [C, n]; gives [C, m], levelled: all that is left with the last."""
        if self._strategy == "clip":
            return samples.clip(-self._ceiling, self._ceiling)
        waiting = np.concatenate([self._waiting, samples], axis=1)
        n = waiting.shape[1] // self._step * self._step
        self._waiting = waiting[:, n:]
        levelled = [self._levelled(waiting[:, :n])]
        if is_last:  # less than a step is left: too little to change the gain
            levelled.append(self._waiting * np.float32(ratio(self._gain_db)))
        return self._limiter.push(np.concatenate(levelled, axis=1), is_last=is_last)

    def _levelled(self, samples: Samples) -> Samples:
        """Whole steps [C, N] at the gain that follows from them and all before."""
        n_steps = samples.shape[1] // self._step
        if not n_steps:
            return samples
        gains_db = [self._gain_db]
        peaks = np.abs(samples).reshape(-1, n_steps, self._step).max(axis=(0, 2))
        for energy, peak in zip(self._step_energies(samples), peaks, strict=True):
            self._energies.append(float(energy))
            self._peak = max(self._peak, float(peak))
            most = SLEW_DB_PER_S * STEP_S
            change = min(max(self._wanted_db() - gains_db[-1], -most), most)
            gains_db.append(gains_db[-1] + change)
        self._gain_db = gains_db[-1]
        at = np.arange(1, samples.shape[1] + 1) / self._step
        gain = 10 ** (np.interp(at, np.arange(n_steps + 1), gains_db) / 20)  # [N]
        made: Samples = (samples * gain).astype(np.float32)
        return made

    def _step_energies(self, samples: Samples) -> npt.NDArray[np.float64]:
        """Summed squares of every step of [C, N]."""
        if self._strategy == "rms":
            signal = samples.mean(axis=0, dtype=np.float64)[None]
        else:
            window = np.concatenate([self._heard, samples], axis=1)
            signal = k_weighted(window, self._rate_hz)[:, self._heard.shape[1] :]
            self._heard = window[:, -int(WARM_UP_S * self._rate_hz) :]
        energies: npt.NDArray[np.float64] = (
            np.square(signal).sum(axis=0).reshape(-1, self._step).sum(axis=1)
        )
        return energies

    def _wanted_db(self) -> float:
        """The gain that the piece so far would have."""
        peak_dbfs = 20 * math.log10(max(self._peak, ratio(TYPICAL_PEAK_DBFS)))
        if self._strategy == "peak":
            return CEILING_DBFS - peak_dbfs
        powers = np.array(self._energies) / self._step  # [steps]
        if self._strategy == "rms":
            powers = powers[powers > 10 ** (SILENCE_DBFS / 10)]
            level_db = 10 * math.log10(powers.mean()) if powers.size else -math.inf
            wanted_db = TARGET_RMS_DBFS - _trusted(level_db, TYPICAL_RMS_DBFS, powers.size)
        else:
            powers = gated(_blocks(powers))
            level_db = float(lufs_of_power(powers.mean())) if powers.size else -math.inf
            wanted_db = TARGET_LUFS - _trusted(level_db, TYPICAL_LUFS, powers.size)
        return min(wanted_db, CEILING_DBFS + MAX_LIMITING_DB - peak_dbfs)


def _blocks(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mean power of every gating block, one a step, from that of steps."""
    if powers.size < BLOCK_STEPS:
        return powers[:0]
    blocks: npt.NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(powers, BLOCK_STEPS)
    return np.asarray(blocks.mean(axis=1), np.float64)


def _trusted(level_db: float, typical_db: float, n_steps: int) -> float:
    """A level that `n_steps` of music have, or what is typical while those are few."""
    if not n_steps:
        return typical_db
    doubt = math.exp(-n_steps * STEP_S / TRUST_S)
    return level_db + doubt * (typical_db - level_db)
