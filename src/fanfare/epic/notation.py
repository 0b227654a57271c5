"""What a prompt writes as notation: beats a minute, keys and modes, time signatures.

All take cleaned text: accents gone, case kept, sharps "#" and flats "b", single blanks. Every
repetition in the patterns is bounded, so that no input makes them slow.
"""

from __future__ import annotations

import re

from fanfare.epic.attributes import MAX_BPM, MIN_BPM, Mode, Scale
from fanfare.epic.sentence_words import split_phrases

_NUMBER = r"(?<![\d.,/#])(\d{2,3}(?:[.,]\d{1,2})?)"
_UNIT = (
    r"(?:bpm|b\.p\.m|ppm\b|beats? ?-?(?:per|a|/|pro) ?-?min|schlagen? (?:pro|die|in der) min"
    r"|battements? (?:par|a la) min|(?:pulsaciones|pulsos|golpes|latidos|tiempos) por min"
    r"|(?:battiti|battute) al min|batidas por min|temps par min|a la noire)"
)
_ABOUT = (
    r"(?:[ :=~@(\-]|(?:is|of|at|around|about|approximately|approx|circa|ca|roughly|near|set to|to"
    r"|between|from|de|a|von|um|auf|bei|zwischen|entre|environ|marking|marked)\b\.?){0,8}"
)
_TO = r" ?(?:bpm)? ?(?:-|~|to|bis|and|und|or|through|a|et|y|e)(?: (?:about|around))? ?"
_RANGE = re.compile(rf"{_NUMBER}{_TO}{_NUMBER} ?-?{_UNIT}", re.I)
_SINGLE = re.compile(rf"{_NUMBER} ?-?(?:ish )?{_UNIT}", re.I)
_PREFIX = re.compile(
    rf"\b(?:bpm|tempo|metronome|m\.?m\.?|pace|speed|(?:quarter|crotchet|noire|viertel|negra)"
    rf"(?: note)?(?= ?=)|q(?= ?=)){_ABOUT}{_NUMBER}(?:{_TO}{_NUMBER})?"
    r"(?! ?(?:s|sec|seconds?|minutes?|hz|%|ms|st|nd|rd|th|years?)\b)(?!\d)",
    re.I,
)
_ALONE = re.compile(rf"(?:(?:\bat|@|,|;|~|^) ?){_NUMBER} ?(?=$|[,;)]|\. |\.$)", re.I)
_UNIT_ONLY = re.compile(_UNIT, re.I)
_HALF = re.compile(r"\bhalf[ -]?(?:time|speed|tempo)\b|\bhalf the (?:speed|tempo)\b", re.I)
_DOUBLE = re.compile(r"\bdouble[ -]?(?:time|speed|tempo)\b|\btwice (?:as fast|the (?:speed|tempo))")

_ONES = {
    word: n
    for n, word in enumerate(
        split_phrases(
            """one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen,
            fourteen, fifteen, sixteen, seventeen, eighteen, nineteen"""
        ),
        start=1,
    )
} | {"a": 1}
_TENS = {
    word: 10 * n
    for n, word in enumerate(
        split_phrases("twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety"), start=2
    )
}


def fold_bpm(bpm: float) -> float | None:
    """`bpm` by octaves into [MIN_BPM, MAX_BPM]; None where it can't be a tempo at all."""
    if not 15 <= bpm <= 400:
        return None
    while bpm > MAX_BPM:
        bpm /= 2
    while bpm < MIN_BPM:
        bpm *= 2
    return bpm


def _spelled_number(words: list[str]) -> float | None:
    """The number that `words` end with: "one hundred and twenty", "ninety-five", "one twenty"."""
    tail: list[str] = []
    for word in reversed(words[-5:]):
        if word not in _ONES and word not in _TENS and word not in ("hundred", "and"):
            break
        tail.insert(0, word)
    total = 0
    for word in tail:
        if word == "hundred":
            total = max(total, 1) * 100
        elif word in _TENS:
            total = total * 100 + _TENS[word] if 0 < total < 10 else total + _TENS[word]
        else:
            total += _ONES.get(word, 0)
    return float(total) if total else None


def read_bpm(text: str) -> float | None:
    """The tempo written as a number, felt within [MIN_BPM, MAX_BPM]; None if there is none."""
    numbers: list[str] = []
    for pattern in (_RANGE, _SINGLE, _PREFIX):
        if match := pattern.search(text):
            numbers = [group for group in match.groups() if group]
            break
    values = [float(number.replace(",", ".")) for number in numbers]
    if not values and (match := _UNIT_ONLY.search(text)):
        before = text[max(0, match.start() - 60) : match.start()].lower().replace("-", " ").split()
        spelled = _spelled_number(before)
        values = [spelled] if spelled else []
    if not values and (match := _ALONE.search(text)):
        value = float(match[1].replace(",", "."))
        values = [value] if 50 <= value <= 220 else []
    if not values:
        return None
    bpm = sum(values) / len(values)
    if _HALF.search(text):
        bpm /= 2
    elif _DOUBLE.search(text):
        bpm *= 2
    return fold_bpm(bpm)


_BEATS = {
    (3, 4): 3, (6, 8): 6, (3, 8): 3, (9, 8): 3, (6, 4): 3, (3, 2): 3,
    (4, 4): 4, (2, 4): 4, (2, 2): 4, (12, 8): 6, (8, 8): 4, (4, 8): 4,
}  # fmt: skip
_SIGNATURE = re.compile(
    r"(?<![\d/.])(\d{1,2}) ?/ ?(\d{1,2})(?![\d/])"
    r"|(?<!\d)([346])-([48])(?= ?(?:time|meter|metre|beat))"
)
_IN_BEATS = re.compile(
    r"\bin ([34])(?=$|[,.;)]| (?:feel|time|beats?)\b)|\b([34]) beats (?:per|a|to)", re.I
)
_NOT = re.compile(
    r"\b(?:not|no|non|nicht|kein|keine|isn'?t|without|never|avoid)(?: \w+){0,2} ?$", re.I
)


def _negated(text: str, start: int) -> bool:
    return _NOT.search(text[max(0, start - 32) : start]) is not None


def read_meter(text: str) -> int | None:
    """The metre of a time signature: 3, 4, 6 (for 6/8), or None where none of them is written."""
    for match in _SIGNATURE.finditer(text):
        upper, lower = (int(group) for group in match.groups() if group)
        if (upper, lower) in _BEATS and not _negated(text, match.start()):
            return _BEATS[upper, lower]
    if written := _IN_BEATS.search(text):
        return int(written[1] or written[2])
    return None


_PITCH = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11, "h": 11}
_SOLFEGE = {"do": 0, "ut": 0, "re": 2, "mi": 4, "fa": 5, "sol": 7, "la": 9, "si": 11}
_SHARP = ("#", "sharp", "is", "diese", "dieze", "sostenido", "diesis", "sustenido")
_MINOR: Mode = "minor"
_MAJOR: Mode = "major"
_MODE_OF = dict.fromkeys(
    split_phrases(
        """minor, min, m, moll, mineur, mineure, menor, minore, aeolian, eolian, aolisch, aeolien,
        eolien, eolico, dorian, dorisch, dorien, dorico, phrygian, phrygisch, phrygien, frigio,
        locrian"""
    ),
    _MINOR,
) | dict.fromkeys(
    split_phrases(
        """major, maj, dur, majeur, majeure, mayor, maior, maggiore, ionian, ionisch, ionien,
        jonico, lydian, lydisch, lydien, lidio, mixolydian, mixolydisch, mixolydien, mixolidio"""
    ),
    _MAJOR,
)
_MODE_WORD = "|".join(sorted((word for word in _MODE_OF if word != "m"), key=len, reverse=True))
_LETTER_KEY = re.compile(
    r"(?<![\w#'])(?P<note>[A-H])(?P<accidental>[#b]|[ -]?sharp|[ -]?flat|is|es|s)?[ -]{0,2}"
    rf"(?:(?:harmonic|natural|melodic) )?(?P<mode>{_MODE_WORD})\b",
    re.I,
)
_SHORT_KEY = re.compile(
    r"(?<![\w#'])(?P<note>[A-G])(?P<accidental>[#b])?(?P<mode>m|min|maj)7?(?![\w'#])"
)
_BARE_KEY = re.compile(
    r"(?:\b(?:key|tonart|tonality|tonalite|tonalidad|scale)(?: of| is| de)?[:= ]{1,3}"
    r"(?P<named>[A-G])(?P<named_acc>[#b]|[ -]sharp\b|[ -]flat\b)?(?P<named_mode>m)?(?![\w#'])"
    r"|(?-i:\b[iI]n |\ben )(?P<note>(?-i:[A-G]))(?P<accidental>(?-i:[#b])|[ -]sharp\b|[ -]flat\b)?"
    r"(?= ?(?:$|[,.;:!?)]|\d|(?:at|with|and|for)\b)))",
    re.I,
)
_SOLFEGE_KEY = re.compile(
    r"\b(?P<note>do|ut|re|mi|fa|sol|la|si)"
    r"(?:[ -](?P<accidental>bemolle|bemol|diese|dieze|sostenido|sustenido|diesis|#|b))?"
    r"[ -](?P<mode>majeur|mineur|mayor(?! parte)|menor|maggiore|minore|maior)\b",
    re.I,
)
_MUSICAL_NOUNS = split_phrases(
    """key, keys, chord, chords, scale, mode, tonality, mood, feel, feeling, progression,
    progressions, third, thirds, setting, melody, melodies, theme, triad, triads, harmony,
    harmonies, harmonic, tone, tones, tune, arpeggio, arpeggios, arpeggiated, cadence, sound,
    sounding, color, colour, pentatonic"""
)
_GRAMMAR_WORDS = split_phrases(
    "and, at, with, but, or, to, for, in, by, on, over, then, around, about, bpm, tempo"
)
_BARE_MODE = re.compile(rf"\b({_MODE_WORD})\b[ -]?(\w*)", re.I)
_ROMANCE_MODE = re.compile(r"\b(?:modo|mode|tono|tonalidad|tonalita|en|in) ?$", re.I)


def _pitch(note: str, accidental: str | None) -> int:
    accidental = (accidental or "").strip(" -").lower()
    shift = 0 if not accidental else 1 if accidental in _SHARP else -1
    return ((_SOLFEGE | _PITCH)[note.lower()] + shift) % 12


def _is_article(text: str, match: re.Match[str]) -> bool:
    """Whether the "a" of "a minor …" is the article and not the note.

    A small "a" is the note at the end of a clause ("harp, a minor, slow") or after "in" and "of";
    a capital one is, but for the start of a sentence. Before "chord", "key" … a small one never is.
    """
    following = re.match(r"[ -]?([A-Za-z]*)", text[match.end() :])
    next_word = following[1].lower() if following else ""
    before = text[: match.start()].rstrip()
    content = bool(next_word) and next_word not in _GRAMMAR_WORDS
    if match["note"] == "A":
        opens = not before or before[-1] in ".!?:;"
        return (
            opens and content and (next_word in _MUSICAL_NOUNS or match["mode"].lower() == "major")
        )
    if next_word in _MUSICAL_NOUNS:
        return True
    return content and re.search(r"\b(?:in|of|key)[: ]*$", before[-12:], re.I) is None


def _letter_key(text: str) -> tuple[int, Mode, int] | None:
    for match in _LETTER_KEY.finditer(text):
        note, accidental, mode = match["note"], match["accidental"], match["mode"].lower()
        german = mode in ("dur", "moll")
        if not german and (note in "Hh" or (accidental or "").lower() in ("is", "es", "s")):
            continue
        if note in "Aa" and not accidental and not german and _is_article(text, match):
            continue
        pitch = _pitch(note, accidental)
        if german and note in "Bb" and not accidental:
            pitch = 10  # German B is B flat; B natural is H
        return pitch, _MODE_OF[mode], match.start()
    return None


def _bare_mode(text: str) -> Mode | None:
    for match in _BARE_MODE.finditer(text):
        word, next_word = match[1].lower(), match[2].lower()
        before = text[max(0, match.start() - 12) : match.start()]
        if word in ("min", "maj") or (
            word in ("mayor", "maior", "menor", "dur", "maggiore", "minore")
            and not _ROMANCE_MODE.search(before)
        ):
            continue
        if word == "minor" and next_word in (
            "detail",
            "details",
            "role",
            "change",
            "changes",
            "part",
        ):
            continue
        known = next_word in _MUSICAL_NOUNS or next_word in _GRAMMAR_WORDS
        if word == "major" and next_word and not known:
            continue
        mode = _MODE_OF[word]
        if _negated(text, match.start()):
            return "major" if mode == "minor" else "minor"
        return mode
    return None


def read_key(text: str) -> tuple[int | None, Mode | None]:
    """Tonic as a pitch class (0 = C) and mode, as far as named; the first key counts."""
    found: list[tuple[int, int, Mode | None]] = []  # position, pitch class, mode
    if letter := _letter_key(text):
        found.append((letter[2], letter[0], letter[1]))
    if match := _SOLFEGE_KEY.search(text):
        mode = _MODE_OF[match["mode"].lower()]
        found.append((match.start(), _pitch(match["note"], match["accidental"]), mode))
    if match := _SHORT_KEY.search(text):
        mode = _MODE_OF[match["mode"]]
        if not (match[0] == "Am" and re.match(r" I\b", text[match.end() :])):
            found.append((match.start(), _pitch(match["note"], match["accidental"]), mode))
    if found:
        _, pitch, mode_found = min(found, key=lambda key: key[0])
        return pitch, mode_found
    for match in _BARE_KEY.finditer(text):
        note, accidental = (
            match["named"] or match["note"],
            match["named_acc"] or match["accidental"],
        )
        if match["named"] == "a" and re.match(r" \w", text[match.end() :]):
            continue
        return _pitch(note, accidental), "minor" if match["named_mode"] else _bare_mode(text)
    return None, _bare_mode(text)


_SCALE_WORDS: tuple[tuple[str, Scale], ...] = (
    (r"harmonic(?:s)? minor|harmonisch(?:es)? moll|mineure? harmonique|menor armonica"
     r"|minor harmonic", "harmonic"),
    (r"(?:natural|pure) minor|aeolian|eolian|aolisch|aeolien|eolien|eolico", "aeolian"),
    (r"dorian|dorisch|dorien|dorico", "dorian"),
    (r"phrygian|phrygisch|phrygien|frigio", "phrygian"),
    (r"mixolydian|mixolydisch|mixolydien|mixolidio", "mixolydian"),
    (r"lydian|lydisch|lydien|lidio", "lydian"),
    (r"ionian|ionisch|ionien|jonico", "ionian"),
)  # fmt: skip
_SCALES = re.compile(
    r"\b(?:" + "|".join(f"({words})" for words, _ in _SCALE_WORDS) + r")(?:e[sn]?|s)?\b", re.I
)


def read_scale(text: str) -> Scale | None:
    """A scale named: "D dorian", "harmonic minor"; None where there is none."""
    match = _SCALES.search(text)
    if match is None or _negated(text, match.start()):
        return None
    return _SCALE_WORDS[(match.lastindex or 1) - 1][1]
