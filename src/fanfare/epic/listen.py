"""Audio → what a plan can be made of: beat, key, chords, melody, intensity.

Plain signal processing on 20-ms frames, good enough to carry a tempo, a key and a tune over into
a new piece; where it is unsure, the plan leaves the matter to the model.
T frames (50/s), N samples of mono audio at 32 kHz.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.attributes import Mode
from fanfare.epic.plan import Grid
from fanfare.epic.score import Chord, Quality

FloatArray = NDArray[np.float32]
SAMPLE_RATE_HZ, HOP = 32000, 640
LONG_WINDOW, SHORT_WINDOW = 8192, 2048
BLOCK_FRAMES = 3000
"""Frames looked at together: the windows of ten minutes at once would take gigabytes."""
LOWEST_PITCH, N_PITCHES = 36, 60
"""Pitches followed: MIDI 36 (65 Hz) to 95 (1976 Hz)."""

MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well each degree fits a key (Krumhansl & Kessler, 1982)."""

TONES: tuple[tuple[Quality, tuple[int, ...]], ...] = (("maj", (0, 4, 7)), ("min", (0, 3, 7)))


@dataclass(frozen=True)
class Tune:
    """A note of a heard melody: frames [start, end), MIDI pitch."""

    start: int
    end: int
    pitch: int


def spectrum(wav: FloatArray, window: int) -> FloatArray:
    """Magnitudes [T, window/2 + 1] of Hann windows centred on the frames of `wav` [N]."""
    return np.concatenate(list(spectra(wav, window)))


def spectra(wav: FloatArray, window: int) -> Iterator[FloatArray]:
    """The same, some frames at a time."""
    n_frames = -(-len(wav) // HOP)
    padded = np.pad(wav, (window // 2, window // 2 + HOP))
    for first in range(0, n_frames, BLOCK_FRAMES):
        some = np.arange(first, min(first + BLOCK_FRAMES, n_frames))
        starts = some[:, None] * HOP + HOP // 2
        frames = padded[starts + np.arange(window)] * np.hanning(window)
        yield np.abs(np.fft.rfft(frames, axis=1)).astype(np.float32)


def onset_strength(wav: FloatArray) -> FloatArray:
    """How much each frame brings that the one before did not have, [T], largest = 1."""
    edges = np.unique(np.geomspace(2, SHORT_WINDOW // 2 + 1, 33).astype(int))
    parts = [np.add.reduceat(part, edges[:-1], axis=1) for part in spectra(wav, SHORT_WINDOW)]
    bands = np.concatenate(parts)
    level = np.log1p(100 * bands / max(float(bands.max(initial=0)), 1e-9))
    flux = np.maximum(np.diff(level, axis=0, prepend=level[:1]), 0).mean(axis=1)
    flux = np.maximum(flux - np.convolve(flux, np.ones(25) / 25, "same"), 0)
    return np.asarray(flux / max(float(flux.max(initial=0)), 1e-9), np.float32)


def beat_grid(onsets: FloatArray, meter: int = 4) -> Grid:
    """The steadiest beat of an onset envelope [T]: its period and phase.

    A period is judged by the autocorrelation at it and its multiples, with a mild preference for
    tempi around 105 bpm, since half and double tempo fit as well.
    """
    periods = np.arange(18.0, 50.25, 0.25)
    centred = onsets - onsets.mean()
    spectrum_ = np.fft.rfft(centred, 2 * len(centred))
    correlation = np.fft.irfft(np.abs(spectrum_) ** 2)[: len(centred)]
    correlation = correlation / max(float(correlation[0]), 1e-9)
    lags = np.arange(len(correlation))
    scores = np.zeros(len(periods))
    for multiple, weight in ((0.5, 0.4), (1, 1.0), (2, 0.8), (4, 0.6)):
        at = np.interp(periods * multiple, lags, correlation, right=0.0)
        scores += weight * at
    scores *= np.exp(-0.5 * (np.log2(periods / 28.5) / 0.9) ** 2)
    period = float(periods[int(scores.argmax())])
    offsets = np.arange(0.0, period, 0.5)
    frames = np.arange(len(onsets))
    hits = [
        float(np.interp(np.arange(o, len(onsets), period), frames, onsets).sum()) for o in offsets
    ]
    offset = float(offsets[int(np.argmax(hits))])
    downbeats = [
        float(np.interp(np.arange(offset + k * period, len(onsets), meter * period), frames, onsets)
              .mean()) if offset + k * period < len(onsets) else 0.0
        for k in range(meter)
    ]  # fmt: skip
    return Grid(period, meter, offset + int(np.argmax(downbeats)) * period)


def pitches(wav: FloatArray) -> FloatArray:
    """Energy [T, N_PITCHES] around every semitone."""
    hz = np.arange(LONG_WINDOW // 2 + 1) * SAMPLE_RATE_HZ / LONG_WINDOW
    place = 69 + 12 * np.log2(np.maximum(hz, 1.0) / 440.0) - LOWEST_PITCH
    bank = np.exp(-0.5 * ((place[:, None] - np.arange(N_PITCHES)) / 0.35) ** 2)
    bank[:3] = 0
    bank /= bank.sum(axis=0)
    return np.concatenate([part @ bank for part in spectra(wav, LONG_WINDOW)]).astype(np.float32)


def chroma(wav: FloatArray) -> FloatArray:
    """Pitch-class energy [T, 12], compressed, each frame scaled to a largest value of 1."""
    energy = np.sqrt(pitches(wav)).reshape(-1, N_PITCHES // 12, 12).sum(axis=1)
    return np.asarray(energy / np.maximum(energy.max(axis=1, keepdims=True), 1e-6), np.float32)


def key_of(classes: FloatArray) -> tuple[int, Mode]:
    """Tonic and mode that fit a chroma [T, 12] best."""
    mean = classes.mean(axis=0)
    best: tuple[float, int, Mode] = (-2.0, 0, "minor")
    profiles: tuple[tuple[Mode, tuple[float, ...]], ...] = (
        ("major", MAJOR_PROFILE), ("minor", MINOR_PROFILE)
    )  # fmt: skip
    for mode, profile in profiles:
        for tonic in range(12):
            fit = _correlation(mean, np.roll(profile, tonic))
            best = max(best, (fit, tonic, mode))
    return best[1], best[2]


def chords_of(classes: FloatArray, grid: Grid) -> list[Chord]:
    """The triad that fits each half bar (or whole bar, if short) best, gapless over [T, 12]."""
    T = len(classes)
    bar = grid.frames_per_beat * grid.meter
    step = bar if bar < 120 else bar / 2
    first = grid.offset % step
    edges = sorted({0, T, *(round(x) for x in np.arange(first, T, step))})
    edges = [e for i, e in enumerate(edges) if i == 0 or e - edges[i - 1] >= 8 or e == T]
    chords: list[Chord] = []
    for start, end in itertools.pairwise(edges):
        root, quality = best_triad(classes[start:end].mean(axis=0))
        chords.append(Chord(start, end, root, quality))
    return chords


def best_triad(profile: FloatArray) -> tuple[int, Quality]:
    """The major or minor triad whose tones stand out most in a pitch-class profile [12]."""
    centred = profile - profile.mean()
    scores = {
        (root, quality): float(sum(centred[(root + i) % 12] for i in tones) + 0.3 * centred[root])
        for root in range(12)
        for quality, tones in TONES
    }
    return max(scores, key=lambda chord: scores[chord])


def melody_of(wav: FloatArray) -> list[Tune]:
    """The most salient line above middle C's octave below, as notes of at least 80 ms."""
    energy = np.sqrt(pitches(wav))
    salience = energy.copy()
    for harmonic, weight in ((12, 0.5), (19, 0.33), (24, 0.25)):
        salience[:, :-harmonic] += weight * energy[:, harmonic:]
    low = 55 - LOWEST_PITCH
    salience[:, :low] = 0
    salience *= np.linspace(0.9, 1.15, N_PITCHES)  # tunes tend to be on top
    line = salience.argmax(axis=1)
    strength = salience.max(axis=1)
    loud = strength > 0.15 * max(float(strength.max(initial=0)), 1e-9)
    notes: list[Tune] = []
    start = 0
    for frame in range(1, len(line) + 1):
        ended = frame == len(line) or line[frame] != line[start] or loud[frame] != loud[start]
        if ended:
            if loud[start] and frame - start >= 4:
                notes.append(Tune(start, frame, LOWEST_PITCH + int(line[start])))
            start = frame
    return _join(notes)


def _join(notes: list[Tune]) -> list[Tune]:
    """Closes gaps of up to 60 ms between notes of the same pitch."""
    joined: list[Tune] = []
    for note in notes:
        if joined and joined[-1].pitch == note.pitch and note.start - joined[-1].end <= 3:
            joined[-1] = Tune(joined[-1].start, note.end, note.pitch)
        else:
            joined.append(note)
    return joined


def force(wav: FloatArray) -> float:
    """Intensity 0..3 from brightness and attack rather than level, which mastering decides."""
    magnitude = spectrum(wav, SHORT_WINDOW)
    power = (magnitude**2).sum(axis=0) + 1e-9
    hz = np.arange(len(power)) * SAMPLE_RATE_HZ / SHORT_WINDOW
    bright = 10 * np.log10(power[hz > 2000].sum() / power.sum())
    low = 10 * np.log10(power[(hz > 20) & (hz < 120)].sum() / power.sum())
    attack = float(np.percentile(np.diff(np.log(magnitude.sum(axis=1) + 1e-3)), 97))
    weights = FORCE_WEIGHTS
    value = weights[0] + weights[1] * bright + weights[2] * low + weights[3] * attack
    return float(np.clip(value, 0.0, 3.0))


FORCE_WEIGHTS = (1.1, 0.013, 0.016, 2.26)
"""Least squares on renders: intercept, per dB above 2 kHz, per dB below 120 Hz, per unit attack."""


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a**2).sum() * (b**2).sum())), 1e-9))
