"""Expression: what players do that isn't written: swelling, breathing, being early or late."""

from __future__ import annotations

import random
from dataclasses import replace

from fanfare.epic.palette import VOICES
from fanfare.epic.score import Note, Part, Role, Score
from fanfare.epic.writing import Writer

SUSTAINED: tuple[Role, ...] = ("pad", "bass", "melody", "counter", "arp")
_SECTION_GAIN: dict[Part, float] = {
    "intro": 0.75, "theme": 0.88, "build": 0.9, "climax": 1.0, "break": 0.72, "outro": 0.8,
}  # fmt: skip
_DEPTH: dict[Role, float] = {"pad": 0.25, "bass": 0.12, "melody": 0.2, "counter": 0.2, "arp": 0.12}
"""By how much a phrase swells and ebbs."""
PHRASE = 4
ATTACK_MS = {"strings": -22.0, "choir": -28.0, "pad": -20.0, "voices": -25.0, "organ": -5.0}
"""How much sooner than written those begin whose tone takes time to speak."""
MAX_SHIFT_MS, MIN_SHIFT_MS = 35.0, -25.0
STRUMMED = ("harp", "guitar", "piano")


def write_curves(writer: Writer, *, dies_away: bool) -> None:
    """Expression of every role: phrases swell, sections differ, an ending may die away."""
    score = writer.score
    for role in SUSTAINED:
        depth = _DEPTH[role] * (0.5 + writer.legato)
        points: list[tuple[int, float]] = []
        for bar_index in range(writer.n_bars):
            gain = _SECTION_GAIN[writer.parts[bar_index]]
            place = bar_index % PHRASE / PHRASE
            swell = 1 - depth * abs(place - 0.5) * 2
            points.append((bar_index * writer.bar, round(max(gain * swell, 0.2), 3)))
        if dies_away and writer.last_start < score.n_frames:
            points = [p for p in points if p[0] < writer.last_start]
            held = points[-1][1] if points else 0.8
            points.append((writer.last_start, held))
            points.append((score.n_frames, 0.25))
        score.curves[role] = tuple(points)


def humanise(score: Score, rng: random.Random, legato: float) -> None:
    """Moves every note a little off the beat, as its player would; chords of harps are rolled."""
    made: list[Note] = []
    for note in score.notes:
        spread = 4.0 if note.role in ("drum", "effect") else 6.0 + 5.0 * legato
        shift = rng.gauss(0, spread) + ATTACK_MS.get(note.instrument, 0.0) * legato
        if note.role in ("arp", "bass") and note.articulation == "short":
            shift *= 0.5
        made.append(replace(note, shift_ms=shift))
    score.notes = [_bounded(note) for note in _rolled(made)]


def _rolled(notes: list[Note]) -> list[Note]:
    """Notes of one plucked player at the same time come one after another, from below."""
    together: dict[tuple[int, str, str], list[Note]] = {}
    for note in notes:
        if note.instrument in STRUMMED and VOICES[note.instrument].plucked:
            together.setdefault((note.start, note.role, note.instrument), []).append(note)
    late = {
        id(note): 9.0 * k
        for chord in together.values()
        if len(chord) > 1
        for k, note in enumerate(sorted(chord, key=lambda n: n.pitch))
    }
    return [replace(n, shift_ms=late[id(n)]) if id(n) in late else n for n in notes]


def _bounded(note: Note) -> Note:
    low = 0.0 if note.start == 0 else MIN_SHIFT_MS
    return replace(note, shift_ms=round(min(max(note.shift_ms, low), MAX_SHIFT_MS), 1))
