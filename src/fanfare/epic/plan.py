"""Score → plan: what sounds in every frame, as numbers that the language model is conditioned on.

A plan is a float32 array [T, F]: T frames of 20 ms, F features in the groups of a `Layout`. Groups
that are unknown (because a piece was heard, not composed) or left to the model are zero, and their
mask bit says so.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.attributes import SCALES
from fanfare.epic.layout import LAYOUT_1, Layout
from fanfare.epic.score import Note, Score

FloatArray = NDArray[np.float32]

GROUPS, N_FEATURES = LAYOUT_1.slices, LAYOUT_1.n_features
MASKED, ONSET_ORDER = LAYOUT_1.masked, LAYOUT_1.onsets
"""Of the first layout."""

DRUM_DECAY = 4.0
"""Frames after which a drum stroke's feature has fallen to 1/e."""
METRES = (3, 4, 6)
PHRASE_BARS = 4
TONES = ("melody", "counter", "arp")
"""Roles of which every tone is told."""


@dataclass(frozen=True)
class Grid:
    """Where the beats are: frames a beat, beats a bar, and the frame of the first bar line.

    Attributes:
        division: parts of a beat, 3 in compound time.
    """

    frames_per_beat: float
    meter: int
    offset: float = 0.0
    division: int = 2


def grid_of(score: Score) -> Grid:
    """The beats of a score."""
    brief = score.brief
    return Grid(brief.frames_per_beat, brief.beats_per_bar, division=brief.division)


def plan_of(score: Score, layout: Layout = LAYOUT_1) -> FloatArray:
    """The full plan of a score, [T, F]."""
    T = score.n_frames
    plan = np.zeros((T, layout.n_features), np.float32)
    write_time(plan, grid_of(score), layout)
    for chord in score.chords:
        # A layout without scales knows plain triads only.
        tones = chord.pitch_classes if "scale" in layout.groups else chord.triad_classes
        write_chord(plan, chord.start, chord.end, tones, chord.low, layout)
    for frame in range(T):
        _write_level(plan, frame, score.level_at(frame), layout)
    if "scale" in layout.groups:
        _write_keys(plan, score, layout)
    _write_notes(plan, score, layout)
    if "loud" in layout.groups:
        _write_loudness(plan, score, layout)
    return plan


def write_time(plan: FloatArray, grid: Grid, layout: Layout = LAYOUT_1) -> None:
    """Beat phases, their onsets, and the tempo.

    To a layout that knows no compound time, a bar of 6/8 is one of three quarters.
    """
    if not len(plan):
        return
    time = plan[:, layout.slices["time"]]
    units = [1 / grid.division, 1.0, float(grid.meter)]
    if "metre" in layout.groups:
        units.append(float(grid.meter * PHRASE_BARS))
        written = 6 if grid.division == 3 else grid.meter
        plan[:, layout.slices["metre"]] = [float(written == metre) for metre in METRES]
    elif grid.division == 3:
        grid = Grid(grid.frames_per_beat * 2 / 3, 3, grid.offset)
        units = [0.5, 1.0, 3.0]
    beats = (np.arange(len(plan)) - grid.offset) / grid.frames_per_beat
    for i, unit in enumerate(units):
        place = beats / unit
        phase = 2 * np.pi * (place % 1.0)
        time[:, 2 * i] = np.sin(phase)
        time[:, 2 * i + 1] = np.cos(phase)
        first, last = math.ceil(float(place[0])) - 1, math.floor(float(place[-1])) + 1
        beats_at = grid.offset + np.arange(first, last + 1) * unit * grid.frames_per_beat
        at = np.rint(beats_at).astype(int)  # to the frame that notes are rounded to
        time[at[(at >= 0) & (at < len(plan))], 2 * len(units) + i] = 1
    plan[:, layout.slices["tempo"]] = grid.frames_per_beat / 25.0


def write_chord(
    plan: FloatArray,
    start: int,
    end: int,
    pitch_classes: Collection[int],
    bass: int | None,
    layout: Layout = LAYOUT_1,
) -> None:
    """A chord over the frames [start, end)."""
    chord = plan[start:end, layout.slices["chord"]]
    chord[:] = 0
    chord[:, list(pitch_classes)] = 1
    if bass is not None:
        low = plan[start:end, layout.slices["bass"]]
        low[:] = 0
        low[:, bass] = 1


def write_levels(plan: FloatArray, levels: FloatArray, layout: Layout = LAYOUT_1) -> None:
    """Intensity (0..3, fractional) of every frame, [T]."""
    for frame, level in enumerate(levels):
        _write_level(plan, frame, float(level), layout)


def write_tone(
    plan: FloatArray,
    group: str,
    start: int,
    end: int,
    pitch: int,
    velocity: float,
    layout: Layout = LAYOUT_1,
) -> None:
    """A note of the melody, the counter-melody or the arp: pitch class, height, onset."""
    tone = plan[start:end, layout.slices[group]]
    if not len(tone):
        return
    tone[:, pitch % 12] = np.maximum(tone[:, pitch % 12], velocity)
    tone[:, 12] = (pitch - 60) / 24
    tone[0, 13] = velocity


def lean(plan: FloatArray, dropped: Collection[str], layout: Layout = LAYOUT_1) -> FloatArray:
    """A copy of the plan without the groups in `dropped` (each of `masked`), mask bits set."""
    plan, slices = plan.copy(), layout.slices
    onsets = plan[:, slices["onsets"]]
    for name in dropped:
        plan[:, slices["mask"]][:, layout.masked.index(name)] = 1
        if name == "frames":
            if "instruments" not in dropped:
                instruments = plan[:, slices["instruments"]]
                playing = instruments.max(axis=0, initial=0)
                instruments[:] = playing
        else:
            plan[:, slices[name]] = 0
        if name in layout.onsets:
            onsets[:, layout.onsets.index(name)] = 0
    return plan


def _write_level(plan: FloatArray, frame: int, level: float, layout: Layout) -> None:
    row = plan[frame, layout.slices["level"]]
    row[:] = 0
    row[min(round(level), 3)] = 1
    row[4] = level / 3


def _write_keys(plan: FloatArray, score: Score, layout: Layout) -> None:
    """The tones of every key, the tonic standing out."""
    keys = score.keys or [score.key_at(0)]
    for key in keys:
        rows = plan[key.start : key.end, layout.slices["scale"]]
        rows[:, [(key.tonic + tone) % 12 for tone in SCALES[key.scale]]] = 0.5
        rows[:, key.tonic] = 1


def _write_notes(plan: FloatArray, score: Score, layout: Layout) -> None:
    plan[:, layout.slices["bass"]] = 0
    for note in score.notes:
        if note.role == "drum":
            _write_stroke(plan, note, layout)
        elif note.role == "effect":
            _write_effect(plan, note, layout)
        else:
            _write_note(plan, note, score, layout)


def _write_note(plan: FloatArray, note: Note, score: Score, layout: Layout) -> None:
    span = slice(note.start, min(note.start + note.length, score.n_frames))
    _write_player(plan, span, note.instrument, note.velocity, layout)
    role = note.role if note.role in layout.onsets else "pad"
    onsets, order = plan[:, layout.slices["onsets"]], layout.onsets.index(role)
    onsets[note.start, order] = max(onsets[note.start, order], note.velocity)
    if note.role in TONES and note.role in layout.groups:
        write_tone(plan, note.role, span.start, span.stop, note.pitch, note.velocity, layout)
    elif note.role == "bass":
        plan[span, layout.slices["bass"]][:, note.pitch % 12] = 1


def _write_player(
    plan: FloatArray, span: slice, name: str, velocity: float, layout: Layout
) -> None:
    index = layout.voice(name)
    if index is not None:
        column = plan[:, layout.slices["instruments"]][span, index]
        np.maximum(column, velocity, out=column)


def _write_stroke(plan: FloatArray, note: Note, layout: Layout) -> None:
    stroke = layout.stroke(note.instrument)
    if stroke is None:
        return
    column = plan[note.start : note.start + int(5 * DRUM_DECAY), layout.slices["drums"]][:, stroke]
    ring = note.velocity * np.exp(-np.arange(len(column), dtype=np.float32) / DRUM_DECAY)
    if note.instrument in RISING and layout.strokes[stroke] == note.instrument:
        column = plan[note.start : note.start + note.length, layout.slices["drums"]][:, stroke]
        ring = note.velocity * np.linspace(0.2, 1.0, len(column), dtype=np.float32)
    np.maximum(column, ring, out=column)


RISING = ("cymbal_swell",)
"""Strokes that grow for as long as they last."""


def _write_effect(plan: FloatArray, note: Note, layout: Layout) -> None:
    """How far an effect has got, and where it begins; else what it sounds like."""
    span = slice(note.start, min(note.start + note.length, len(plan)))
    if note.instrument in layout.effects:
        place = 2 * layout.effects.index(note.instrument)
        rows = plan[:, layout.slices["effects"]][span]
        rows[:, place] = np.linspace(1 / max(len(rows), 1), 1, len(rows), dtype=np.float32)
        rows[:1, place + 1] = note.velocity
    elif note.instrument == "braam":
        for name in ("trombone", "brass"):
            _write_player(plan, span, name, note.velocity, layout)
        plan[span, layout.slices["bass"]][:, note.pitch % 12] = 1
        plan[note.start, layout.slices["onsets"]][layout.onsets.index("bass")] = note.velocity
    else:
        _write_stroke(plan, note, layout)


def _write_loudness(plan: FloatArray, score: Score, layout: Layout) -> None:
    """How loud what is held should be, 0..1: the strongest of velocities times expression."""
    loud = plan[:, layout.slices["loud"]][:, 0]
    frames = np.arange(score.n_frames)
    gains = {
        role: np.interp(frames, [p[0] for p in curve], [p[1] for p in curve]).astype(np.float32)
        for role, curve in score.curves.items()
        if curve
    }
    for note in score.notes:
        if note.role in ("drum", "effect"):
            continue
        span = slice(note.start, min(note.start + note.length, score.n_frames))
        value = note.velocity * gains[note.role][span] if note.role in gains else note.velocity
        np.maximum(loud[span], value, out=loud[span])
