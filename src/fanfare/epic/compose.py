"""Brief → score: form, harmony, and a part for everyone in the ensemble."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from fanfare.epic.attributes import Mood
from fanfare.epic.drumming import write_drums, write_effects
from fanfare.epic.expression import humanise, write_curves
from fanfare.epic.form import sections_of, shape
from fanfare.epic.harmony import harmonise, keys_of
from fanfare.epic.parts import write_arps, write_bass, write_pads
from fanfare.epic.score import Brief, Chord, KeySpan, Note, Score
from fanfare.epic.themes import write_counter, write_melody
from fanfare.epic.writing import Writer

_DRIVEN: tuple[Mood, ...] = ("heroic", "adventurous", "dark", "tense")
LOUD = 2
LAST_HELD = 40
"""Frames that make a last chord, where half a bar is longer."""
LAST_RING = 50
"""Frames of silence after the last stroke."""


def compose(
    brief: Brief, n_frames: int, rng: random.Random, chords: Sequence[Chord] | None = None
) -> Score:
    """Composes a piece.

    Args:
        brief: what it is to be.
        n_frames: its length in frames.
        rng: draws all that the brief leaves open; the same state gives the same piece.
        chords: harmony to use instead of one drawn; it must cover the whole length.
    """
    bar = brief.frames_per_bar
    n_bars = -(-n_frames // bar)
    levels, parts = shape(brief, n_bars)
    seed, last_start = f"{rng.random()}", ending(brief, n_frames)
    if parts[-1] == "outro" and last_start < n_frames:
        parts[last_start // bar :] = ["outro"] * (n_bars - last_start // bar)
    sections = sections_of(parts, bar, n_frames)
    keys = [KeySpan(0, n_frames, brief.key, brief.tones)]
    if chords is None:
        keys = keys_of(brief, n_frames, sections)
        chords = harmonise(brief, keys, sections, random.Random(f"{seed} harmony"), last_start)
    score = Score(brief, n_frames, levels, list(chords), keys=keys, sections=sections)
    writer = Writer(score, parts, seed, last_start)
    for write in (
        write_pads, write_bass, write_arps, write_melody, write_counter, write_drums, write_effects,
    ):  # fmt: skip
        write(writer)
    _finish(writer)
    return score


def form_levels(brief: Brief, n_bars: int) -> list[float]:
    """Intensity bar by bar."""
    return shape(brief, n_bars)[0]


def ending(brief: Brief, n_frames: int) -> int:
    """Where the last chord begins, to be held; `n_frames` if the piece just stops."""
    bar = brief.frames_per_bar
    n_bars = -(-n_frames // bar)
    if n_bars < 3 or brief.form == "hit":
        return n_frames
    start = (n_bars - 1) * bar
    enough = min(bar // 2, max(brief.frames_per_beat, LAST_HELD))
    return start if n_frames - start >= enough else start - bar


def _finish(writer: Writer) -> None:
    """A silence before the climax, the way it ends, and how it is played."""
    score, brief, rng = writer.score, writer.brief, writer.for_part("ending")
    driven = brief.mood in _DRIVEN and brief.intensity >= LOUD
    if driven and not brief.pulse and rng.random() < 0.5:
        for before, section in zip(score.sections, score.sections[1:], strict=False):
            if section.name == "climax" and before.name in ("build", "break"):
                _silence(score, section.start - writer.beat, section.start)
                break
    struck = driven and writer.last_start < score.n_frames and rng.random() < 0.35
    if struck:
        _strike_last(score, writer.last_start, writer.beat)
    write_curves(writer, dies_away=not driven and not struck)
    humanise(score, writer.for_part("players"), writer.legato)
    score.notes.sort(key=lambda n: (n.start, n.pitch, n.instrument))


def _silence(score: Score, start: int, end: int) -> None:
    """Everyone but the effects pauses over the frames [start, end)."""
    kept: list[Note] = []
    for note in score.notes:
        if note.role == "effect" or note.start >= end or note.start + note.length <= start:
            kept.append(note)
        elif note.start < start:
            kept.append(replace(note, length=start - note.start))
    score.notes = kept


def _strike_last(score: Score, start: int, beat: int) -> None:
    """The last chord is struck and left to ring, for LAST_RING at most."""
    held = max(beat, score.n_frames - start - LAST_RING)
    score.notes = [
        replace(n, length=min(n.length, held), articulation="accent")
        if n.start >= start and n.role not in ("drum", "effect")
        else n
        for n in score.notes
    ]
