"""Attributes → a prompt, in many wordings: for evaluation, seeded."""

from __future__ import annotations

import random

from fanfare.epic.attributes import KEY_NAMES, Attributes

MOOD_WORDS = {
    "heroic": ("heroic", "triumphant", "victorious", "valiant"),
    "adventurous": ("adventurous", "swashbuckling", "daring"),
    "dark": ("dark", "ominous", "sinister", "menacing"),
    "tense": ("tense", "suspenseful", "nervous"),
    "sad": ("sad", "mournful", "sorrowful", "melancholic"),
    "calm": ("calm", "peaceful", "serene", "tranquil"),
    "hopeful": ("hopeful", "uplifting", "inspiring", "optimistic"),
    "mysterious": ("mysterious", "enigmatic", "mystical"),
    "romantic": ("romantic", "tender", "loving"),
}
INTENSITY_WORDS = (
    ("very quiet", "barely audible", "whisper-quiet"),
    ("gentle", "soft", "restrained"),
    ("strong", "powerful", "bold"),
    ("massive", "thunderous", "full force"),
)
FORM_WORDS = {
    "steady": ("steady throughout", "a constant level"),
    "build": ("building to a climax", "with a long crescendo", "rising all the way"),
    "fade": ("slowly fading out", "dying away at the end", "calming down"),
    "hit": ("with hard stabs", "stop-start hits"),
}
INSTRUMENT_WORDS = {
    "bells": ("tubular bells",), "brass": ("brass", "brass section"), "cello": ("cello",),
    "choir": ("choir", "wordless choir"), "contrabass": ("double bass",),
    "cymbals": ("cymbals", "crash cymbals"), "guitar": ("acoustic guitar",),
    "horn": ("french horns", "horns"), "organ": ("church organ", "pipe organ"),
    "pad": ("synth pad", "warm synthesizer pad"), "pizzicato": ("pizzicato strings",),
    "snare": ("snare drum", "military snare"), "strings": ("strings", "string section"),
    "taiko": ("taiko drums", "pounding taiko"), "tremolo": ("tremolo strings",),
    "violin": ("solo violin line", "violin"),
}  # fmt: skip


def caption(wanted: Attributes, rng: random.Random) -> str:
    """A prompt that asks for what `wanted` says, and for nothing else."""
    parts: list[str] = []
    head = []
    if wanted.intensity is not None:
        head.append(rng.choice(INTENSITY_WORDS[wanted.intensity]))
    if wanted.mood is not None:
        head.append(rng.choice(MOOD_WORDS[wanted.mood]))
    rng.shuffle(head)
    names = [rng.choice(INSTRUMENT_WORDS.get(name, (name,))) for name in wanted.instruments]
    players = _listed(names)
    if wanted.only and names:
        parts.append(f"{', '.join(head)} music, only {players}" if head else f"only {players}")
    elif names:
        joint = rng.choice((" music with ", " piece for ", " cue, "))
        parts.append((", ".join(head) or "cinematic") + joint + players)
    else:
        parts.append((", ".join(head) or "cinematic") + rng.choice((" music", " score", " theme")))
    details = _details(wanted, rng)
    rng.shuffle(details)
    return ", ".join(parts + details)


def _details(wanted: Attributes, rng: random.Random) -> list[str]:
    details: list[str] = []
    if wanted.bpm is not None:
        bpm = round(wanted.bpm)
        details.append(rng.choice((f"{bpm} bpm", f"at {bpm} BPM", f"tempo {bpm}")))
    if wanted.key is not None and wanted.mode is not None:
        details.append(f"in {KEY_NAMES[wanted.key]} {wanted.mode}")
    elif wanted.mode is not None:
        details.append(f"in a {wanted.mode} key")
    if wanted.form is not None:
        details.append(rng.choice(FORM_WORDS[wanted.form]))
    if wanted.meter == 3:
        details.append(rng.choice(("in 3/4", "in waltz time")))
    if wanted.without:
        details.append("no drums")
    return details


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]
