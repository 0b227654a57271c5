"""Reading a prompt: from how people write about epic music to Attributes. Rules, no model.

sentences.py cuts the text into elements, phrases of the vocabulary with their cues, and marks what
is denied; here each attribute weighs its evidence. Notation (numbers, keys, signatures) is read
from the text itself, by notation.py, and outranks words.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from fanfare.epic import sentence_words as words
from fanfare.epic.attributes import (
    FORMS,
    MAX_INTENSITY,
    MODE_OF,
    MOODS,
    Attributes,
    Form,
    Mood,
    Texture,
)
from fanfare.epic.instrument_words import FAMILIES
from fanfare.epic.notation import read_bpm, read_key, read_meter, read_scale
from fanfare.epic.sentences import Element, clean, read_elements
from fanfare.epic.vocabulary import Cue, Kind

MIN_MOOD_EVIDENCE = 0.6
PLAIN = 2.0  # weight of words that say a thing outright

_MOOD_LEVEL = {"calm": 1, "sad": 1, "mysterious": 1, "tense": 2, "heroic": 3}
"""Intensity by mood, good enough to tell whether a piece rises or falls between two moods."""


def _evidence(elements: list[Element], kind: Kind) -> Iterator[tuple[int, Element, Cue]]:
    for i, element in enumerate(elements):
        yield from ((i, element, cue) for cue in element.cues if cue.kind == kind)


def _mood(elements: list[Element]) -> Mood | None:
    score: dict[str, float] = defaultdict(float)
    for _, element, cue in _evidence(elements, "mood"):
        factor = -0.75 if element.negated else (0.7, 1.0, 1.3)[element.degree + 1]
        score[str(cue.value)] += factor * cue.weight
    if not score:
        return None
    best = max(score, key=lambda mood: score[mood])  # the first named, of equals
    if score[best] < MIN_MOOD_EVIDENCE:
        return None
    return next(mood for mood in MOODS if mood == best)


def _levels(elements: list[Element]) -> list[tuple[int, int, float]]:
    """Index, level and weight of everything said of intensity."""
    found = []
    for i, element, cue in _evidence(elements, "intensity"):
        level, weight = int(cue.value), cue.weight
        if element.negated:
            if weight < 1.2:
                continue
            level, weight = (2 if level < 2 else 1), 1.5
        elif weight >= PLAIN:
            if element.degree > 0:
                level = 0 if level <= 1 else MAX_INTENSITY
            elif element.degree < 0:
                level += 1 if level == 0 else -1 if level == MAX_INTENSITY else 0
        if element.has("mood"):  # "tranquil" says it in passing, "very quiet" outright
            weight *= 0.75
        found.append((i, level, weight))
    return found


def _turn(elements: list[Element], levels: list[tuple[int, int, float]]) -> Form | None:
    """build or fade, where the levels before and after "then", "ends", "from … to" say so."""
    moods = ((i, _MOOD_LEVEL.get(str(cue.value))) for i, _, cue in _evidence(elements, "mood"))
    said = {i: level for i, level in moods if level is not None}
    said.update((i, level) for i, level, _ in levels)
    for i, element in enumerate(elements):
        reach = len(elements)
        if element.text not in words.TURNS:
            if element.text not in words.TO or not any(
                e.text in words.FROM for e in elements[max(0, i - 5) : i]
            ):
                continue
            reach = 4  # "from … to" joins neighbours
        before = [said[j] for j in range(max(0, i - reach), i) if j in said]
        after = [said[j] for j in range(i + 1, min(i + 1 + reach, len(elements))) if j in said]
        if before and after and before[0] != after[-1]:
            return "build" if before[0] < after[-1] else "fade"
    return None


def _form(elements: list[Element], turn: Form | None) -> Form | None:
    score: dict[str, float] = defaultdict(float)
    if turn:
        score[turn] += 1.5
    for _, element, cue in _evidence(elements, "form"):
        if not element.negated:
            score[str(cue.value)] += cue.weight
        elif cue.value in ("build", "fade"):
            score["steady"] += cue.weight / 2
    if not score:
        return None
    best = max(score, key=lambda form: score[form])
    return next(form for form in FORMS if form == best) if score[best] >= 0.7 else None


def _intensity(levels: list[tuple[int, int, float]], form: Form | None) -> int | None:
    plain = [level for _, level, weight in levels if weight >= 1.2]
    if form in ("build", "fade") and plain:
        return max(plain)
    score: dict[int, float] = defaultdict(float)
    for _, level, weight in levels:
        score[level] += weight
    return max(score, key=lambda level: (score[level], level)) if score else None


def _bpm(elements: list[Element]) -> float | None:
    found: list[tuple[float, float, int]] = []  # weight, bpm, index
    for i, element, cue in _evidence(elements, "bpm"):
        bpm, weight = float(cue.value), cue.weight
        neighbours = elements[max(0, i - 1) : i] + elements[i + 1 : i + 2]
        if element.raw.endswith(("ly", "mente", "ement")) and any(
            e.has("form") for e in neighbours
        ):
            continue  # "slowly dissolving" is not a tempo
        if element.negated:
            if weight < PLAIN:
                continue
            bpm, weight = (92.0 if bpm > 105 else 104.0), 1.5
        elif element.degree > 0 and weight >= PLAIN:
            bpm = 62.0 if bpm <= 80 else 158.0 if bpm >= 120 else bpm
        elif element.degree < 0:
            bpm = (bpm + 100.0) / 2
        found.append((weight, bpm, i))
    if not found:
        return None
    top = max(weight for weight, _, _ in found)
    best = [(bpm, i) for weight, bpm, i in found if weight == top]
    if (
        len(best) > 1
        and best[1][1] - best[0][1] == 2
        and elements[best[0][1] + 1].text in words.TO | words.CONNECTORS_OR
    ):
        return (best[0][0] + best[1][0]) / 2  # "slow to moderate"
    return best[0][0]


def _meter(elements: list[Element]) -> int | None:
    score: dict[int, float] = defaultdict(float)
    for _, element, cue in _evidence(elements, "meter"):
        if not element.negated:
            score[int(cue.value)] += cue.weight
    return max(score, key=lambda beats: score[beats]) if score else None


def _instruments(elements: list[Element]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that play and those that must not; the more exact word wins ("no brass but a horn")."""
    wanted: dict[str, float] = {}
    unwanted: dict[str, float] = {}
    for _, element, cue in _evidence(elements, "instruments"):
        name = str(cue.value)
        if not element.negated:
            if cue.weight > 0:
                wanted[name] = max(wanted.get(name, 0.0), cue.weight)
            continue
        unwanted[name] = max(unwanted.get(name, 0.0), cue.weight or 2.0)
        for member in FAMILIES.get(tuple(element.instruments()), ()):
            unwanted.setdefault(member, 1.0)
    if any(e.text in ("instrumental", "instrumentals") for e in elements) and "choir" not in wanted:
        unwanted["choir"] = 1.0
    out = tuple(name for name, weight in unwanted.items() if weight >= wanted.get(name, 0.0))
    return tuple(name for name in wanted if name not in out), out


_CHAMBER = re.compile(
    r"\b(?:chamber (?:music|piece|group|ensemble|setting)|small ensemble|few instruments"
    r"|intimate|sparse(?:ly)?|minimal(?:ist|istic)?|stripped[ -](?:back|down)|kammermusik"
    r"|musique de chambre|musica de camara|dunn besetzt|intime)\b",
    re.I,
)
_FULL = re.compile(
    r"\b(?:full(?:[ -]scale)? (?:symphon\w+ )?(?:orchestra\w*|ensemble|force)|tutti"
    r"|(?:huge|massive|giant|large|big) (?:symphon\w+ )?(?:orchestra\w*|ensemble)|wall of sound"
    r"|everyone plays|volles orchester|grosses orchester|plein orchestre|orquesta completa)\b",
    re.I,
)


def _texture(text: str) -> Texture | None:
    """A few players or all; who plays alone is said by `only`."""
    if _CHAMBER.search(text):
        return "chamber"
    return "full" if _FULL.search(text) else None


def _passing(elements: list[Element], i: int) -> bool:
    """Whether what stands at `i` is so for a part of the piece only: "… at the end"."""
    return any(element.text in words.ONLY_SOMETIMES for element in elements[i + 1 : i + 2])


def _next_instrument(elements: list[Element], i: int) -> int | None:
    """Index of what "only" at `i` is about, a few words on in the same clause; None if nothing."""
    for j in range(i + 1, min(i + 7, len(elements))):
        element = elements[j]
        if element.has("instruments"):
            return None if element.negated or _passing(elements, j) else j
        if element.text in words.A_LITTLE or (element.breaks and element.text != ":"):
            return None
    return None


def _group(elements: list[Element], i: int) -> set[str]:
    """The instruments at `i` and those joined to them by "and"."""
    group = set(elements[i].instruments())
    joined = False
    for element in elements[i + 1 : i + 10]:
        if element.has("instruments") and joined:
            group.update(element.instruments())
            joined = False
        elif element.text in words.CONNECTORS_AND or element.text == ",":
            joined = True
        elif element.text not in words.SOLO | words.FILLERS and not element.cues:
            break
    return group


def _alone(elements: list[Element]) -> bool:
    """Whether nothing but the named instruments is to play."""
    named = {name for element in elements if not element.negated for name in element.instruments()}
    if not named:
        return False
    for i, element in enumerate(elements):
        last = elements[i - 1] if i else None
        refused = last is not None and last.text in words.NEGATORS_ADJECTIVE | {"no"}
        if element.text in words.ONLY_ANYWHERE:
            return True
        if (
            element.text in words.ENSEMBLES
            and not element.negated
            and set(element.instruments()) == named
        ):
            return True
        if (
            element.text in words.ONLY_BEFORE
            and not refused
            and _next_instrument(elements, i) is not None
        ):
            return True
        after_name = last is not None and last.has("instruments") and not last.negated
        if element.text in words.ONLY_AFTER and after_name and not _passing(elements, i):
            return True
        if element.text in words.SOLO and not refused and _solo_is_all(elements, i, named):
            return True
    return False


def _solo_is_all(elements: list[Element], i: int, named: set[str]) -> bool:
    """Whether "solo" at `i` is about all that plays, not about one of several or a feature."""
    before = [e for e in elements[max(0, i - 3) : i] if e.text not in words.FILLERS]
    if before and before[-1].text in words.BESIDE:
        return False
    j = _next_instrument(elements, i)
    if j is None and before and before[-1].has("instruments"):
        if elements[i].text in ("duet", "duo", "trio"):
            return len(named) <= 3
        j = elements.index(before[-1])
        if any(e.text in words.BESIDE for e in elements[max(0, j - 2) : j]):
            return False
    return j is not None and named <= _group(elements, j)


def understand(prompt: str) -> Attributes:
    """What `prompt` says of the piece it asks for; whatever it leaves open stays None or empty.

    Deterministic, and total: any text gives Attributes. Only the first MAX_CHARACTERS count.
    English is read best; German, French and Spanish (some Italian) in their common words.
    """
    text = clean(prompt)
    elements = read_elements(text)
    key, mode = read_key(text)
    scale = read_scale(text)
    if scale is not None and (mode or MODE_OF[scale]) != MODE_OF[scale]:
        scale = None
    levels = _levels(elements)
    form = _form(elements, _turn(elements, levels))
    instruments, without = _instruments(elements)
    return Attributes(
        bpm=read_bpm(text) or _bpm(elements),
        key=key,
        mode=mode if scale is None else MODE_OF[scale],
        mood=_mood(elements),
        intensity=_intensity(levels, form),
        form=form,
        meter=read_meter(text) or _meter(elements),
        instruments=instruments,
        only=bool(instruments) and _alone(elements),
        without=without,
        scale=scale,
        texture=_texture(text),
    )
