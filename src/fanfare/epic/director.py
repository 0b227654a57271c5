"""Prompt and audio → plan: the one door through which generation uses the composer.

N samples of mono audio at 32 kHz, T frames (50/s), F plan features.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fanfare.epic import listen
from fanfare.epic.attributes import MAX_BPM, MIN_BPM, Attributes, Mode
from fanfare.epic.brief import MAX_FRAMES_PER_BEAT, MIN_FRAMES_PER_BEAT, settle
from fanfare.epic.compose import compose, ending, form_levels
from fanfare.epic.control import Control
from fanfare.epic.layout import LAYOUT_1, Layout
from fanfare.epic.plan import (
    Grid,
    lean,
    plan_of,
    write_chord,
    write_levels,
    write_time,
    write_tone,
)
from fanfare.epic.score import FRAME_RATE_HZ, Brief, Chord, Score
from fanfare.epic.understand import understand

FloatArray = NDArray[np.float32]
FREE = Control()

LONGEST_HELD = 125
"""Frames of a last chord that are enough."""
MIN_HEARD_SAMPLES = listen.SAMPLE_RATE_HZ // 2


@dataclass(frozen=True)
class Heard:
    """What was made out in a recording.

    Attributes:
        grid: its beat.
        key, mode: its key.
        chords: gapless over its frames.
        level: intensity 0..3.
    """

    n_frames: int
    grid: Grid
    key: int
    mode: Mode
    chords: list[Chord]
    level: float


def direct(
    prompt: str,
    *,
    n_frames: int,
    seed: int,
    melody: FloatArray | None = None,
    excerpt: FloatArray | None = None,
    control: Control = FREE,
    layout: Layout = LAYOUT_1,
) -> FloatArray:
    """The plan of a piece.

    Args:
        prompt: what the music should be; "" leaves everything to the seed.
        n_frames: frames of the whole piece, an excerpt's included.
        seed: draws what prompt and audio leave open.
        melody: audio [N] whose tune, chords and tempo the piece takes.
        excerpt: audio [N] that the piece begins with and goes on from.
        control: tempo, key, chords and form that the caller fixes. Audio has its own tempo, key
            and chords: beside it, only the form counts.
        layout: of the plan that the weights know.

    Returns:
        Features [T, F] of that layout.
    """
    assert melody is None or excerpt is None
    wanted, rng = control.over(understand(prompt)), random.Random(seed)
    heard_in = melody if melody is not None else excerpt
    if heard_in is None:
        return plan_of(write_score(wanted, n_frames, rng, control), layout)
    heard = hear(heard_in)
    brief = replace(_brief(wanted, heard, rng), parts=control.parts)
    if melody is not None:
        return _follow(brief, heard, melody, n_frames, rng, layout)
    return _go_on(brief, heard, n_frames, rng, layout)


def write_score(
    wanted: Attributes, n_frames: int, rng: random.Random, control: Control = FREE
) -> Score:
    """The score of a piece made from words, and from what the caller fixes."""
    brief = _fitted(replace(settle(wanted, rng), parts=control.parts), n_frames)
    return compose(brief, n_frames, rng, control.chords(brief, n_frames))


def _fitted(brief: Brief, n_frames: int) -> Brief:
    """A tempo that nobody asked for gives way a little, lest the last chord stand for long."""
    if brief.pulse or n_frames - ending(brief, n_frames) <= LONGEST_HELD:
        return brief
    for more in (1, -1, 2, -2, 3, -3):
        beat = min(max(brief.frames_per_beat + more, MIN_FRAMES_PER_BEAT), MAX_FRAMES_PER_BEAT)
        fitted = replace(brief, frames_per_beat=beat)
        if 0 < n_frames - ending(fitted, n_frames) <= LONGEST_HELD:
            return fitted
    return brief


def hear(wav: FloatArray) -> Heard:
    """Listens to a recording [N]; one of less than half a second is taken to go on in silence."""
    wav = np.pad(wav, (0, max(0, MIN_HEARD_SAMPLES - len(wav))))
    classes = listen.chroma(wav)
    grid = listen.beat_grid(listen.onset_strength(wav))
    key, mode = listen.key_of(classes)
    chords = listen.chords_of(classes, grid)
    return Heard(len(classes), grid, key, mode, chords, listen.force(wav))


def _brief(wanted: Attributes, heard: Heard, rng: random.Random, meter: int = 4) -> Brief:
    """A brief in the tempo and key that were heard; the prompt has its say in the rest."""
    bpm = 60 * FRAME_RATE_HZ / heard.grid.frames_per_beat
    wanted = replace(
        wanted,
        bpm=float(np.clip(bpm, MIN_BPM, MAX_BPM)),
        key=heard.key,
        mode=heard.mode,
        scale=wanted.scale if wanted.mode == heard.mode else None,
        meter=meter,
    )
    if wanted.intensity is None:
        wanted = replace(wanted, intensity=round(heard.level))
    return replace(settle(wanted, rng), pulse=False)  # nobody asked for that tempo


def _go_on(
    brief: Brief, heard: Heard, n_frames: int, rng: random.Random, layout: Layout
) -> FloatArray:
    """What was heard, as far as it is known; then new music on its beat and in its key."""
    P = min(heard.n_frames, n_frames)
    bar = brief.frames_per_beat * brief.meter
    # The new part starts at the first bar line, on the excerpt's own beat, at or before the joint.
    start = round((P - heard.grid.offset) // bar * bar + heard.grid.offset)
    fresh = plan_of(compose(brief, n_frames - min(start, P), rng), layout)
    plan = np.zeros((n_frames, fresh.shape[1]), np.float32)
    plan[start if start > 0 else 0 :] = fresh[-start if start < 0 else 0 :][
        : n_frames - max(start, 0)
    ]
    heard_part = np.zeros((P, plan.shape[1]), np.float32)
    write_time(heard_part, replace(heard.grid, frames_per_beat=brief.frames_per_beat), layout)
    for chord in heard.chords:
        end = min(chord.end, P)
        write_chord(heard_part, chord.start, end, chord.pitch_classes, None, layout)
    write_levels(heard_part, np.full(P, heard.level, np.float32), layout)
    plan[:P] = lean(heard_part, layout.masked, layout)
    return plan


def _follow(
    brief: Brief,
    heard: Heard,
    wav: FloatArray,
    n_frames: int,
    rng: random.Random,
    layout: Layout,
) -> FloatArray:
    """The tune and chords that were heard, played by the ensemble that the prompt asks for.

    A recording shorter than the piece is repeated.
    """
    if not brief.ensemble.melody:
        lead = brief.ensemble.pitched[:1] or ("strings",)
        brief = replace(brief, ensemble=replace(brief.ensemble, melody=lead))
    chords = _repeat(heard.chords, heard.n_frames, n_frames)
    score = compose(brief, n_frames, rng, chords)
    # A counter-melody was written against another tune than the one that was heard.
    score.notes = [note for note in score.notes if note.role not in ("melody", "counter")]
    plan, slices = plan_of(score, layout), layout.slices
    write_time(plan, Grid(brief.frames_per_beat, brief.meter, heard.grid.offset), layout)
    levels = np.repeat(form_levels(brief, len(score.levels)), score.frames_per_bar)
    write_levels(plan, levels[:n_frames].astype(np.float32), layout)
    tune = listen.melody_of(wav)
    plan[:, slices["melody"]] = 0
    places = [layout.voice(name) for name in brief.ensemble.melody]
    columns = [place for place in places if place is not None]
    for first in range(0, n_frames, heard.n_frames):
        for note in tune:
            start, end = first + note.start, min(first + note.end, n_frames)
            if start >= n_frames:
                break
            write_tone(plan, "melody", start, end, note.pitch, 0.8, layout)
            plan[start:end, slices["instruments"]][:, columns] = 0.8
            plan[start, slices["onsets"]][layout.onsets.index("melody")] = 0.8
    return plan


def _repeat(chords: list[Chord], length: int, n_frames: int) -> list[Chord]:
    """Chords that cover `length` frames, repeated to cover exactly `n_frames`."""
    out: list[Chord] = []
    for first in range(0, n_frames, length):
        for chord in chords:
            start, end = first + chord.start, min(first + chord.end, n_frames)
            if start < end:
                out.append(replace(chord, start=start, end=end))
    return out
