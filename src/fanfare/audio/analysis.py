"""What a piece looks like: its peaks, loudness, chroma and spectrogram, as numbers to draw.

All of it is cheap (a minute of music takes about a second) and needs no torch.
C channels, N samples.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fanfare.audio.io import Samples
from fanfare.audio.loudness import BLOCK_S, STEP_S, loudness_lufs, momentary_lufs

Array = npt.NDArray[np.float64]

MAX_PEAKS = 1000
MAX_COLUMNS = 800
MIN_STEP_S = 0.02
MAX_CHROMA_COLUMNS = 600
MIN_CHROMA_STEP_S = 0.1
N_CLASSES = 12
CHROMA_WINDOW_S = 0.25
CHROMA_LOW_HZ, CHROMA_HIGH_HZ = 100.0, 4200.0
"""Below, neighbouring tones are one to a window of a quarter second; above, there is little but
overtones."""
SILENCE_DB = -40.0
"""A column this far below the loudest has no chroma worth showing."""
N_BANDS = 96
FFT_SIZE = 2048
FLOOR_DB = -80.0
FLOOR_LUFS = -70.0
BLOCK = 64
"""Windows that are transformed at once."""
OVERSAMPLING = 4
PIECE = 1 << 16
MARGIN = 256
"""Samples around a piece that is oversampled, so that its ends don't ring."""


@dataclass(frozen=True)
class Chroma:
    """The twelve pitch classes over time.

    Attributes:
        values: [12, columns], C first; the strongest of each column is 1, silence is 0.
        step_s: from column to column.
    """

    values: Array
    step_s: float


def analyse(
    samples: Samples, sample_rate_hz: int, melody: tuple[Samples, int] | None = None
) -> dict[str, Any]:
    """All that the page draws of samples [C, N], as JSON values.

    Args:
        melody: the recording that the piece was to follow, [C, M] and its rate.
    """
    duration_s = samples.shape[1] / sample_rate_hz
    mono = samples.mean(axis=0)
    classes = chroma(mono, sample_rate_hz)
    momentary = np.maximum(momentary_lufs(samples, sample_rate_hz), FLOOR_LUFS)
    return {
        "duration_s": round(duration_s, 3),
        "sample_rate_hz": sample_rate_hz,
        "channels": int(samples.shape[0]),
        "loudness_lufs": _finite(loudness_lufs(samples, sample_rate_hz)),
        "true_peak_dbfs": _finite(true_peak_dbfs(samples)),
        "peaks": _peaks(samples, sample_rate_hz),
        "loudness": {
            "step_s": STEP_S,
            "first_s": BLOCK_S / 2,
            "lufs": [round(float(level), 1) for level in momentary],
        },
        "chroma": _shown(classes),
        "spectrogram": _spectrogram(mono, sample_rate_hz),
        "melody": None if melody is None else _melody(classes, *melody),
    }


def chroma(mono: npt.NDArray[np.float32], rate_hz: int, step_s: float | None = None) -> Chroma:
    """The chroma of [N]; without `step_s` its columns are as close as are worth drawing."""
    if step_s is None:
        step_s = max(MIN_CHROMA_STEP_S, mono.size / rate_hz / MAX_CHROMA_COLUMNS)
    size = 1 << round(np.log2(CHROMA_WINDOW_S * rate_hz))
    bank = _chroma_bank(rate_hz, size)
    power = np.concatenate(
        [bank @ spectrum.T for spectrum in _spectra(mono, size, step_s * rate_hz)], axis=1
    )  # [12, columns]
    strongest = power.max(axis=0)
    is_silent = strongest <= max(float(strongest.max()) * 10 ** (SILENCE_DB / 10), 1e-12)
    # Less than proportional, so that quieter tones of a chord are seen beside the loudest.
    values = (power / np.maximum(strongest, 1e-12)) ** 0.7
    values[:, is_silent] = 0.0
    return Chroma(values, step_s)


def agreement(piece: Chroma, melody: Chroma) -> float | None:
    """Of the moments at which the melody sounds, the share where its strongest pitch class is the
    piece's strongest, too; None where it never sounds. Both have the same step."""
    assert piece.step_s == melody.step_s, (piece.step_s, melody.step_s)
    n = min(piece.values.shape[1], melody.values.shape[1])
    sounds = melody.values[:, :n].max(axis=0) > 0
    if not sounds.any():
        return None
    same = piece.values[:, :n].argmax(axis=0) == melody.values[:, :n].argmax(axis=0)
    return float(same[sounds].mean())


def true_peak_dbfs(samples: Samples) -> float:
    """The highest peak between the samples, too (ITU-R BS.1770-4, annex 2); -inf for silence."""
    peak = 0.0
    for start in range(0, samples.shape[1], PIECE):
        before = min(start, MARGIN)
        part = samples[:, start - before : start + PIECE + MARGIN].astype(np.float64)
        n = part.shape[1]
        size = 1 << (n + MARGIN - 1).bit_length()
        spectrum = np.fft.rfft(part, size, axis=1)
        # Half of the highest bin belongs to either side of the spectrum.
        spectrum[:, -1] *= 0.5
        fine = np.fft.irfft(spectrum, size * OVERSAMPLING, axis=1) * OVERSAMPLING
        last = min(before + PIECE, n) * OVERSAMPLING
        peak = max(peak, float(np.abs(fine[:, before * OVERSAMPLING : last]).max(initial=0.0)))
    return 20 * float(np.log10(peak)) if peak else -np.inf


def mel_spectrogram_db(
    mono: npt.NDArray[np.float32],
    rate_hz: int,
    n_bands: int = N_BANDS,
    max_columns: int = MAX_COLUMNS,
) -> tuple[Array, float]:
    """Power in bands of equal width in mel, in dB: [n_bands, columns]; and the seconds between
    columns."""
    step_s = max(MIN_STEP_S, mono.size / rate_hz / max_columns)
    filters = mel_filters(rate_hz, n_bands)
    power = np.concatenate(
        [filters @ spectrum.T for spectrum in _spectra(mono, FFT_SIZE, step_s * rate_hz)], axis=1
    )
    return 10 * np.log10(np.maximum(power, 1e-12)), step_s


def mel(hz: Array) -> Array:
    """Frequencies on the mel scale."""
    return 2595 * np.log10(1 + hz / 700)


def band_centres_hz(rate_hz: int, n_bands: int) -> Array:
    """The middle of each band of a mel spectrogram."""
    edges = np.linspace(0, mel(np.array(rate_hz / 2)), n_bands + 2)
    centres: Array = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    return centres


@lru_cache(maxsize=4)
def mel_filters(rate_hz: int, n_bands: int) -> Array:
    """Triangles [n_bands, bins], each of area one so that noise is equally bright everywhere."""
    edges_mel = np.linspace(0, mel(np.array(rate_hz / 2)), n_bands + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bins_hz = np.linspace(0, rate_hz / 2, FFT_SIZE // 2 + 1)
    rising = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    made: Array = triangles / np.maximum(triangles.sum(axis=1, keepdims=True), 1.0)
    return made


@lru_cache(maxsize=4)
def _chroma_bank(rate_hz: int, size: int) -> Array:
    """How much each bin of a spectrum counts for each class: [12, bins].

    Bumps a semitone wide around the equal-tempered pitches (A = 440 Hz), the less the higher.
    """
    hz = np.fft.rfftfreq(size, 1 / rate_hz)[1:]
    pitch = 12 * np.log2(hz / 440.0) + 9  # in semitones above the C below A = 440 Hz
    distance = np.remainder(pitch - np.arange(N_CLASSES)[:, None] + 6, 12) - 6
    bumps = np.exp(-0.5 * (distance / 0.35) ** 2)
    bumps *= np.exp(-0.5 * (np.log2(hz / 500.0) / 1.4) ** 2)
    bumps[:, (hz < CHROMA_LOW_HZ) | (hz > CHROMA_HIGH_HZ)] = 0.0
    return np.concatenate([np.zeros((N_CLASSES, 1)), bumps], axis=1)


def _spectra(mono: npt.NDArray[np.float32], size: int, hop: float) -> Iterator[Array]:
    """Power spectra [columns, bins] around every `hop` samples of [N], some columns at a time."""
    n_columns = max(1, int(np.ceil(mono.size / hop)))
    padded = np.pad(mono, (size // 2, size // 2 + 1))
    starts = np.round(np.arange(n_columns) * hop).astype(np.int64)
    window = np.hanning(size)
    for first in range(0, n_columns, BLOCK):
        at = starts[first : first + BLOCK, None] + np.arange(size)
        spectrum = np.fft.rfft(padded[at] * window, axis=1)
        yield np.square(np.abs(spectrum)) / size


def _peaks(samples: Samples, rate_hz: int) -> dict[str, Any]:
    """The highest sample of each of at most MAX_PEAKS stretches, by channel."""
    C, N = samples.shape
    per_peak = max(1, -(-N // MAX_PEAKS))
    n_peaks = -(-N // per_peak)
    padded = np.pad(np.abs(samples), ((0, 0), (0, n_peaks * per_peak - N)))
    highest = padded.reshape(C, n_peaks, per_peak).max(axis=2)
    return {"step_s": per_peak / rate_hz, "channels": np.round(highest, 3).tolist()}


def _spectrogram(mono: npt.NDArray[np.float32], rate_hz: int) -> dict[str, Any]:
    """The mel spectrogram as bytes: 0 is FLOOR_DB below the loudest, 255 the loudest."""
    levels, step_s = mel_spectrogram_db(mono, rate_hz)
    relative = 1 - (levels - levels.max()) / FLOOR_DB
    shades = np.round(255 * relative.clip(0, 1)).astype(np.uint8)
    return {
        "step_s": step_s,
        "n_bands": N_BANDS,
        "n_columns": int(shades.shape[1]),
        "hz": [round(float(hz), 1) for hz in band_centres_hz(rate_hz, N_BANDS)],
        "floor_db": FLOOR_DB,
        "values": base64.b64encode(shades.tobytes()).decode("ascii"),
    }


def _melody(piece: Chroma, melody: Samples, rate_hz: int) -> dict[str, Any]:
    """A melody's chroma on the piece's columns, and how well the piece follows it."""
    heard = chroma(melody.mean(axis=0), rate_hz, piece.step_s)
    shown = Chroma(heard.values[:, : piece.values.shape[1]], heard.step_s)
    followed = agreement(piece, shown)
    return {
        "chroma": _shown(shown),
        "agreement": None if followed is None else round(followed, 3),
    }


def _shown(classes: Chroma) -> dict[str, Any]:
    return {"step_s": classes.step_s, "values": np.round(classes.values, 2).tolist()}


def _finite(level: float) -> float | None:
    """A level for JSON, which knows no infinity."""
    return round(level, 2) if np.isfinite(level) else None
