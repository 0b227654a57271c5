"""Harmony: chords over a piece, their cadences and modulation, and how voices move between them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, product

from fanfare.epic.attributes import SCALES, Mood, Scale
from fanfare.epic.material import ANY, CADENCES, PROGRESSIONS, SCALES_OF
from fanfare.epic.score import Brief, Chord, KeySpan, Quality, Section

LONG_BAR = 150
"""Frames from which on a bar gets two chords."""
_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_NUMERAL = re.compile(
    r"(b?)(vii|vi|v|iv|iii|ii|i|VII|VI|V|IV|III|II|I)(o?)(7|sus4|add9)?(?:/(b?)([1-7]))?"
)
_TENDER: tuple[Mood, ...] = ("sad", "calm", "hopeful", "mysterious", "romantic")


@dataclass(frozen=True)
class Degree:
    """A chord relative to the tonic: semitones of its root and, if other, of its bass."""

    root: int
    quality: Quality
    bass: int | None = None

    def chord(self, tonic: int, start: int, end: int) -> Chord:
        """It, in a key, from `start` to `end`."""
        bass = None if self.bass is None else (tonic + self.bass) % 12
        return Chord(start, end, (tonic + self.root) % 12, self.quality, bass)


@cache
def degree(numeral: str) -> Degree:
    """The chord that a Roman numeral names; see material.py."""
    match = _NUMERAL.fullmatch(numeral)
    assert match, numeral
    flat, name, diminished, suffix, bass_flat, bass = match.groups()
    minor = name.islower()
    quality: Quality = "dim" if diminished else "min" if minor else "maj"
    if suffix == "7":
        quality = "min7" if minor else "dom7"
    elif suffix in ("sus4", "add9"):
        quality = "sus4" if suffix == "sus4" else "add9"
    low = _MAJOR[int(bass) - 1] - bool(bass_flat) if bass else None
    return Degree((_DEGREES[name.lower()] - bool(flat)) % 12, quality, low)


def draw_scale(mode: str, mood: Mood, rng: random.Random) -> Scale:
    """A scale of that mode, as the mood leans."""
    usual: Scale = "aeolian" if mode == "minor" else "ionian"
    leaning = {s: w for s, w in SCALES_OF[mood].items() if (3 in SCALES[s]) == (mode == "minor")}
    if not leaning:
        return usual
    return rng.choices(list(leaning), list(leaning.values()))[0]


def draw_progression(scale: Scale, mood: Mood, rng: random.Random) -> tuple[Degree, ...]:
    """Four chords that suit both."""
    by_mood = PROGRESSIONS[scale]
    return tuple(map(degree, rng.choice(by_mood.get(mood, by_mood[ANY])).split()))


def keys_of(brief: Brief, n_frames: int, sections: Sequence[Section]) -> list[KeySpan]:
    """The keys of a piece: a last climax may be lifted out of the first one."""
    lifted = [section.start for section in sections if section.name == "climax"]
    if not brief.lift or not lifted or lifted[-1] == 0:
        return [KeySpan(0, n_frames, brief.key, brief.tones)]
    tonic = (brief.key + brief.lift) % 12
    return [
        KeySpan(0, lifted[-1], brief.key, brief.tones),
        KeySpan(lifted[-1], n_frames, tonic, brief.tones),
    ]


def harmonise(
    brief: Brief,
    keys: Sequence[KeySpan],
    sections: Sequence[Section],
    rng: random.Random,
    last_start: int,
) -> list[Chord]:
    """Progressions over all keys, another one for what contrasts.

    It closes on the tonic, which is held from frame `last_start` on.
    """
    steps = _chord_steps(brief, rng)
    home = draw_progression(brief.tones, brief.mood, rng)
    other = draw_progression(brief.tones, brief.mood, rng)
    pedal = brief.mood in ("dark", "mysterious", "tense", "calm") and rng.random() < 0.4
    chords: list[Chord] = []
    for section in sections:
        contrast = section.name == "break" and len(sections) > 3
        start, i = section.start, 0
        while start < section.end:
            length = steps[len(chords) % len(steps)] if len(steps) > 1 else steps[0]
            end = min(start + length, section.end)
            key = next(k for k in keys if k.start <= start < k.end)
            made = (other if contrast else home)[i % 4]
            if pedal and section.name in ("intro", "outro"):
                made = replace(made, bass=0)
            chords.append(made.chord(key.tonic, start, end))
            start, i = end, i + 1
    return _coloured(_closed(brief, keys, _held(chords, last_start), rng), brief, rng)


def _held(chords: list[Chord], last_start: int) -> list[Chord]:
    """What sounds from `last_start` on as one chord; a chord that it would cut ends there."""
    end = chords[-1].end
    if last_start >= end:
        return chords
    kept = [replace(c, end=min(c.end, last_start)) for c in chords if c.start < last_start]
    return [*kept, replace(chords[-1], start=last_start)]


def _chord_steps(brief: Brief, rng: random.Random) -> tuple[int, ...]:
    """Lengths of successive chords: one a bar, two in a long one, one in two that are short."""
    bar, beats = brief.frames_per_bar, brief.beats_per_bar
    if bar >= LONG_BAR:
        first = brief.frames_per_beat * (beats - beats // 2)
        return (first, bar - first)
    still = brief.mood in ("dark", "mysterious", "calm", "tense")
    return (2 * bar,) if bar < 100 and still and rng.random() < 0.5 else (bar,)


def _closed(
    brief: Brief, keys: Sequence[KeySpan], chords: list[Chord], rng: random.Random
) -> list[Chord]:
    """The chords with a cadence to the tonic at the end, and a dominant before a new key."""
    for key in keys[1:]:
        i = next(i for i, chord in enumerate(chords) if chord.start >= key.start)
        if i:
            before = chords[i - 1]
            chords[i - 1] = degree("V").chord(key.tonic, before.start, before.end)
    if len(chords) == 1:
        return chords
    tonic = keys[-1].tonic
    final = degree("i" if brief.mode == "minor" else "I")
    chords[-1] = final.chord(tonic, chords[-1].start, chords[-1].end)
    by_mood = CADENCES[brief.mode]
    leading = rng.choice(by_mood.get(brief.mood, by_mood[ANY])).split()
    if len(chords) >= len(leading) + 2:
        for place, numeral in enumerate(leading, start=len(chords) - 1 - len(leading)):
            old = chords[place]
            if old.start < keys[-1].start:
                continue
            if degree(numeral).chord(tonic, old.start, old.end) != chords[place - 1]:
                chords[place] = degree(numeral).chord(tonic, old.start, old.end)
    return chords


def _coloured(chords: list[Chord], brief: Brief, rng: random.Random) -> list[Chord]:
    """Some triads with a seventh or ninth, in tender pieces that aren't loud."""
    if brief.mood not in _TENDER or brief.intensity > 2:
        return chords
    tones = {(brief.key + tone) % 12 for tone in SCALES[brief.tones]}
    share = 0.22 if brief.intensity < 2 else 0.12
    made = []
    for chord in chords[:-1]:
        options: list[Quality] = []
        if chord.quality == "maj":
            options = ["maj7", "add9"] if (chord.root - brief.key) % 12 != 7 else ["dom7"]
        elif chord.quality == "min":
            options = ["min7"]
        fitting = [q for q in options if set(replace(chord, quality=q).pitch_classes) <= tones]
        if fitting and rng.random() < share:
            chord = replace(chord, quality=rng.choice(fitting))
        made.append(chord)
    return [*made, chords[-1]]


_BENDABLE = (6, 5, 2, 1, 3, 4, 0)
"""Places in a scale, those first that are altered most: the seventh, the sixth, the third."""


def tones_at(key: KeySpan, chord: Chord) -> tuple[int, ...]:
    """The scale's seven pitch classes, tonic first, bent to where the chord leaves the key."""
    tones = [(key.tonic + tone) % 12 for tone in SCALES[key.scale]]
    inside = set(chord.pitch_classes)
    for tone in chord.pitch_classes:
        if tone in tones:
            continue
        for i in _BENDABLE:
            own = tones[i]
            if own not in inside and (own - tone) % 12 in (1, 11):
                tones[i] = tone
                break
    return tuple(tones)


def fold(pitch: int, low: int, high: int) -> int:
    """`pitch` moved by octaves into [low, high]; the range spans at least an octave."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch


def tone(chord: Chord, index: int, base: int) -> int:
    """The chord's `index`-th tone upward from the first root at or above `base`."""
    root = base + (chord.root - base) % 12
    rising = sorted((pc - chord.root) % 12 for pc in chord.pitch_classes)
    octave, place = divmod(index, len(rising))
    return root + 12 * octave + rising[place]


def nearest(pitch: int, pitch_classes: Sequence[int]) -> int:
    """The pitch nearest to `pitch` that belongs to `pitch_classes`; the lower one on a tie."""
    for distance in range(7):
        for candidate in (pitch - distance, pitch + distance):
            if candidate % 12 in pitch_classes:
                return candidate
    raise AssertionError(pitch_classes)


def voice_lead(
    pitch_classes: Sequence[int],
    previous: Sequence[int] | None,
    centre: int,
    *,
    bass: tuple[int, int] | None = None,
) -> list[int]:
    """Three tones near `centre`, moving as little as they can from `previous`.

    Args:
        pitch_classes: of the chord; of four, the fifth (the third one) is left out.
        bass: the bass before and now, with which no fifths or octaves move in parallel if that can
            be helped.
    """
    if len(pitch_classes) > 3:
        pitch_classes = [*pitch_classes[:2], *pitch_classes[3:]]
    options = [
        sorted(tones)
        for tones in product(
            *[[p for p in range(centre - 14, centre + 15) if p % 12 == pc] for pc in pitch_classes]
        )
        if max(tones) - min(tones) <= 16
    ]

    def cost(tones: list[int]) -> float:
        drift = abs(sum(tones) / 3 - centre)
        clusters = sum(b - a < 3 for a, b in pairwise(tones))
        if previous is None:
            return drift + 2 * clusters + 0.3 * (tones[-1] - tones[0])
        motion = sum(abs(a - b) for a, b in zip(tones, previous, strict=True))
        return motion + 0.5 * drift + clusters + 4 * _parallels(tones, previous, bass)

    return min(options, key=cost)


def _parallels(tones: Sequence[int], previous: Sequence[int], bass: tuple[int, int] | None) -> int:
    """How many pairs of voices move from a fifth to a fifth, or from an octave to an octave."""
    pairs = list(zip(previous, tones, strict=True))
    if bass is not None:
        pairs.append(bass)
    count = 0
    for i, (a, a_now) in enumerate(pairs):
        for b, b_now in pairs[i + 1 :]:
            moved = a != a_now and b != b_now
            count += moved and (a - b) % 12 == (a_now - b_now) % 12 and (a - b) % 12 in (0, 5, 7)
    return count
