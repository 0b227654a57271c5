"""Themes: a motif made into phrases, varied as the piece goes on, and a voice against them.

A phrase is four bars of tones, each a step of the scale; where it lands, strong beats are drawn to
the chord. So the same motif fits other chords, and is still known again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from fanfare.epic.harmony import nearest, tones_at
from fanfare.epic.material import RHYTHMS
from fanfare.epic.palette import VOICES
from fanfare.epic.score import Articulation, Chord, KeySpan, Note
from fanfare.epic.writing import Writer

PHRASE_BARS = 4
LOWEST_DEGREE, HIGHEST_DEGREE = -3, 11
_EDGE = 1e-6
MIDDLE = 66
LOW_TUNE = 60
BREATH = 0.5
"""Beats that a phrase's last tone leaves to those who have to breathe."""


@dataclass(frozen=True)
class Tone:
    """A tone of a phrase: start and length in beats, and its degree, 0 = the tonic."""

    start: float
    duration: float
    degree: int


Phrase = tuple[Tone, ...]


@dataclass(frozen=True)
class Theme:
    """A question and its answer, with the same motif."""

    question: Phrase
    answer: Phrase
    beats: int
    """Of a phrase."""


def make_theme(writer: Writer, rng: random.Random) -> Theme:
    """Invents a theme: bars a b a c, or a a b c, over an arch with one highest place."""
    rhythms = RHYTHMS[writer.brief.meter]
    flavour = _flavour(writer)
    first, second = rng.choice(rhythms[flavour]), rng.choice(rhythms[flavour])
    if flavour != "long" and rng.random() < 0.35:
        second = rng.choice(rhythms["long"])
    end = rng.choice([r for r in rhythms["long"] if len(r) <= 2] or list(rhythms["long"]))
    bars = (first, second, first, end) if rng.random() < 0.6 else (first, first, second, end)
    contours = {rhythm: _contour(len(rhythm), rng) for rhythm in dict.fromkeys(bars)}
    start = rng.choice((0, 0, 2, 4))
    peak = start + rng.choice((3, 4, 5))
    anchors = (start, start + rng.choice((-1, 1, 2)), peak, start + rng.choice((1, 2)))
    length = writer.brief.beats_per_bar
    question: list[Tone] = []
    for i, (rhythm, anchor) in enumerate(zip(bars, anchors, strict=True)):
        at = float(i * length)
        for duration, step in zip(rhythm, contours[rhythm], strict=True):
            question.append(Tone(at, duration, anchor + step))
            at += duration
    if rng.random() < 0.3 and question[0].duration >= 1:  # an upbeat's worth of silence
        question[0] = Tone(0.5, question[0].duration - 0.5, question[0].degree)
    answer = tuple(
        replace(
            t, degree=_toward(t.degree, rng.choice((0, 0, 2)), t.start / (length * PHRASE_BARS))
        )
        for t in question
    )
    return Theme(tuple(question), answer, length * PHRASE_BARS)


def _flavour(writer: Writer) -> str:
    flavour = "long" if writer.legato > 0.75 else "mixed" if writer.legato > 0.35 else "busy"
    slow, fast = writer.beat >= 40, writer.beat <= 21
    if (slow and flavour == "busy") or (fast and flavour == "busy" and writer.brief.meter == 6):
        return "mixed"
    if writer.brief.pulse and flavour == "long":
        return "mixed"
    return "mixed" if slow and flavour == "long" else flavour


def _contour(n: int, rng: random.Random) -> tuple[int, ...]:
    """Steps from the first of `n` tones: mostly to the next degree; a leap is stepped back from."""
    steps, direction = [0], rng.choice((-1, 1))
    leap = 0
    for _ in range(n - 1):
        if leap:
            move = -1 if leap > 0 else 1
            leap = 0
        elif rng.random() < 0.25:
            move = leap = direction * rng.choice((2, 3, 4))
        else:
            move = direction * rng.choice((1, 1, 1, 0))
        steps.append(steps[-1] + move)
        if rng.random() < 0.35:
            direction = -direction
    return tuple(steps)


def _toward(degree: int, home: int, place: float) -> int:
    """An answer keeps the question's first half and comes home in its last bar."""
    if place >= 0.75 - _EDGE:
        return home
    return degree - 1 if place >= 0.6 else degree


def inverted(phrase: Phrase) -> Phrase:
    """Upside down, about its first tone."""
    axis = phrase[0].degree
    return tuple(replace(t, degree=2 * axis - t.degree) for t in phrase)


def moved(phrase: Phrase, steps: int) -> Phrase:
    """Higher or lower by steps of the scale."""
    return tuple(replace(t, degree=t.degree + steps) for t in phrase)


def augmented(phrase: Phrase, beats: int) -> Phrase:
    """Its first half, at half the speed."""
    return tuple(
        Tone(2 * t.start, min(2 * t.duration, beats - 2 * t.start), t.degree)
        for t in phrase
        if 2 * t.start < beats - _EDGE
    )


def fragmented(phrase: Phrase, beats: int) -> Phrase:
    """Its first bar, again and again, a step higher each time."""
    bar = beats / PHRASE_BARS
    head = [t for t in phrase if t.start < bar - _EDGE]
    return tuple(
        Tone(t.start + i * bar, min(t.duration, bar - t.start), t.degree + i)
        for i in range(PHRASE_BARS)
        for t in head
    )


def ornamented(phrase: Phrase) -> Phrase:
    """Long tones leave by way of a neighbour."""
    made: list[Tone] = []
    for tone in phrase:
        if tone.duration >= 1.5 and tone.start % 1 < _EDGE:
            made.append(replace(tone, duration=tone.duration - 0.5))
            made.append(Tone(tone.start + tone.duration - 0.5, 0.5, tone.degree + 1))
        else:
            made.append(tone)
    return tuple(made)


def phrase_for(theme: Theme, name: str, count: int, rng: random.Random) -> Phrase | None:
    """What the melody does in the `count`-th phrase of a part of the form; None = it rests."""
    odd = count % 2 == 1
    if name == "intro":
        return augmented(theme.question, theme.beats) if odd or rng.random() < 0.3 else None
    if name == "break":
        return rng.choice((augmented(theme.question, theme.beats), inverted(theme.question)))
    if name == "build":
        return theme.answer if odd else fragmented(theme.question, theme.beats)
    if name == "climax" or count < 2:
        return theme.answer if odd else theme.question
    if odd:
        return ornamented(theme.answer)
    return rng.choice(
        (inverted(theme.question), moved(theme.question, 2), ornamented(theme.question))
    )


def pitch_of(degree: int, key: KeySpan, chord: Chord) -> int:
    """MIDI pitch of a degree near middle C and above."""
    tones = tones_at(key, chord)
    octave, place = divmod(degree, 7)
    base = 57 + (key.tonic - 57) % 12
    return base + 12 * octave + (tones[place] - key.tonic) % 12


def write_melody(writer: Writer) -> None:
    """The theme over the whole piece, phrase by phrase, and the ending."""
    names = writer.brief.ensemble.melody
    if not names:
        return
    rng = writer.for_part("melody")
    theme = make_theme(writer, rng)
    bar_index, count, last_part, before = 0, 0, "", MIDDLE
    ending = writer.last_start // writer.bar
    while bar_index < ending:
        name = writer.parts[bar_index]
        count = count + 1 if name == last_part else 0
        last_part = name
        stop = bar_index + 1
        while stop < ending and stop - bar_index < PHRASE_BARS and writer.parts[stop] == name:
            stop += 1
        phrase = phrase_for(theme, name, count, rng)
        alone = writer.brief.ensemble.pitched == names
        if phrase is None and (writer.is_short or alone):
            phrase = augmented(theme.question, theme.beats)
        late = not alone and name == "intro" and writer.brief.intensity >= 2 and rng.random() < 0.5
        if phrase is not None and not late:
            players = _voices(writer, bar_index, count)
            before = _write_phrase(writer, phrase, bar_index, stop, players, before)
        bar_index = stop
    if writer.last_start < writer.score.n_frames:
        _write_ending(writer, names, before)


def _voices(writer: Writer, bar_index: int, count: int) -> list[str]:
    """Who plays a phrase: quiet pieces take turns, loud ones play together."""
    names = list(writer.brief.ensemble.melody)
    if writer.is_short or len(names) == 1:
        return names
    frame = bar_index * writer.bar
    if writer.parts[bar_index] in ("intro", "break") or writer.score.level_at(frame) < 1.5:
        return [names[count % len(names)]]
    return [name for i, name in enumerate(names) if not writer.waits(i, frame)]


def _write_phrase(
    writer: Writer, phrase: Phrase, first: int, stop: int, names: Sequence[str], before: int
) -> int:
    """Writes a phrase after a tone of pitch `before`; returns its last pitch."""
    last_degree = HIGHEST_DEGREE + 1
    beats = (stop - first) * writer.brief.beats_per_bar
    high = writer.parts[first] == "climax" and writer.score.levels[first] >= 2.5
    for tone in phrase:
        if tone.start >= beats - _EDGE:
            break
        start = writer.at(first, tone.start)
        stop_at = min(tone.start + tone.duration, beats)
        if tone is phrase[-1] and tone.duration >= 1.5:
            stop_at -= BREATH
        end = writer.at(first, stop_at)
        degree = min(max(tone.degree, LOWEST_DEGREE), HIGHEST_DEGREE)
        chord, key = writer.chord_at(start), writer.score.key_at(start)
        pitch = pitch_of(degree, key, chord)
        strong = tone.duration >= 1 - _EDGE or tone.start % 2 < _EDGE
        allowed = chord.pitch_classes if strong else tones_at(key, chord)
        pitch = _drawn(pitch, allowed, before, moves=degree != last_degree)
        before, last_degree = pitch, degree
        _sing(writer, start, end - start, pitch + (12 if high and pitch < 69 else 0), names)
    return before


def _drawn(pitch: int, allowed: Sequence[int], before: int, *, moves: bool) -> int:
    """The allowed pitch nearest to `pitch`; a tone that is to move doesn't stay where it was."""
    options = [p for p in range(pitch - 6, pitch + 7) if p % 12 in allowed]
    return min(options, key=lambda p: (abs(p - pitch) + 4 * (moves and p == before), p))


def _write_ending(writer: Writer, names: Sequence[str], before: int) -> None:
    start = writer.last_start
    chord = writer.chord_at(writer.score.n_frames - 1)
    bare = not writer.brief.ensemble.pad and not writer.brief.ensemble.arp
    last = chord.pitch_classes[1] if bare else chord.root  # somebody has to sing the third
    pitch = nearest(before, (last,))
    _sing(writer, start, writer.score.n_frames - start, pitch, names)


def _sing(writer: Writer, start: int, length: int, pitch: int, names: Sequence[str]) -> None:
    strength = 1.12 if len(names) == 1 else 1.0
    for name in names:
        voice = VOICES[name]
        shift = 12 * round(((voice.low + voice.high) // 2 - 66) / 12)
        held = round(length * 1.3) if voice.plucked else max(length - 1, 2)
        short = writer.legato < 0.5 and length < 0.75 * writer.beat
        kind: Articulation = "normal" if voice.plucked else "short" if short else "legato"
        writer.add(start, held, pitch + shift, strength, "melody", name, kind)


Held = tuple[int, int]
"""A tone of the counter-melody and the tune's above it."""


def write_counter(writer: Writer) -> None:
    """A slower voice below the melody, moving against it and where it rests."""
    names = writer.brief.ensemble.counter
    if not names:
        return
    tune = sorted((n for n in writer.score.notes if n.role == "melody"), key=lambda n: n.start)
    previous: Held | None = None
    for bar_index in range(writer.n_bars):
        frame = writer.at(bar_index, 0)
        if frame >= writer.last_start:
            break
        if writer.part_at(frame) in ("intro", "break") and not writer.is_short:
            previous = None
            continue
        for start, end in _gaps(writer, bar_index, tune):
            previous = _against(writer, start, end, tune, previous)
    if writer.last_start < writer.score.n_frames:
        _against(writer, writer.last_start, writer.score.n_frames, tune, previous)


def _gaps(writer: Writer, bar_index: int, tune: Sequence[Note]) -> list[tuple[int, int]]:
    """Spans of a bar's counter-melody: on beats where the melody is held, else half bars."""
    beats = writer.brief.beats_per_bar
    marks = [writer.at(bar_index, b) for b in range(beats + 1)]
    onsets = {n.start for n in tune if marks[0] <= n.start < marks[-1]}
    places = {0, beats // 2 if beats != 3 else 2}
    if len(onsets) <= 2:
        places |= {b for b in range(1, beats) if marks[b] not in onsets}
    cut = [marks[b] for b in sorted(places)] + [marks[-1]]
    return list(pairwise(cut))


def _against(
    writer: Writer, start: int, end: int, tune: Sequence[Note], previous: Held | None
) -> Held | None:
    """One tone of the counter-melody, after `previous`."""
    chord, key = writer.chord_at(start), writer.score.key_at(start)
    sung = [n.pitch for n in tune if n.start <= start < n.start + n.length]
    top = max(sung, default=previous[1] if previous else 69)
    strong = start % writer.bar == 0 or end - start >= 2 * writer.beat
    allowed = chord.pitch_classes if strong else tones_at(key, chord)
    # Below the tune; above it, where that is low.
    around = range(top - 17, top - 2) if top >= LOW_TUNE else range(top + 3, top + 18)
    options = [p for p in around if p % 12 in allowed and 45 <= p <= 76]
    if not options:
        return previous
    home = top - 8 if top >= LOW_TUNE else top + 9
    pitch = min(options, key=lambda p: _clash(p, top, home, previous))
    for i, name in enumerate(writer.brief.ensemble.counter):
        if not writer.waits(i, start):
            writer.add(start, end - start, pitch, 0.92, "counter", name, "legato")
    return pitch, top


def _clash(pitch: int, top: int, home: int, previous: Held | None) -> float:
    """How badly a tone fits under one of the tune: far, bare, or going the same way."""
    value = 0.3 * abs(pitch - home) + 4 * ((top - pitch) % 12 in (0, 1, 2, 10, 11))
    if previous is None:
        return value + abs(pitch - home)
    before, top_before = previous
    along = (pitch - before) * (top - top_before) > 0
    return value + 0.7 * abs(pitch - before) + 3 * (pitch == before) + 4 * along
