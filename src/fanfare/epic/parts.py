"""What carries a tune: sustained chords, the bass, and figures that beat the time."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fanfare.epic.harmony import fold, nearest, tone, tones_at, voice_lead
from fanfare.epic.material import FIGURES, OSTINATI
from fanfare.epic.palette import VOICES
from fanfare.epic.score import Articulation, Chord
from fanfare.epic.writing import Writer

LOW_PADS = ("horn", "brass", "trombone", "choir")


def write_pads(writer: Writer) -> None:
    """Chords, voice-led; sections in their own registers; a shining octave at full force."""
    for i, name in enumerate(writer.brief.ensemble.pad):
        rng = writer.for_part(f"pad {name}")
        centre = 58 if name in LOW_PADS else 62 - 5 * min(i, 1)
        previous: list[int] | None = None
        before: Chord | None = None
        for chord in writer.score.chords:
            if writer.waits(i, chord.start):
                continue
            bass = None if before is None else (before.low + 36, chord.low + 36)
            tones = voice_lead(chord.pitch_classes, previous, centre, bass=bass)
            level = writer.score.level_at(chord.start)
            some = tones if level >= 0.75 or i == 0 else tones[:2]
            if writer.brief.form == "hit":
                _stabs(writer, chord, some, name)
            else:
                _hold(writer, chord, some, previous, name, rng)
                if level >= 2.5 and name in ("strings", "choir", "organ"):
                    _octave(writer, chord, some, name)
            previous, before = tones, chord


def _hold(
    writer: Writer,
    chord: Chord,
    tones: Sequence[int],
    previous: Sequence[int] | None,
    name: str,
    rng: random.Random,
) -> None:
    """A chord; now and then a voice that steps down comes late: a suspension."""
    length = chord.end - chord.start
    late = -1
    if previous is not None and writer.legato > 0.5 and length >= 2 * writer.beat:
        falling = [k for k, p in enumerate(tones) if 1 <= previous[k] - p <= 2]
        if falling and rng.random() < 0.25 and chord.start < writer.last_start:
            late = rng.choice(falling)
    for k, pitch in enumerate(tones):
        start = chord.start
        if k == late and previous is not None:
            half = (length // 2) // writer.beat * writer.beat or length // 2
            writer.add(start, half, previous[k], 0.85, "pad", name, "legato")
            start += half
        writer.add(start, chord.end - start, pitch, 0.85, "pad", name, "legato")


def _octave(writer: Writer, chord: Chord, tones: Sequence[int], name: str) -> None:
    top = max(tones) + 12 - (max(tones) - min(tones)) // 2
    octave = min(tones, key=lambda p: abs(p + 12 - top)) + 12
    writer.add(chord.start, chord.end - chord.start, octave, 0.75, "pad", name, "legato")


def _stabs(writer: Writer, chord: Chord, tones: Sequence[int], name: str) -> None:
    """Short, hard chords at the start of a chord and, half of the time, on its last beats."""
    places = [0] if chord.start % (2 * writer.bar) else [0, 1]
    for place in places:
        start = chord.start + place * round(1.5 * writer.beat)
        if start < chord.end:
            length = min(round(0.8 * writer.beat), chord.end - start)
            for pitch in tones:
                writer.add(start, length, pitch, 1.05, "pad", name, "accent")


def write_bass(writer: Writer) -> None:
    """Roots: held, beaten, driven in eighths, or walking on to the next one."""
    for i, name in enumerate(writer.brief.ensemble.bass):
        rng = writer.for_part(f"bass {name}")
        walks = writer.brief.mood in ("romantic", "hopeful", "calm", "adventurous")
        walks = walks and rng.random() < 0.6
        drives = writer.legato <= 0.4 and rng.random() < 0.5
        chords = writer.score.chords
        for chord, after in zip(chords, [*chords[1:], chords[-1]], strict=True):
            if not writer.waits(i, chord.start):
                _bass_of(writer, chord, after, name, walks=walks, drives=drives)


def _bass_of(
    writer: Writer, chord: Chord, after: Chord, name: str, *, walks: bool, drives: bool
) -> None:
    voice, beat, pulse = VOICES[name], writer.beat, writer.brief.pulse
    root = fold(36 + chord.low, max(voice.low, 33), 55)
    level = writer.score.level_at(chord.start)
    length = chord.end - chord.start
    hit, ending = writer.brief.form == "hit", chord.start >= writer.last_start
    moving = not hit and ((level >= 2 and writer.legato < 0.6) or pulse or voice.plucked)
    if ending or not (moving or walks) or (hit and not voice.plucked):
        writer.add(chord.start, min(length, 2 * beat) if hit else length, root, 0.95, "bass", name)
        return
    if walks and not pulse and not voice.plucked and length >= 3 * beat and level < 2.5:
        _walk(writer, chord, after, root, name)
        return
    every = level >= 2.5 or voice.plucked or pulse
    step = float(beat if every else 2 * beat)
    if drives and level >= 2.4 and beat >= 20:
        step = beat / writer.brief.division
    n_steps = max(1, round(length / step))
    for k in range(n_steps):
        start = chord.start + round(k * step)
        stop = chord.end if k == n_steps - 1 else chord.start + round((k + 1) * step)
        on_beat = (start - chord.start) % beat == 0
        strength = 0.95 if k == 0 or not (pulse or drives) else 0.88 if on_beat else 0.74
        kind: Articulation = "short" if step < beat else "normal"
        writer.add(start, stop - start, root, strength, "bass", name, kind)


def _walk(writer: Writer, chord: Chord, after: Chord, root: int, name: str) -> None:
    """The root, its fifth or third, and a step that leads to the next root."""
    beat = writer.beat
    target = fold(36 + after.low, VOICES[name].low, 55)
    tones = tones_at(writer.score.key_at(chord.start), chord)
    steps = [p for p in range(target - 2, target + 3) if p != target and p % 12 in tones]
    lead = min(steps, key=lambda p: abs(p - root)) if steps and after is not chord else root
    middle = nearest(root + (4 if target >= root else -4), chord.pitch_classes)
    last = chord.end - beat
    half = chord.start + (last - chord.start + beat) // (2 * beat) * beat
    writer.add(chord.start, half - chord.start, root, 0.95, "bass", name, "legato")
    writer.add(half, last - half, middle, 0.85, "bass", name, "legato")
    writer.add(last, beat, lead, 0.82, "bass", name, "legato")


def write_arps(writer: Writer) -> None:
    """Ostinati of strings, figures of plucked instruments."""
    brief = writer.brief
    for i, name in enumerate(brief.ensemble.arp):
        rng = writer.for_part(f"arp {name}")
        plucked = VOICES[name].plucked
        patterns: Sequence[tuple[int | None, ...]] = (FIGURES if plucked else OSTINATI)[brief.meter]
        pattern, other = rng.choice(patterns), rng.choice(patterns)
        step = 1 / brief.division
        quick = writer.beat >= (36 if brief.division == 2 else 54)
        if quick and (brief.intensity >= 2 or rng.random() < 0.3):
            step /= 2
        elif brief.intensity == 0 and rng.random() < 0.4 and writer.beat < 36:
            step = 1.0
        base = {"celesta": 72, "glockenspiel": 79, "violin": 67, "marimba": 60, "synth_bass": 33}
        low = base.get(name, 55 if plucked else 52) + (5 * i if name != "synth_bass" else 0)
        rests = rng.random() < 0.15 and not brief.pulse
        for bar_index in range(writer.n_bars):
            turn = bar_index % 4 == 3 and not brief.pulse
            used = other if turn else pattern
            if not _arp_waits(writer, i, bar_index):
                _figure(writer, name, used, step, low, bar_index, rests=rests)


def _arp_waits(writer: Writer, index: int, bar_index: int) -> bool:
    frame, brief = bar_index * writer.bar, writer.brief
    if brief.pulse:
        return False
    level = writer.score.levels[bar_index]
    if brief.form == "build" and level < 0.7 and brief.intensity >= 2:
        return True
    plucked = VOICES[brief.ensemble.arp[index]].plucked
    alone = writer.part_at(frame) == "break" and not plucked and not writer.is_short
    return alone or writer.waits(index, frame)


def _figure(
    writer: Writer,
    name: str,
    pattern: Sequence[int | None],
    step: float,
    base: int,
    bar_index: int,
    *,
    rests: bool,
) -> None:
    plucked, brief = VOICES[name].plucked, writer.brief
    n_steps = round(brief.beats_per_bar / step)
    per_beat = max(1, n_steps // brief.beats_per_bar)
    for k in range(n_steps):
        start = writer.at(bar_index, k * step)
        if start >= writer.last_start:
            if k == 0 and start == writer.last_start:
                _last_chord(writer, name, base)
            break
        index = pattern[k % len(pattern)]
        if index is None and brief.pulse:
            index = 0
        if index is None or (rests and k % 4 == 3):
            continue
        pitch = tone(writer.chord_at(start), index, base)
        length = writer.at(bar_index, (k + 1) * step) - start
        if plucked:
            length = round(length * 1.5)
        on, off = (1.12, 0.76) if brief.pulse else (1.05, 0.86)
        accent = on if k % per_beat == 0 else off
        crisp = writer.legato < 0.6 and not plucked
        kind: Articulation = "short" if crisp else "normal"
        writer.add(start, length, pitch, accent, "arp", name, kind)


def _last_chord(writer: Writer, name: str, base: int) -> None:
    """The ending of a figure: its chord, whole."""
    start = writer.last_start
    chord = writer.chord_at(start)
    count = 1 if name in ("violin", "cello", "viola", "synth_bass", "flute", "clarinet") else 4
    for index in range(count):
        pitch = tone(chord, index, base)
        writer.add(start, writer.score.n_frames - start, pitch, 0.95, "arp", name)
