"""Score → plan: what sounds in every frame, as numbers that the language model is conditioned on.

A plan is a float32 array [T, F]: T frames of 20 ms, F = `N_FEATURES` features in the groups of
`GROUPS`. Groups that are unknown (because a piece was heard, not composed) or left to the model
are zero, and their mask bit says so.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.attributes import PITCHED
from fanfare.epic.score import DRUMS, Score

FloatArray = NDArray[np.float32]

MASKED = ("bass", "melody", "arp", "drums", "onsets", "instruments", "frames")
"""What a plan may leave out. "frames" keeps the instruments, but only as a mean over the piece."""

_SIZES = {
    "time": 9, "tempo": 1, "chord": 12, "bass": 12, "melody": 14, "arp": 14, "level": 5,
    "instruments": len(PITCHED), "drums": len(DRUMS), "onsets": 4, "mask": len(MASKED),
}  # fmt: skip

GROUPS: dict[str, slice] = {}
_start = 0
for _name, _size in _SIZES.items():
    GROUPS[_name] = slice(_start, _start + _size)
    _start += _size
N_FEATURES = _start

DRUM_DECAY = 4.0
"""Frames after which a drum stroke's feature has fallen to 1/e."""
ONSET_ORDER = ("pad", "bass", "melody", "arp")


@dataclass(frozen=True)
class Grid:
    """Where the beats are: frames a beat, beats a bar, and the frame of the first bar line."""

    frames_per_beat: float
    meter: int
    offset: float = 0.0


def plan_of(score: Score) -> FloatArray:
    """The full plan of a score, [T, F]."""
    T = score.n_frames
    plan = np.zeros((T, N_FEATURES), np.float32)
    write_time(plan, Grid(score.brief.frames_per_beat, score.brief.meter))
    for chord in score.chords:
        write_chord(plan, chord.start, chord.end, chord.pitch_classes, chord.root)
    for frame in range(T):
        _write_level(plan, frame, score.level_at(frame))
    _write_notes(plan, score)
    return plan


def write_time(plan: FloatArray, grid: Grid) -> None:
    """Beat phases, their onsets, and the tempo."""
    if not len(plan):
        return
    time = plan[:, GROUPS["time"]]
    beats = (np.arange(len(plan)) - grid.offset) / grid.frames_per_beat
    for i, unit in enumerate((0.5, 1.0, float(grid.meter))):
        place = beats / unit
        phase = 2 * np.pi * (place % 1.0)
        time[:, 2 * i] = np.sin(phase)
        time[:, 2 * i + 1] = np.cos(phase)
        first, last = math.ceil(float(place[0])) - 1, math.floor(float(place[-1])) + 1
        beats_at = grid.offset + np.arange(first, last + 1) * unit * grid.frames_per_beat
        at = np.rint(beats_at).astype(int)  # to the frame that notes are rounded to
        time[at[(at >= 0) & (at < len(plan))], 6 + i] = 1
    plan[:, GROUPS["tempo"]] = grid.frames_per_beat / 25.0


def write_chord(
    plan: FloatArray, start: int, end: int, pitch_classes: Collection[int], bass: int | None
) -> None:
    """A chord over the frames [start, end)."""
    chord = plan[start:end, GROUPS["chord"]]
    chord[:] = 0
    chord[:, list(pitch_classes)] = 1
    if bass is not None:
        low = plan[start:end, GROUPS["bass"]]
        low[:] = 0
        low[:, bass] = 1


def write_levels(plan: FloatArray, levels: FloatArray) -> None:
    """Intensity (0..3, fractional) of every frame, [T]."""
    for frame, level in enumerate(levels):
        _write_level(plan, frame, float(level))


def write_tone(
    plan: FloatArray, group: str, start: int, end: int, pitch: int, velocity: float
) -> None:
    """A note of the melody or the arp: pitch class, height, onset."""
    tone = plan[start:end, GROUPS[group]]
    if not len(tone):
        return
    tone[:, pitch % 12] = np.maximum(tone[:, pitch % 12], velocity)
    tone[:, 12] = (pitch - 60) / 24
    tone[0, 13] = velocity


def lean(plan: FloatArray, dropped: Collection[str]) -> FloatArray:
    """A copy of the plan without the groups in `dropped` (each of MASKED), mask bits set."""
    plan = plan.copy()
    onsets = plan[:, GROUPS["onsets"]]
    for name in dropped:
        plan[:, GROUPS["mask"]][:, MASKED.index(name)] = 1
        if name == "frames":
            if "instruments" not in dropped:
                instruments = plan[:, GROUPS["instruments"]]
                playing = instruments.max(axis=0, initial=0)
                instruments[:] = playing
        else:
            plan[:, GROUPS[name]] = 0
        if name in ONSET_ORDER:
            onsets[:, ONSET_ORDER.index(name)] = 0
    return plan


def _write_level(plan: FloatArray, frame: int, level: float) -> None:
    row = plan[frame, GROUPS["level"]]
    row[:] = 0
    row[min(round(level), 3)] = 1
    row[4] = level / 3


def _write_notes(plan: FloatArray, score: Score) -> None:
    instruments, onsets = plan[:, GROUPS["instruments"]], plan[:, GROUPS["onsets"]]
    plan[:, GROUPS["bass"]] = 0
    for note in score.notes:
        span = slice(note.start, min(note.start + note.length, score.n_frames))
        if note.role == "drum":
            _write_stroke(plan, note.start, DRUMS.index(note.instrument), note.velocity)
            continue
        column = instruments[span, PITCHED.index(note.instrument)]
        np.maximum(column, note.velocity, out=column)
        order = ONSET_ORDER.index(note.role)
        onsets[note.start, order] = max(onsets[note.start, order], note.velocity)
        if note.role in ("melody", "arp"):
            write_tone(plan, note.role, span.start, span.stop, note.pitch, note.velocity)
        elif note.role == "bass":
            plan[span, GROUPS["bass"]][:, note.pitch % 12] = 1


def _write_stroke(plan: FloatArray, start: int, stroke: int, velocity: float) -> None:
    column = plan[start : start + int(5 * DRUM_DECAY), GROUPS["drums"]][:, stroke]
    ring = velocity * np.exp(-np.arange(len(column), dtype=np.float32) / DRUM_DECAY)
    np.maximum(column, ring, out=column)
