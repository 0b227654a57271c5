"""The tables of lexicon.py as one lookup from phrases to cues, forgiving endings and one slip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from fanfare.epic import lexicon
from fanfare.epic import sentence_words as words
from fanfare.epic.instrument_words import INSTRUMENT_WORDS
from fanfare.epic.sentence_words import split_phrases

Kind = Literal["mood", "intensity", "bpm", "form", "meter", "instruments"]

MIN_TYPO_LETTERS = 6
MAX_TYPO_LETTERS = 24

_SENTENCE_WORDS = (
    words.NEUTRAL, words.NEGATORS_NOUN, words.NEGATORS_ADJECTIVE, words.EXCEPTIONS, words.STOPPERS,
    words.CONNECTORS_OR, words.CONNECTORS_AND, words.FILLERS, words.LATER, words.AMPLIFIERS,
    words.SOFTENERS, words.TURNS, words.FROM, words.TO, words.ONLY_BEFORE, words.ONLY_AFTER,
    words.ONLY_ANYWHERE, words.ONLY_SOMETIMES, words.SOLO, words.A_LITTLE, words.BESIDE,
    words.REFUSED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing a phrase says: `value` belongs to `kind`, `weight` is how plainly it is said.

    Instruments have a cue each, with `value` the instrument and weight 2 by name, 1 by family.
    """

    kind: Kind
    value: str | float
    weight: float


def _deletes(word: str) -> Iterator[str]:
    """Every spelling of `word` with one letter left out, the first letter kept."""
    return (word[:i] + word[i + 1 :] for i in range(1, len(word)))


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter added, lost, changed or swapped with the next turns `a` into `b`."""
    if abs(len(a) - len(b)) > 1:
        return False
    i = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    if len(a) > len(b):
        return a[i + 1 :] == b[i:]
    if len(a) < len(b):
        return a[i:] == b[i + 1 :]
    swapped = a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
    return swapped or a[i + 1 :] == b[i + 1 :]


def _endings(word: str) -> Iterator[str]:
    """The words `word` may be a form of: plurals, adverbs, English, German and Romance endings."""
    if len(word) < 5:
        return
    if word.endswith(("ies", "ily")):
        yield word[:-3] + "y"
    if word.endswith("ically"):
        yield word[:-4]
    for ending in ("ly", "s", "es", "e", "en", "er", "em", "est", "ed", "ne", "nes"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            yield word[: -len(ending)]
    for ending, masculine in (("a", "o"), ("as", "o"), ("os", "o"), ("i", "o"), ("euse", "eux")):
        if word.endswith(ending):
            yield word[: -len(ending)] + masculine
    if word.endswith("ing"):
        yield word[:-3]
        yield word[:-3] + "e"


class Vocabulary:
    """Phrases and what they say.

    Attributes:
        cues: phrase, words parted by one blank, to what it says (nothing for neutral phrases).
        longest: a phrase's first word to the number of words of the longest phrase it opens.
    """

    def __init__(self) -> None:
        self.cues: dict[str, tuple[Cue, ...]] = {}
        self.longest: dict[str, int] = {}
        self._spellings: dict[str, list[str]] = {}
        for phrase, cue in self._rows():
            self.cues[phrase] = (*self.cues.get(phrase, ()), cue)
        self._inherit()
        for phrase in sorted(words.NEUTRAL):
            self.cues[phrase] = ()
        for phrase in sorted(frozenset().union(*_SENTENCE_WORDS)):
            self.cues.setdefault(phrase, ())
        for phrase in self.cues:
            first, *rest = phrase.split()
            self.longest[first] = max(self.longest.get(first, 1), 1 + len(rest))
        self.words = {word for phrase in self.cues for word in phrase.split()}
        self.words.update(words.COMMON)
        for phrase in self.cues:
            if " " not in phrase and len(phrase) >= MIN_TYPO_LETTERS:
                for spelling in (phrase, *_deletes(phrase)):
                    self._spellings.setdefault(spelling, []).append(phrase)

    @staticmethod
    def _rows() -> Iterator[tuple[str, Cue]]:
        for mood, weight, text in lexicon.MOOD_WORDS:
            yield from ((phrase, Cue("mood", mood, weight)) for phrase in split_phrases(text))
        for level, weight, text in lexicon.INTENSITY_WORDS:
            yield from ((phrase, Cue("intensity", level, weight)) for phrase in split_phrases(text))
        for bpm, weight, text in lexicon.TEMPO_WORDS:
            yield from ((phrase, Cue("bpm", bpm, weight)) for phrase in split_phrases(text))
        for form, weight, text in lexicon.FORM_WORDS:
            yield from ((phrase, Cue("form", form, weight)) for phrase in split_phrases(text))
        for beats, weight, text in lexicon.METER_WORDS:
            yield from ((phrase, Cue("meter", beats, weight)) for phrase in split_phrases(text))
        for names, weight, text in INSTRUMENT_WORDS:
            for phrase in split_phrases(text):
                yield from ((phrase, Cue("instruments", name, weight)) for name in names)
        # Words for words: no one asks for them, but "no lyrics" asks for no choir.
        yield from ((p, Cue("instruments", "choir", 0)) for p in sorted(words.WORDLESS))

    def _inherit(self) -> None:
        """Let "funeral march" keep the mood of "funeral": phrases take what they leave unsaid.

        Only moods and intensities, and not for instruments: a grand piano isn't grand.
        """
        for phrase, cues in list(self.cues.items()):
            kinds = {cue.kind for cue in cues}
            parts = phrase.split()
            if len(parts) == 1 or "instruments" in kinds:
                continue
            lent = (cue for part in parts for cue in self.cues.get(part, ()))
            wanted = {"mood", "intensity"} - kinds
            self.cues[phrase] = (*cues, *(cue for cue in lent if cue.kind in wanted))

    def canonical(self, word: str) -> str:
        """The vocabulary's word that `word` is, is a form of, or misspells; else `word` itself."""
        if word in self.words:
            return word
        for form in _endings(word):
            if form in self.cues:
                return form
        if MIN_TYPO_LETTERS - 1 <= len(word) <= MAX_TYPO_LETTERS and word.isalpha():
            for spelling in (word, *_deletes(word)):
                for candidate in self._spellings.get(spelling, ()):
                    if _one_slip(word, candidate):
                        return candidate
        return word


@cache
def vocabulary() -> Vocabulary:
    """The one vocabulary, built when first asked for."""
    return Vocabulary()
