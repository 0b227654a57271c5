"""Percussion and effects: what strikes, rolls, rises and falls."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fanfare.epic.harmony import fold
from fanfare.epic.material import DRUM_PATTERNS, USUAL_STROKES, Strokes
from fanfare.epic.writing import Writer

ROLL_FRAMES = 4
"""Between the strokes of a roll: twelve and a half a second."""
COLOURS = ("cymbals", "boom", "tam_tam", "cymbal_swell")
"""Strokes that mark places in the form and play no pattern."""


def write_drums(writer: Writer) -> None:
    """A pattern with fills, thinned out where the piece is quiet, and marks of the form."""
    kit = writer.brief.ensemble.drums
    if not kit:
        return
    rng = writer.for_part("drums")
    meter = writer.brief.meter
    patterns = [rng.choice(DRUM_PATTERNS[meter]), rng.choice(DRUM_PATTERNS[meter])]
    full = [_completed(pattern, kit, meter) for pattern in patterns]
    for bar_index in range(writer.n_bars):
        climax = writer.parts[bar_index] == "climax" and not writer.is_short
        _pattern_bar(writer, full[climax], kit, bar_index)
        _colours(writer, kit, bar_index)
        if bar_index % 4 == 3 or _climax_next(writer, bar_index):
            _fill(writer, kit, bar_index, rng)


def _completed(pattern: Strokes, kit: Sequence[str], meter: int) -> Strokes:
    """The pattern, with something for everyone in the kit."""
    extra = {s: USUAL_STROKES[s][meter] for s in kit if s not in pattern and s not in COLOURS}
    return {**pattern, **extra}


def _pattern_bar(writer: Writer, pattern: Strokes, kit: Sequence[str], bar_index: int) -> None:
    level, brief = writer.score.levels[bar_index], writer.brief
    final = writer.at(bar_index, 0) >= writer.last_start
    rests = writer.parts[bar_index] in ("intro", "break") and not writer.is_short
    for stroke in kit:
        places = pattern.get(stroke, ()) if stroke not in COLOURS else ()
        if final or brief.form == "hit":
            strikes = stroke in _HEAVY or not final
            places = (0.0,) if strikes and places else ()
        elif rests and not brief.pulse:
            places = (0.0,) if stroke in ("timpani", "taiko_low") and bar_index % 2 == 0 else ()
        elif level < 1.75 and not brief.pulse:
            places = places[: 1 + int(level > 1)]
        for beats in places:
            _strike(writer, stroke, writer.at(bar_index, beats), 1.15 if beats == 0 else 0.95)


_HEAVY = ("taiko_low", "taiko_high", "taiko_ensemble", "timpani", "toms", "anvil", "snare")


def _strike(writer: Writer, stroke: str, start: int, strength: float, length: int = 0) -> None:
    pitch = 0
    if stroke == "timpani":
        pitch = fold(36 + writer.chord_at(start).low, 38, 50)
    elif stroke == "toms":
        pitch = (start // max(writer.beat // 2, 1)) % 3
    writer.add(start, length or writer.beat, pitch, strength, "drum", stroke)


def _climax_next(writer: Writer, bar_index: int) -> bool:
    here, after = writer.parts[bar_index], writer.parts[min(bar_index + 1, writer.n_bars - 1)]
    return after == "climax" and here != "climax"


def _section_starts(writer: Writer, bar_index: int) -> bool:
    return bar_index == 0 or writer.parts[bar_index] != writer.parts[bar_index - 1]


def _colours(writer: Writer, kit: Sequence[str], bar_index: int) -> None:
    """Cymbals, gong and deep hits where something begins; a swell where something is to come."""
    level, start = writer.score.levels[bar_index], writer.at(bar_index, 0)
    final, opens = start >= writer.last_start, _section_starts(writer, bar_index)
    quiet = level < 1.5 and not final
    if "boom" in kit and bar_index % 2 == 0 and not quiet:
        _strike(writer, "boom", start, 1.15)
    every = 2 if writer.is_short or level >= 2.5 else 4
    if "cymbals" in kit and (opens or final or bar_index % every == 0) and (not quiet or opens):
        _strike(writer, "cymbals", start, 1.15 if opens or final else 1.0)
    if "tam_tam" in kit and (opens or final):
        _strike(writer, "tam_tam", start, 1.1, writer.bar)
    if "cymbal_swell" in kit and (_climax_next(writer, bar_index) or bar_index % 8 == 3):
        half = writer.bar // 2
        _strike(writer, "cymbal_swell", start + half, 1.0, writer.bar - half)


def _fill(writer: Writer, kit: Sequence[str], bar_index: int, rng: random.Random) -> None:
    """The end of a phrase: a roll, or a run of quick strokes, that grows into the next bar."""
    level = writer.score.levels[bar_index]
    start = writer.at(
        bar_index, writer.brief.beats_per_bar - (2 if _climax_next(writer, bar_index) else 1)
    )
    stop = (bar_index + 1) * writer.bar
    if level < 1 or stop > writer.last_start or writer.brief.form == "hit":
        return
    rolling = [s for s in ("timpani", "snare", "cymbals") if s in kit and s != "cymbals"]
    running = [s for s in ("toms", "taiko_high", "taiko_low") if s in kit]
    options = (rolling if level < 2 or rng.random() < 0.4 else []) or running or rolling
    if not options:
        return
    stroke = options[0] if len(options) == 1 else rng.choice(options)
    step = ROLL_FRAMES if stroke in rolling else max(round(writer.beat / 4), ROLL_FRAMES)
    n = (stop - start) // step
    for k in range(n):
        strength = 0.55 + 0.5 * k / max(n - 1, 1)
        _strike(writer, stroke, start + k * step, strength, step)


def write_effects(writer: Writer) -> None:
    """Effects of trailers: rising into a climax, striking where it begins."""
    kit = writer.brief.ensemble.effects
    if not kit:
        return
    hits = [
        i for i in range(writer.n_bars)
        if writer.parts[i] == "climax" and (i == 0 or writer.parts[i - 1] != "climax")
    ]  # fmt: skip
    if writer.brief.form == "hit":
        hits = [i for i in range(writer.n_bars) if i % 4 == 0]
    if not hits or hits == [0]:  # nothing rises: mark the phrases instead
        hits = sorted({*hits, *range(0, writer.n_bars, 4 if writer.n_bars > 6 else 2)})
    for bar_index in hits:
        _hit(writer, kit, writer.at(bar_index, 0))
    if "braam" in kit:
        _braams(writer, hits)


def _hit(writer: Writer, kit: Sequence[str], frame: int) -> None:
    """What leads to a place in the form, and what happens there."""
    pitch = fold(36 + writer.chord_at(frame).low, 29, 40)
    rises = {"riser": 2 * writer.bar, "reverse": 2 * writer.beat, "whoosh": writer.beat}
    for name, length in rises.items():
        if name in kit and frame >= writer.beat:
            start = max(0, frame - min(length, 300))
            writer.add(start, frame - start, pitch, 1.0, "effect", name)
    for name, length in (("impact", 2 * writer.beat), ("sub_drop", min(2 * writer.bar, 150))):
        if name in kit:
            writer.add(frame, length, pitch, 1.15, "effect", name)
    if frame == 0 and len(kit) == 1 and kit[0] in rises:
        at = min(writer.bar, writer.score.n_frames)
        writer.add(0, at, pitch, 1.0, "effect", kit[0])


def _braams(writer: Writer, hits: Sequence[int]) -> None:
    """Blasts on hits, and on every other bar of what is loud and dark."""
    insistent = writer.brief.mood in ("dark", "tense") and writer.brief.intensity >= 2
    for bar_index in range(writer.n_bars):
        start = writer.at(bar_index, 0)
        loud = writer.score.levels[bar_index] >= 2 and bar_index % 2 == 0 and insistent
        if bar_index in hits or loud or (start >= writer.last_start and insistent):
            pitch = fold(36 + writer.chord_at(start).low, 29, 40)
            length = min(round(1.5 * writer.bar) if loud else writer.bar, 150)
            writer.add(start, length, pitch, 1.15, "effect", "braam")
