"""Control in the open: tempo, key, chords and form as a caller writes them, beside the prompt.

bpm     98
key     "D minor", "F# dorian", "Bb"
chords  "Dm | Bb | F C | Gm7/D"   bars between strokes; or "Dm Bb F,C Gm7/D", a bar a word
form    "build", or its parts: "intro | build | climax 8 | break | climax | outro"
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fanfare.epic.attributes import FORMS, KEY_NAMES, SCALES, Attributes, Form, Mode, Scale
from fanfare.epic.form import PARTS
from fanfare.epic.notation import fold_bpm, read_key, read_scale
from fanfare.epic.score import Brief, Chord, Part, Quality
from fanfare.errors import InputError

MAX_BARS = 256
MAX_PARTS = 32
BARS_A_SHARE = 4
"""Bars of a part without a number, beside parts that have one, for each of its shares."""

_SYNONYMS: dict[str, Part] = {
    "opening": "intro", "introduction": "intro", "verse": "theme", "main": "theme",
    "crescendo": "build", "buildup": "build", "rise": "build", "chorus": "climax",
    "drop": "climax", "peak": "climax", "finale": "climax", "bridge": "break",
    "breakdown": "break", "calm": "break", "ending": "outro", "end": "outro", "coda": "outro",
}  # fmt: skip
_PART = re.compile(r"([a-z]+)[\s:x*]*(\d{1,3})?")
_CHORD = re.compile(r"([A-G])([#b♯♭]?):?([^/\s]*)(?:/([A-G])([#b♯♭]?))?")
_QUALITIES: dict[str, Quality] = {
    "": "maj", "maj": "maj", "M": "maj", "major": "maj", "6": "maj", "5": "maj",
    "m": "min", "min": "min", "-": "min", "minor": "min", "m6": "min", "min6": "min",
    "dim": "dim", "o": "dim", "°": "dim", "dim7": "dim", "o7": "dim", "aug": "aug", "+": "aug",
    "sus": "sus4", "sus4": "sus4", "7sus4": "sus4", "sus2": "sus2",
    "maj7": "maj7", "M7": "maj7", "Δ": "maj7", "Δ7": "maj7", "maj9": "maj7",
    "m7": "min7", "min7": "min7", "-7": "min7", "m9": "min7", "min9": "min7", "m11": "min7",
    "7": "dom7", "9": "dom7", "13": "dom7", "m7b5": "half7", "ø": "half7", "ø7": "half7",
    "hdim7": "half7", "add9": "add9", "add2": "add9",
}  # fmt: skip
_PITCH = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SHIFT = {"#": 1, "♯": 1, "b": -1, "♭": -1, "": 0}


@dataclass(frozen=True)
class Written:
    """A chord as written: root, quality and perhaps bass, without a place in time."""

    root: int
    quality: Quality
    bass: int | None = None


@dataclass(frozen=True)
class Control:
    """What a caller fixes; None or empty where the prompt and the seed decide.

    Attributes:
        bpm: quarter notes a minute, as felt.
        key: tonic as a pitch class; mode, scale: as far as named.
        bars: the chords of each bar, repeated to the end of the piece.
        form: one of FORMS.
        parts: the form's parts, each with its bars in proportion to the others' (0 = as usual).
    """

    bpm: float | None = None
    key: int | None = None
    mode: Mode | None = None
    scale: Scale | None = None
    bars: tuple[tuple[Written, ...], ...] = ()
    form: Form | None = None
    parts: tuple[tuple[Part, float], ...] = ()

    def over(self, wanted: Attributes) -> Attributes:
        """What the prompt says, where this says nothing else."""
        key, mode, scale = self.key, self.mode, self.scale
        if key is None and self.bars:
            key, mode = key_of_chords([chord for bar in self.bars for chord in bar])
        elif mode is None:
            mode, scale = wanted.mode, wanted.scale
        return replace(
            wanted,
            bpm=self.bpm or wanted.bpm,
            key=wanted.key if key is None else key,
            mode=mode,
            scale=scale,
            form=self.form or ("build" if self.parts else wanted.form),
        )

    def chords(self, brief: Brief, n_frames: int) -> list[Chord] | None:
        """The chords written, over a piece; None = there are none."""
        if not self.bars:
            return None
        made: list[Chord] = []
        bar, beat = brief.frames_per_bar, brief.frames_per_beat
        for index in range(-(-n_frames // bar)):
            written = self.bars[index % len(self.bars)]
            edges = _edges(len(written), bar, beat)
            for chord, start, end in zip(written, edges, edges[1:], strict=False):
                first, last = index * bar + start, min(index * bar + end, n_frames)
                if first < last:
                    made.append(Chord(first, last, chord.root, chord.quality, chord.bass))
        return made


def _edges(n: int, bar: int, beat: int) -> list[int]:
    """Where `n` chords of a bar begin and end: on beats, if there are enough of them."""
    unit = beat if n * beat <= bar else 1
    return [round(i * bar / n / unit) * unit for i in range(n)] + [bar]


def read_control(
    bpm: float | None = None,
    key: str | None = None,
    chords: str | None = None,
    form: str | None = None,
) -> Control:
    """Control from what a caller wrote.

    Raises:
        InputError: one of them can't be read; it names the field and says what would do.
    """
    tonic, mode, scale = _read_key(key) if key and key.strip() else (None, None, None)
    form = (form or "").strip().lower()
    named = next((known for known in FORMS if known == form), None)
    return Control(
        bpm=None if bpm is None else _read_bpm(bpm),
        key=tonic,
        mode=mode,
        scale=scale,
        bars=read_chords(chords) if chords and chords.strip() else (),
        form=named,
        parts=_read_parts(form) if form and named is None else (),
    )


def _read_bpm(bpm: float) -> float:
    felt = fold_bpm(float(bpm)) if 30 <= bpm <= 300 else None
    if felt is None:
        raise InputError("bpm", bpm, "beats a minute from 30 to 300")
    return felt


def _read_key(key: str) -> tuple[int, Mode | None, Scale | None]:
    text = key.strip().replace("♯", "#").replace("♭", "b")
    text = re.sub(r"\bminor pentatonic\b", "minor", text)
    tonic, mode = read_key(text[0].upper() + text[1:])
    if tonic is None:
        tonic, _ = read_key(f"in {text[0].upper() + text[1:]}")
    if tonic is None:
        hint = 'a key such as "D minor", "F# major", "Bb dorian" or "C"'
        raise InputError("key", key, hint)
    scale = read_scale(text)
    if scale is not None:
        mode = "minor" if 3 in SCALES[scale] else "major"
    return tonic, mode, scale


def read_chords(chords: str) -> tuple[tuple[Written, ...], ...]:
    """The chords of each bar.

    Raises:
        InputError: a chord isn't known, or there are too many.
    """
    if "|" in chords:
        bars = [re.split(r"[\s,]+", bar.strip()) for bar in chords.strip().strip("|").split("|")]
    else:
        bars = [bar.split(",") for bar in chords.split()]
    made: list[tuple[Written, ...]] = []
    for bar in bars[: MAX_BARS + 1]:
        words = [word for word in bar if word]
        if words in ([], ["%"], ["-"]):
            if not made:
                raise InputError("chords", chords, "the first bar needs a chord")
            made.append(made[-1])
        else:
            made.append(tuple(_chord(word, chords) for word in words[:12]))
    if len(made) > MAX_BARS:
        raise InputError("chords", chords[:80], f"at most {MAX_BARS} bars; they are repeated")
    return tuple(made)


def _chord(word: str, chords: str) -> Written:
    match = _CHORD.fullmatch(word)
    quality = match and _QUALITIES.get(match[3])
    if not match or quality is None:
        hint = (
            f'{word!r} is not a chord known here; write "Dm | Bb | F7 | C/E", a bar between strokes'
        )
        raise InputError("chords", chords[:80], hint)
    root = (_PITCH[match[1]] + _SHIFT[match[2]]) % 12
    bass = (_PITCH[match[4]] + _SHIFT[match[5]]) % 12 if match[4] else None
    return Written(root, quality, bass if bass != root else None)


def _read_parts(form: str) -> tuple[tuple[Part, float], ...]:
    made: list[tuple[Part, float]] = []
    for word in re.split(r"\s*(?:\||,|;|>|→|->|\band\b|\bthen\b)\s*", form):
        if not word:
            continue
        match = _PART.fullmatch(word.replace("-", ""))
        name = match and _part(match[1])
        if not match or not name or len(made) == MAX_PARTS:
            known = ", ".join((*FORMS, *PARTS))
            hint = f'{word!r} is not a form; one of {known}, or parts: "intro | build | climax 8"'
            raise InputError("form", form[:80], hint)
        made.append((name, float(match[2] or 0)))
    if any(bars for _, bars in made):
        return tuple((name, bars or BARS_A_SHARE * PARTS[name].share) for name, bars in made)
    return tuple(made)


def _part(word: str) -> Part | None:
    return next((name for name in PARTS if name == word), _SYNONYMS.get(word))


def key_of_chords(chords: Sequence[Written]) -> tuple[int, Mode]:
    """The key that chords are likeliest in: most of their tones, and the tonic's place in them."""
    best: tuple[float, int, Mode] = (-1.0, 0, "minor")
    scales: tuple[tuple[Mode, Scale], ...] = (("minor", "aeolian"), ("major", "ionian"))
    for tonic in range(12):
        for mode, scale in scales:
            tones = {(tonic + tone) % 12 for tone in SCALES[scale]}
            fit = 0.0
            for chord in chords:
                own = Chord(0, 1, chord.root, chord.quality).pitch_classes
                fit += sum(tone in tones for tone in own) / len(own)
            fit /= len(chords)
            home = Chord(0, 1, tonic, "min" if mode == "minor" else "maj").triad
            for place, weight in ((0, 0.3), (-1, 0.15)):
                chord = chords[place]
                same = chord.root == tonic and Chord(0, 1, tonic, chord.quality).triad == home
                fit += weight * same
            best = max(best, (fit, tonic, mode))
    return best[1], best[2]


def describe(written: Written) -> str:
    """A chord's name, sharps only."""
    short = {"maj": "", "min": "m", "min7": "m7", "dom7": "7", "half7": "m7b5"}
    bass = "" if written.bass is None else f"/{KEY_NAMES[written.bass]}"
    return KEY_NAMES[written.root] + short.get(written.quality, written.quality) + bass
