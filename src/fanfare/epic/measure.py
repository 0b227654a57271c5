"""What can be measured of a piece against the score that it was made from.

N samples of mono audio at 32 kHz, T frames (50/s), K codebooks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fanfare.epic import listen
from fanfare.epic.score import Score

FloatArray = NDArray[np.float32]
SILENT_DBFS = -45.0
STUCK_FRAMES = 25


def chords_right(wav: FloatArray, score: Score) -> list[bool]:
    """For each chord of the score: whether the triad that stands out in the audio is that one."""
    classes = listen.chroma(wav)
    right = []
    for chord in score.chords:
        if not chord.plain:
            continue  # suspended, without a third: no triad to be right about
        span = classes[chord.start : min(chord.end, len(classes))]
        if len(span) >= 10:
            right.append(listen.best_triad(span.mean(axis=0)) == (chord.root, chord.triad))
    return right


def onset_agreement(wav: FloatArray, score: Score) -> float:
    """Correlation of heard onsets with the score's, at the better of three 20-ms offsets."""
    written = np.zeros(score.n_frames)
    for note in score.notes:
        written[note.start] += note.velocity * (2.0 if note.role == "drum" else 1.0)
    written = np.convolve(np.sqrt(written), (0.3, 1.0, 0.5, 0.2), "same")
    heard = np.convolve(listen.onset_strength(wav), (0.3, 1.0, 0.3), "same")
    n = min(len(heard), len(written))
    return max(
        float(np.corrcoef(np.roll(heard[:n], shift), written[:n])[0, 1]) for shift in (-1, 0, 1)
    )


def faults(wav: FloatArray, codes: NDArray[np.int64], score: Score | None = None) -> list[str]:
    """What is plainly wrong with a finished piece [N] and its codes [K, T]: nothing, one hopes.

    Standing still is no fault where the score has a rest.
    """
    found = []
    if 10 * np.log10(float((wav**2).mean()) + 1e-12) < SILENT_DBFS:
        found.append("silent")
    if float((np.abs(wav) >= 0.999).mean()) > 1e-4:
        found.append("clipped")
    same = (codes[:, 1:] == codes[:, :-1]).all(axis=0)
    if score is not None:
        same &= _sounding(score)[1 : 1 + len(same)]
    run = longest = 0
    for equal in same:
        run = run + 1 if equal else 0
        longest = max(longest, run)
    if longest >= STUCK_FRAMES:
        found.append("stuck")
    return found


def _sounding(score: Score) -> NDArray[np.bool_]:
    """The frames in which some note of the score is held, [T]."""
    held = np.zeros(score.n_frames, bool)
    for note in score.notes:
        held[note.start : note.start + note.length] = True
    return held


def repetition(codes: NDArray[np.int64]) -> float:
    """Share of frames whose first codebook's last four codes have occurred before, in order."""
    row = codes[0].tolist()
    grams = [tuple(row[i : i + 4]) for i in range(len(row) - 3)]
    return 1 - len(set(grams)) / max(len(grams), 1)


def colour_rows(wav: FloatArray) -> FloatArray:
    """Log band energies of every second, [seconds, 48], independent of overall level."""
    wav = wav / max(float(np.sqrt((wav**2).mean())), 1e-5) * 0.1
    magnitude = listen.spectrum(wav, listen.SHORT_WINDOW)
    edges = np.unique(np.geomspace(1, magnitude.shape[1], 60).astype(int))[-49:]
    bands = np.log(np.add.reduceat(magnitude, edges[:-1], axis=1) + 1e-2)
    seconds = bands[: len(bands) // 50 * 50].reshape(-1, 50, bands.shape[1])
    return np.asarray(seconds.mean(axis=1), np.float32)


def frechet(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> float:
    """Fréchet distance between Gaussians fitted to the colour rows of two sets of pieces."""
    x, y = np.concatenate(list(a)), np.concatenate(list(b))
    ridge = 1e-3 * np.eye(x.shape[1])
    s, t = np.cov(x.T) + ridge, np.cov(y.T) + ridge
    root_trace = np.sqrt(np.maximum(np.linalg.eigvals(s @ t).real, 0)).sum()
    gap = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    return float(gap + np.trace(s + t) - 2 * root_trace)


def si_sdr_db(heard: FloatArray, target: FloatArray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB."""
    scale = float((heard * target).sum() / max(float((target**2).sum()), 1e-9))
    error = heard - scale * target
    return float(
        10 * np.log10(((scale * target) ** 2).sum() / max(float((error**2).sum()), 1e-9) + 1e-12)
    )
