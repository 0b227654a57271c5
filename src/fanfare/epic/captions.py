"""Attributes → a prompt, in many wordings: to train on and to evaluate with, seeded.

From two words to two sentences, tags or prose, shuffled, nine tenths in English.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from fanfare.epic import caption_words as words
from fanfare.epic.attributes import KEY_NAMES, PERCUSSION, Attributes
from fanfare.epic.caption_words import Language

FLATS = {1: "Db", 3: "Eb", 6: "Gb", 8: "Ab", 10: "Bb"}
FOREIGN: tuple[Language, ...] = ("de", "fr", "es")
FOREIGN_SHARE = 0.1


def caption(wanted: Attributes, rng: random.Random, language: Language | None = None) -> str:
    """A prompt that asks for what `wanted` says, and for nothing else."""
    spoken: Language = "en"
    if language is not None:
        spoken = language
    elif rng.random() < FOREIGN_SHARE:
        spoken = rng.choice(FOREIGN)
    if spoken != "en":
        return _foreign(wanted, rng, spoken)
    styles: tuple[Callable[[Attributes, random.Random], str], ...] = (
        _phrase, _phrase, _tags, _sentences,
    )  # fmt: skip
    text = rng.choice(styles)(wanted, rng)
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:]
    return text


def _phrase(wanted: Attributes, rng: random.Random) -> str:
    """ "dark, massive music with brass and choir, 90 bpm, in D minor"."""
    head = _adjectives(wanted, rng)
    parts = [_subject(wanted, head, rng)]
    details = _details(wanted, rng)
    rng.shuffle(details)
    return ", ".join(parts + details)


def _tags(wanted: Attributes, rng: random.Random) -> str:
    """Everything as tags, in any order."""
    players = _players(wanted, rng)
    tags = _adjectives(wanted, rng) + _details(wanted, rng)
    if wanted.only and players:
        tags.append(rng.choice(words.ONLY["en"][:3]).format(_listed(players)))
    else:
        tags += players
    if not tags or rng.random() < 0.3:
        tags.append(rng.choice(words.NOUNS["en"]))
    rng.shuffle(tags)
    return ", ".join(tags)


def _sentences(wanted: Attributes, rng: random.Random) -> str:
    """One or two sentences."""
    openings = ("A", "Write a", "Compose a", "Please make a", "I need a", "This is a")
    opening = rng.choice(openings)
    head = _adjectives(wanted, rng)
    subject = _subject(wanted, head, rng)
    if subject[0] in "aeiou" and not subject.startswith("one"):
        opening += "n"
    noun = "" if _has_noun(subject) else " piece"
    details = _details(wanted, rng, form=False)
    rng.shuffle(details)
    text = f"{opening} {subject}{noun}"
    if details:
        text += ", " + ", ".join(details)
    text += "."
    if wanted.form is not None:
        text += " " + _form(words.FORM_SENTENCES[wanted.form], wanted, rng)
    return text


def _has_noun(subject: str) -> bool:
    return any(noun in subject for noun in (*words.NOUNS["en"], "solo"))


def _adjectives(wanted: Attributes, rng: random.Random) -> list[str]:
    made = []
    if wanted.intensity is not None:
        made.append(rng.choice(words.FORCE["en"][wanted.intensity]))
    if wanted.mood is not None:
        made.append(rng.choice(words.MOODS["en"][wanted.mood]))
    rng.shuffle(made)
    return made


def _subject(wanted: Attributes, head: Sequence[str], rng: random.Random) -> str:
    """What kind of music, and who plays it."""
    described = ", ".join(head) if rng.random() < 0.7 else " ".join(head)
    described = described or rng.choice(("cinematic", "filmic", "new"))
    noun = rng.choice(words.NOUNS["en"])
    players = _players(wanted, rng)
    if not players:
        return f"{described} {noun}"
    if wanted.only:
        alone = rng.choice(words.ONLY["en"][:3]).format(_listed(players))
        return f"{described} {noun}, {alone}"
    return f"{described} {noun} {rng.choice(words.WITH['en'])} {_listed(players)}"


def _players(wanted: Attributes, rng: random.Random) -> list[str]:
    return [rng.choice(words.PLAYERS.get(name, (name,))) for name in wanted.instruments]


def _details(wanted: Attributes, rng: random.Random, *, form: bool = True) -> list[str]:
    made: list[str] = []
    if wanted.bpm is not None:
        bpm = round(wanted.bpm)
        options = (
            f"{bpm} bpm", f"at {bpm} BPM", f"tempo {bpm}", f"{bpm} beats per minute",
            f"around {bpm} bpm", f"tempo: {bpm} bpm",
        )  # fmt: skip
        made.append(rng.choice(options))
    if key := _key(wanted, rng):
        made.append(key)
    if wanted.form is not None and form:
        made.append(_form(words.FORMS["en"][wanted.form], wanted, rng))
    if wanted.meter is not None and (wanted.meter != 4 or rng.random() < 0.15):
        made.append(rng.choice(words.METRES["en"][wanted.meter]))
    if wanted.without:
        made += _without(wanted, rng)
    if wanted.texture is not None and words.TEXTURES[wanted.texture]:
        made.append(rng.choice(words.TEXTURES[wanted.texture]))
    return made


def _form(options: Sequence[str], wanted: Attributes, rng: random.Random) -> str:
    """Words for the form; none that say how loud it gets where that is said already."""
    if wanted.intensity is not None:
        loud = ("quiet", "thunderous", "huge", "silence")
        options = [text for text in options if not any(word in text for word in loud)]
    return rng.choice(options)


def _without(wanted: Attributes, rng: random.Random) -> list[str]:
    if set(PERCUSSION[:4]) <= set(wanted.without):
        return [rng.choice(words.NO_DRUMS["en"])]
    return [f"no {words.PLAYERS.get(name, (name,))[0]}" for name in wanted.without]


def _key(wanted: Attributes, rng: random.Random) -> str:
    """The key and the scale, as far as they are wanted."""
    kind = {"harmonic": "harmonic minor", "aeolian": "minor", "ionian": "major"}
    scale = kind.get(wanted.scale, wanted.scale) if wanted.scale else wanted.mode
    if wanted.key is None:
        return f"in a {scale} key" if scale and wanted.scale is None else scale or ""
    name = KEY_NAMES[wanted.key]
    if wanted.key in FLATS and rng.random() < 0.5:
        name = FLATS[wanted.key]
    if scale is None:
        return f"in the key of {name}"
    options = [f"in {name} {scale}", f"{name} {scale}", f"key of {name} {scale}"]
    if wanted.scale is None and wanted.mode == "minor":
        options.append(f"{name}m")
    return rng.choice(options)


def _foreign(wanted: Attributes, rng: random.Random, language: Language) -> str:
    """The same in German, French or Spanish; what there are no words for stays English."""
    said = []
    if wanted.intensity is not None:
        said.append(rng.choice(words.FORCE[language][wanted.intensity]))
    if wanted.mood is not None:
        said.append(rng.choice(words.MOODS[language][wanted.mood]))
    noun = rng.choice(words.NOUNS[language])
    joined = ", ".join(said)
    subject = f"{joined} {noun}" if language == "de" else f"{noun} {joined}".strip()
    own = words.FOREIGN_PLAYERS[language]
    players = [
        own.get(name) or rng.choice(words.PLAYERS.get(name, (name,))) for name in wanted.instruments
    ]
    details = _foreign_details(wanted, rng, language)
    rng.shuffle(details)
    listed = _listed(players, words.AND[language])
    if players and wanted.only:
        subject += ", " + rng.choice(words.ONLY[language]).format(listed)
    elif players:
        subject += f" {rng.choice(words.WITH[language])} {listed}"
    return ", ".join([subject.strip(), *details])


def _foreign_details(wanted: Attributes, rng: random.Random, language: Language) -> list[str]:
    made: list[str] = []
    if wanted.bpm is not None:
        made.append(f"{round(wanted.bpm)} bpm")
    if wanted.scale is None and wanted.mode is not None and wanted.key is not None:
        minor = wanted.mode == "minor"
        if language == "de":
            note = words.GERMAN_NOTES[wanted.key]
            made.append(f"{note.lower()}-Moll" if minor else f"{note}-Dur")
        elif language == "fr":
            made.append(f"en {words.SOLFEGE[wanted.key]} {'mineur' if minor else 'majeur'}")
        else:
            made.append(f"en {words.SPANISH_NOTES[wanted.key]} {'menor' if minor else 'mayor'}")
    elif key := _key(wanted, rng):
        made.append(key)
    if wanted.form is not None:
        made.append(rng.choice(words.FORMS[language][wanted.form]))
    if wanted.meter is not None and (wanted.meter != 4 or rng.random() < 0.15):
        made.append(rng.choice(words.METRES[language][wanted.meter]))
    if wanted.without:
        every = set(PERCUSSION[:4]) <= set(wanted.without)
        made += [rng.choice(words.NO_DRUMS[language])] if every else _without(wanted, rng)
    if wanted.texture is not None and words.TEXTURES[wanted.texture]:
        made.append(rng.choice(words.TEXTURES[wanted.texture]))
    return made


def _listed(names: Sequence[str], joint: str = "and") -> str:
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + f" {joint} " + names[-1]
