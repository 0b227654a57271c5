"""Brief → score: form, harmony, and a part for everyone in the ensemble."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fanfare.epic.attributes import SCALES
from fanfare.epic.form import LONG_FRAMES, long_form_levels
from fanfare.epic.palette import (
    CHARACTERS,
    DARK_PROGRESSIONS,
    DRUM_PATTERNS,
    FIGURES,
    MAJOR_PROGRESSIONS,
    MINOR_PROGRESSIONS,
    OSTINATI,
    RHYTHMS,
    VOICES,
    Degree,
)
from fanfare.epic.score import Brief, Chord, Note, Role, Score

LONG_BAR = 150
"""Frames from which on a bar gets two chords."""


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
    bar = brief.frames_per_beat * brief.meter
    n_bars = -(-n_frames // bar)
    levels = form_levels(brief, n_bars)
    if chords is None:
        chords = harmonise(brief, n_frames, rng)
    score = Score(brief, n_frames, levels, list(chords))
    ending = n_bars >= 3 and brief.form != "hit"
    last_start = (n_bars - 1) * bar if ending else n_frames
    if n_frames - last_start < bar // 2:  # too short to be an ending: let the bar before end it
        last_start -= bar if ending else 0
    writer = _Writer(score, rng, last_start)
    writer.pads()
    writer.bass()
    writer.arps()
    writer.melody()
    writer.drums()
    score.notes.sort(key=lambda n: (n.start, n.pitch, n.instrument))
    return score


def form_levels(brief: Brief, n_bars: int) -> list[float]:
    """Intensity bar by bar."""
    top = float(brief.intensity)
    if n_bars == 1:
        return [top]
    low = max(0.0, top - 2.0)
    bar = brief.frames_per_beat * brief.meter
    if (n_bars - 1) * bar >= LONG_FRAMES:
        return long_form_levels(brief.form, low, top, n_bars, bar)
    rise = [low + (top - low) * i / (n_bars - 1) for i in range(n_bars)]
    if brief.form == "build":
        return rise
    if brief.form == "fade":
        return rise[::-1]
    if brief.form == "hit":
        return [top if i % 2 == 0 else max(0.0, top - 0.5) for i in range(n_bars)]
    return [top] * n_bars


def harmonise(brief: Brief, n_frames: int, rng: random.Random) -> list[Chord]:
    """A progression repeated to the end, closing on the tonic."""
    progression = _progression(brief, rng)
    bar = brief.frames_per_beat * brief.meter
    steps = _chord_steps(brief, bar)
    chords: list[Chord] = []
    start, i = 0, 0
    while start < n_frames:
        length = steps[i % len(steps)]
        interval, quality = progression[i % len(progression)]
        end = min(start + length, n_frames)
        if end == n_frames and i:
            interval, quality = 0, "min" if brief.mode == "minor" else "maj"
        chords.append(Chord(start, end, (brief.key + interval) % 12, quality))
        start, i = end, i + 1
    return chords


def _chord_steps(brief: Brief, bar: int) -> tuple[int, ...]:
    if bar < LONG_BAR:
        return (bar,)
    first = brief.frames_per_beat * (brief.meter - brief.meter // 2)
    return (first, bar - first)


def _progression(brief: Brief, rng: random.Random) -> tuple[Degree, ...]:
    if brief.mode == "major":
        return rng.choice(MAJOR_PROGRESSIONS)
    if brief.mood in ("dark", "tense", "mysterious") and rng.random() < 0.4:
        return rng.choice(DARK_PROGRESSIONS)
    return rng.choice(MINOR_PROGRESSIONS)


class _Writer:
    """Writes the parts of one score; `last_start` is where the held ending begins."""

    def __init__(self, score: Score, rng: random.Random, last_start: int) -> None:
        self.score = score
        self.brief = score.brief
        self.rng = rng
        self.last_start = last_start
        self.bar = score.frames_per_bar
        self.beat = score.brief.frames_per_beat
        self.legato = CHARACTERS[score.brief.mood].legato

    def at(self, bar_index: int, beats: float) -> int:
        """Frame of a place in a bar, rounded to the grid."""
        return bar_index * self.bar + round(beats * self.beat)

    def chord_at(self, frame: int) -> Chord:
        for chord in self.score.chords:
            if chord.start <= frame < chord.end:
                return chord
        return self.score.chords[-1]

    def add(
        self, start: int, length: int, pitch: int, strength: float, role: Role, name: str
    ) -> None:
        """Adds a note; `strength` scales the velocity that the bar's level asks for."""
        if start >= self.score.n_frames or length <= 0:
            return
        voice = VOICES.get(name)
        if voice is not None:
            pitch = fold(pitch, voice.low, voice.high)
        velocity = (0.36 + 0.19 * self.score.level_at(start)) * strength
        velocity *= self.rng.uniform(0.94, 1.06)
        length = min(length, self.score.n_frames - start)
        self.score.notes.append(
            Note(start, length, pitch, min(max(velocity, 0.15), 1.0), role, name)
        )

    # Sustained chords --------------------------------------------------------------------------

    def pads(self) -> None:
        for i, name in enumerate(self.brief.ensemble.pad):
            centre = 58 if name in ("horn", "brass", "trombone", "choir") else 62 - 5 * i
            previous: list[int] | None = None
            for chord in self.score.chords:
                previous = voice_lead(chord.pitch_classes, previous, centre)
                level = self.score.level_at(chord.start)
                tones = previous if level >= 0.75 or i == 0 else previous[:2]
                if self.brief.form == "hit":
                    self._stabs(chord, tones, name)
                    continue
                for pitch in tones:
                    self.add(chord.start, chord.end - chord.start, pitch, 0.85, "pad", name)
                if level >= 2.5 and name in ("strings", "choir", "organ"):
                    top = max(tones) + 12 - (max(tones) - min(tones)) // 2
                    octave = min(tones, key=lambda p: abs(p + 12 - top)) + 12
                    self.add(chord.start, chord.end - chord.start, octave, 0.75, "pad", name)

    def _stabs(self, chord: Chord, tones: Sequence[int], name: str) -> None:
        """Short, hard chords at the start of a chord and, half of the time, on its last beats."""
        places = [0] if chord.start % (2 * self.bar) else [0, 1]
        for place in places:
            start = chord.start + place * round(1.5 * self.beat)
            if start < chord.end:
                length = min(round(0.8 * self.beat), chord.end - start)
                for pitch in tones:
                    self.add(start, length, pitch, 1.05, "pad", name)

    def bass(self) -> None:
        for name in self.brief.ensemble.bass:
            plucked = VOICES[name].plucked
            for chord in self.score.chords:
                root = fold(36 + chord.root, max(VOICES[name].low, 33), 55)
                level = self.score.level_at(chord.start)
                pulse = level >= 2 and self.legato < 0.6
                pulse = self.brief.form != "hit" and (pulse or self.brief.pulse)
                if (pulse or plucked) and chord.start < self.last_start:
                    every = level >= 2.5 or plucked or self.brief.pulse
                    step = self.beat if every else 2 * self.beat
                    for start in range(chord.start, chord.end, step):
                        strength = 0.85 if self.brief.pulse and start > chord.start else 0.95
                        self.add(start, min(step, chord.end - start), root, strength, "bass", name)
                else:
                    held = chord.end - chord.start
                    if self.brief.form == "hit":
                        held = min(held, 2 * self.beat)
                    self.add(chord.start, held, root, 0.95, "bass", name)

    # Figures -----------------------------------------------------------------------------------

    def arps(self) -> None:
        for i, name in enumerate(self.brief.ensemble.arp):
            plucked = VOICES[name].plucked
            pattern = self.rng.choice(FIGURES if plucked else OSTINATI)
            step = 0.5
            if self.beat >= 36 and (self.brief.intensity >= 2 or self.rng.random() < 0.3):
                step = 0.25
            elif self.brief.intensity == 0 and self.rng.random() < 0.4 and self.beat < 36:
                step = 1.0
            base = {"celesta": 72, "glockenspiel": 79, "violin": 67}.get(
                name, 55 if plucked else 52
            )
            base += 5 * i
            rest = self.rng.random() < 0.15 and not self.brief.pulse
            self._figure(name, pattern, step, base, rest=rest)

    def _figure(
        self, name: str, pattern: Sequence[int], step: float, base: int, *, rest: bool
    ) -> None:
        n_steps = int(self.brief.meter / step)
        for bar_index in range(len(self.score.levels)):
            level = self.score.levels[bar_index]
            if self.brief.form == "build" and level < 0.7 and self.brief.intensity >= 2:
                continue
            for k in range(n_steps):
                start = self.at(bar_index, k * step)
                if start >= self.last_start and k > 0:
                    break
                if rest and k % 4 == 3:
                    continue
                chord = self.chord_at(start)
                pitch = tone(chord, pattern[k % len(pattern)], base)
                length = self.at(bar_index, (k + 1) * step) - start
                if start >= self.last_start:
                    length = self.score.n_frames - start
                elif VOICES[name].plucked:
                    length = round(length * 1.5)
                on, off = (1.12, 0.76) if self.brief.pulse else (1.05, 0.88)
                accent = on if k % (n_steps // self.brief.meter or 1) == 0 else off
                self.add(start, length, pitch, accent, "arp", name)

    # Melody ------------------------------------------------------------------------------------

    def melody(self) -> None:
        names = self.brief.ensemble.melody
        if not names:
            return
        rhythms = RHYTHMS[self.brief.meter]
        flavour = "long" if self.legato > 0.75 else "mixed" if self.legato > 0.35 else "busy"
        if (self.beat >= 40 and flavour == "busy") or (self.brief.pulse and flavour == "long"):
            flavour = "mixed"
        motif = [self.rng.choice(rhythms[flavour]) for _ in range(2)]
        answer = [motif[0], self.rng.choice(rhythms["long"])]
        contour = [self.rng.choice((-2, -1, -1, 0, 1, 1, 2)) for _ in range(16)]
        entry = 0 if len(self.score.levels) <= 3 or self.rng.random() < 0.5 else 1
        degree = self.rng.randrange(2, 6)
        for bar_index in range(entry, len(self.score.levels)):
            phrase = motif if (bar_index // 2) % 2 == 0 else answer
            level = self.score.levels[bar_index]
            if self.brief.form == "build" and level < 0.5 and bar_index == 0 and len(names) == 1:
                continue
            degree = self._phrase(bar_index, phrase[bar_index % 2], contour, degree, names)

    def _phrase(
        self,
        bar_index: int,
        rhythm: Sequence[float],
        contour: Sequence[int],
        degree: int,
        names: Sequence[str],
    ) -> int:
        """One bar of melody from scale degree `degree`; returns the degree it ends on."""
        scale, beats = SCALES[self.brief.tones], 0.0
        start = self.at(bar_index, 0)
        if start >= self.last_start:
            rhythm = (sum(rhythm),)
        for k, duration in enumerate(rhythm):
            start = self.at(bar_index, beats)
            length = self.at(bar_index, beats + duration) - start
            chord = self.chord_at(start)
            degree += contour[(k + 3 * (bar_index % 2)) % len(contour)]
            degree = min(max(degree, -1), 10)
            pitch = 60 + self.brief.key % 12 + 12 * (degree // 7) + scale[degree % 7]
            if beats == int(beats) or start >= self.last_start:
                pitch = nearest(pitch, chord.pitch_classes)
            if pitch > 74:
                pitch -= 12
            for name in names:
                centre = (VOICES[name].low + VOICES[name].high) // 2
                shift = 12 * round((centre - 66) / 12)
                strength = 1.12 if len(names) == 1 else 1.0
                held = max(length - 1, 2) if not VOICES[name].plucked else round(length * 1.3)
                self.add(start, held, pitch + shift, strength, "melody", name)
            beats += duration
        return degree

    # Percussion --------------------------------------------------------------------------------

    def drums(self) -> None:
        kit = self.brief.ensemble.drums
        if not kit:
            return
        pattern = self.rng.choice(DRUM_PATTERNS[self.brief.meter])
        for stroke in kit:  # a named drum plays, whatever pattern was drawn
            if stroke not in pattern and stroke not in ("cymbals", "boom"):
                other = [p for p in DRUM_PATTERNS[self.brief.meter] if stroke in p]
                pattern = pattern | {stroke: other[0][stroke]} if other else pattern
        for bar_index, level in enumerate(self.score.levels):
            self._drum_bar(bar_index, level, pattern, kit)

    def _drum_bar(
        self,
        bar_index: int,
        level: float,
        pattern: dict[str, tuple[float, ...]],
        kit: Sequence[str],
    ) -> None:
        final = bar_index * self.bar >= self.last_start
        for stroke in kit:
            places: Sequence[float] = pattern.get(stroke, ())
            if stroke in ("cymbals", "boom"):
                places = (0,) if bar_index % 2 == 0 and (level >= 1.5 or final) else ()
            elif final or self.brief.form == "hit":
                places = (0,) if stroke != "snare" or not final else ()
            elif level < 1.75 and not self.brief.pulse:
                places = places[: 1 + int(level > 1)]
            for beats in places:
                start = self.at(bar_index, beats)
                pitch = 0
                if stroke == "timpani":
                    pitch = fold(36 + self.chord_at(start).root, 38, 50)
                strength = 1.15 if beats == 0 else 0.95
                self.add(start, self.beat, pitch, strength, "drum", stroke)


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
    tones = chord.pitch_classes
    octave, place = divmod(index, 3)
    return root + 12 * octave + (tones[place] - chord.root) % 12


def nearest(pitch: int, pitch_classes: Sequence[int]) -> int:
    """The pitch nearest to `pitch` that belongs to `pitch_classes`; the lower one on a tie."""
    for distance in range(7):
        for candidate in (pitch - distance, pitch + distance):
            if candidate % 12 in pitch_classes:
                return candidate
    raise AssertionError(pitch_classes)


def voice_lead(
    pitch_classes: Sequence[int], previous: Sequence[int] | None, centre: int
) -> list[int]:
    """Three tones near `centre`, moving as little as they can from `previous`."""
    options = []
    for rotation in range(3):
        rotated = [*pitch_classes[rotation:], *pitch_classes[:rotation]]
        for octave in range(3, 7):
            tones = [12 * octave + rotated[0]]
            for pc in rotated[1:]:
                tones.append(tones[-1] + (pc - tones[-1]) % 12)
            options.append(tones)

    def cost(tones: list[int]) -> float:
        drift = abs(sum(tones) / 3 - centre)
        if previous is None:
            return drift
        return sum(abs(a - b) for a, b in zip(tones, previous, strict=True)) + 0.5 * drift

    return min(options, key=cost)
