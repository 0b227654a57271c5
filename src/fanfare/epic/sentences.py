"""A prompt's sentences: cleaned, cut into phrases, negations and degrees marked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from fanfare.epic import sentence_words as words
from fanfare.epic.vocabulary import Cue, Kind, vocabulary

MAX_CHARACTERS = 8000  # enough for any prompt; what follows is left unread

_SIGNS = str.maketrans(
    {
        "’": "'", "‘": "'", "`": "'", "´": "'", "–": "-", "—": " - ", "−": "-", "‑": "-", "‐": "-",
        "♯": "#", "♭": "b", "♩": " quarter ", "œ": "oe", "Œ": "Oe", "ß": "ss", "ø": "o", "Ø": "O",
        "æ": "ae", "ł": "l", "\t": " ", "\r": "\n", "_": " ", "*": " ",
    }
)  # fmt: skip
_BLANKS = re.compile(r" {2,}")
_TOKEN = re.compile(
    r"[wW]/[oO]?(?![A-Za-z])|[A-Za-z0-9#]{1,40}(?:'[A-Za-z]{1,20})?|(?<= )-(?= )|[][,;.:!?()\n&+/|]"
)
_ELISION = re.compile(r"(?:[dlnsjmct]|qu)'", re.I)


@dataclass(slots=True)
class Element:
    """A phrase that says something (`cues`), another word, or a sign that ends a clause.

    Attributes:
        text: the phrase in the vocabulary's spelling; the sign where `breaks`.
        raw: as written, in lower case.
        negated: whether the sentence denies it.
        degree: 1 after "very", -1 after "slightly", else 0.
    """

    text: str
    raw: str
    cues: tuple[Cue, ...] = ()
    breaks: bool = False
    negated: bool = False
    degree: int = 0

    def has(self, kind: Kind) -> bool:
        return any(cue.kind == kind for cue in self.cues)

    def instruments(self) -> list[str]:
        """The instruments asked for here, those of a family included."""
        return [str(cue.value) for cue in self.cues if cue.kind == "instruments" and cue.weight > 0]


def clean(prompt: str) -> str:
    """`prompt` without accents and typographic signs, case kept, single blanks."""
    text = unicodedata.normalize("NFKD", prompt[:MAX_CHARACTERS].translate(_SIGNS))
    text = "".join(c for c in text[: 2 * MAX_CHARACTERS] if not unicodedata.combining(c))
    return _BLANKS.sub(" ", text.translate(_SIGNS)).strip()


def _words(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        word = match[0].lower()
        if word in ("w/o", "w/"):
            yield "without" if word == "w/o" else "with"
        elif word in ("&", "+"):
            yield "and"
        elif "'" not in word:
            yield word
        elif word.endswith("'s"):
            yield word[:-2]
        elif _ELISION.match(word):
            yield from word.split("'")
        else:
            yield word.replace("'", "")


def _cut(text: str) -> list[Element]:
    """The cleaned text in elements, the longest phrases first."""
    known = vocabulary()
    raw = list(_words(text))
    canonical = [known.canonical(word) for word in raw]
    elements: list[Element] = []
    i = 0
    while i < len(canonical):
        size = min(known.longest.get(canonical[i], 1), len(canonical) - i)
        while size > 1 and " ".join(canonical[i : i + size]) not in known.cues:
            size -= 1
        phrase = " ".join(canonical[i : i + size])
        sign = not phrase[0].isalnum() and phrase[0] != "#"
        element = Element(phrase, raw[i], known.cues.get(phrase, ()), breaks=sign)
        if not element.cues and phrase.endswith("less"):  # "drumless", "brassless"
            element.cues = known.cues.get(known.canonical(phrase[:-4]), ())
            element.negated = element.has("instruments")
        elements.append(element)
        i += size
    return elements


def _mark_degrees(elements: list[Element]) -> None:
    for i, element in enumerate(elements):
        for before in elements[max(0, i - 2) : i] if element.cues else ():
            if before.breaks or before.cues:
                continue
            element.degree = 1 if before.text in words.AMPLIFIERS else element.degree
            element.degree = -1 if before.text in words.SOFTENERS else element.degree


def _list_goes_on(elements: list[Element], comma: int) -> bool:
    """Whether "no drums, …" continues as a list: ", choir or brass"."""
    joined = False
    for element in elements[comma + 1 : comma + 12]:
        if element.has("instruments"):
            if joined:
                return True
        elif element.text in words.CONNECTORS_OR:
            joined = True
        elif element.text != "," and element.text not in words.FILLERS:
            return False
    return False


def _comes_later(elements: list[Element], i: int) -> bool:
    """Whether "no drums" is only for a while: "… until the climax", "… at first"."""
    for element in elements[i + 1 : i + 5]:
        if element.breaks:
            return False
        if element.text in words.LATER:
            return True
    return False


class _Negation:
    """The scope of a negation while reading on: open, trailing what it has denied, or shut."""

    def __init__(self, elements: list[Element]) -> None:
        self.elements = elements
        self.shut()

    def shut(self) -> None:
        self.state = "shut"
        self.link = ""  # "and" or "or", once the denied is followed by it
        self.patience = 0  # words it may still skip
        self.noun = False  # of "no drums" rather than "not sad"
        self.denied: set[Kind] = set()

    def open(self, noun: bool) -> None:
        self.shut()
        self.state, self.patience, self.noun = "open", 5, noun

    def sign(self, i: int) -> None:
        listed = self.state == "tail" and self.noun and self.elements[i].text == ","
        if listed and _list_goes_on(self.elements, i):
            self.link = "or"
        elif not (self.state == "tail" and self.elements[i].text == "/"):
            self.shut()
        else:
            self.link = "or"

    def word(self, i: int) -> None:
        text = self.elements[i].text
        if text == "than":
            near = {element.text for element in self.elements[max(0, i - 4) : i]}
            if near & {"more", "rather"}:
                self.open(noun=False)
        elif text in words.EXCEPTIONS:
            self.shut() if self.state != "shut" else self.open(noun=True)
        elif text in words.CONNECTORS_OR | words.CONNECTORS_AND and self.state == "tail":
            self.link = "or" if text in words.CONNECTORS_OR else "and"
        elif text in words.NEGATORS_NOUN | words.NEGATORS_ADJECTIVE and not self._misread(i):
            self.open(noun=text in words.NEGATORS_NOUN)
        elif text in words.STOPPERS:
            self.shut()
        elif text not in words.FILLERS | words.AMPLIFIERS | words.SOFTENERS:
            self.patience -= 1
            if self.state == "tail" or self.patience < 0:
                self.shut()

    def _misread(self, i: int) -> bool:
        """English "sin and redemption", "no 5"; "less drums" are still drums."""
        following = self.elements[i + 1 : i + 2]
        if self.elements[i].text in words.FEWER:
            return any(element.has("instruments") for element in following)
        after = following[0].text if following else ""
        return after.isdigit() or (self.elements[i].text == "sin" and after in ("and", "of", "is"))

    def mention(self, i: int) -> None:
        element = self.elements[i]
        kinds = {cue.kind for cue in element.cues}
        if self.state == "shut":
            return
        if self.state == "tail" and (
            not self.link or (self.link == "and" and not kinds & self.denied)
        ):
            self.shut()
            return
        following = self.elements[i + 1] if i + 1 < len(self.elements) else None
        named = "instruments" in kinds
        if named and _comes_later(self.elements, i):
            element.cues = ()
        elif self.noun and not named and following is not None and following.has("instruments"):
            element.cues = ()  # "no heavy drums" is about drums
            return
        element.negated = True
        self.state, self.link, self.denied = "tail", "", kinds


def _mark_negations(elements: list[Element]) -> None:
    scope = _Negation(elements)
    for i, element in enumerate(elements):
        if element.cues:
            scope.mention(i)
        elif element.breaks:
            scope.sign(i)
        else:
            scope.word(i)
            last = elements[i - 1] if i else None
            if element.text in words.REFUSED and last is not None and last.has("instruments"):
                last.negated = True  # "drum-free", "drums off"


def read_elements(text: str) -> list[Element]:
    """The cleaned `text` in elements, each with its degree and whether it is denied."""
    elements = _cut(text)
    _mark_degrees(elements)
    _mark_negations(elements)
    return elements
