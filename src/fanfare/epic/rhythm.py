"""How strongly audio beats at each tempo: what the tempo probe hears.

T frames (50/s), N samples of mono audio at 32 kHz, E envelopes, P tempi.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanfare.epic import listen
from fanfare.epic.brief import MAX_FRAMES_PER_BEAT, MIN_FRAMES_PER_BEAT

FloatArray = NDArray[np.float32]

PERIODS = np.arange(MIN_FRAMES_PER_BEAT, MAX_FRAMES_PER_BEAT + 1)
"""Frames a beat of every tempo, [P]."""
MULTIPLES = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1, 3 / 2, 2, 3, 4, 6, 8)
"""Lags looked at, in beats: what recurs after half a beat, a beat, a bar."""
N_BANDS, N_REGISTERS = 5, 3
N_ENVELOPES = N_BANDS + N_REGISTERS + 2
N_FEATURES = N_ENVELOPES * len(MULTIPLES)
LOCAL_FRAMES = 25
"""Half a second, over which an envelope's mean is taken off."""


def comb(wav: FloatArray) -> FloatArray:
    """For every tempo, how alike the audio [N] is at multiples of its beat: [P, N_FEATURES]."""
    lags = PERIODS[:, None] * np.asarray(MULTIPLES)  # [P, multiples]
    columns = [
        np.interp(lags, np.arange(len(alike)), alike, right=0.0)
        for alike in map(autocorrelation, envelopes(wav))
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def envelopes(wav: FloatArray) -> FloatArray:
    """Onset envelopes [E, T]: of bands, all together, of registers of pitch, and compressed."""
    flux = _flux(listen.spectrum(wav, listen.SHORT_WINDOW))  # [T, bands]
    notes = np.sqrt(listen.pitches(wav))
    notes = np.log1p(20 * notes / max(float(notes.max(initial=0)), 1e-9))
    changes = np.zeros_like(notes)
    changes[1:-1] = np.maximum(notes[2:] - notes[:-2], 0)  # over 40 ms: pitches blur in time
    rows = [part.mean(axis=1) for part in np.array_split(flux, N_BANDS, axis=1)]
    rows.append(flux.mean(axis=1))
    rows += [part.mean(axis=1) for part in np.array_split(changes, N_REGISTERS, axis=1)]
    sharp = [above_local_mean(row) for row in rows]
    return np.stack([*sharp, np.sqrt(sharp[N_BANDS])]).astype(np.float32)


def _flux(magnitude: FloatArray) -> FloatArray:
    """What each frame of a spectrum [T, bins] brings anew, in some thirty bands."""
    edges = np.unique(np.geomspace(2, magnitude.shape[1], 33).astype(int))
    bands = np.add.reduceat(magnitude, edges[:-1], axis=1)
    level = np.log1p(100 * bands / max(float(bands.max(initial=0)), 1e-9))
    return np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0)


def above_local_mean(row: FloatArray) -> FloatArray:
    """What of an envelope [T] stands out from the half second around it."""
    local = np.convolve(row, np.ones(LOCAL_FRAMES) / LOCAL_FRAMES, "same")
    return np.asarray(np.maximum(row - local, 0), np.float32)


def autocorrelation(row: FloatArray) -> FloatArray:
    """Autocorrelation [T] of an envelope [T], per overlapping frame; 1 at lag 0."""
    T = len(row)
    centred = row - row.mean()
    power = np.abs(np.fft.rfft(centred, 2 * T)) ** 2
    product = np.fft.irfft(power)[:T] / np.arange(T, 0, -1)
    return np.asarray(product / max(float(product[0]), 1e-9), np.float32)
