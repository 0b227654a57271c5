"""What the composer knows of moods and instruments: tables, no logic."""

from __future__ import annotations

from dataclasses import dataclass

from fanfare.epic.attributes import Form, Mood
from fanfare.epic.score import Role


@dataclass(frozen=True)
class Character:
    """What a mood leans to where the prompt leaves things open.

    Attributes:
        bpm: range of tempi.
        minor: probability of the minor mode.
        intensities: levels to draw from.
        forms: forms to draw from.
        pad, bass, melody, arp: instruments to draw from, per role.
        drums: probability that drums play at all.
        legato: 0 = short, busy notes … 1 = long ones.
    """

    bpm: tuple[float, float]
    minor: float
    intensities: tuple[int, ...]
    forms: tuple[Form, ...]
    pad: tuple[str, ...]
    bass: tuple[str, ...]
    melody: tuple[str, ...]
    arp: tuple[str, ...]
    drums: float
    legato: float


CHARACTERS: dict[Mood, Character] = {
    "heroic": Character(
        (96, 150), 0.5, (2, 3, 3), ("steady", "build", "steady", "hit"),
        ("strings", "brass", "choir", "horn"), ("contrabass", "trombone"),
        ("horn", "trumpet", "brass", "trombone"), ("strings", "strings", "cello"), 0.95, 0.4,
    ),
    "adventurous": Character(
        (105, 155), 0.35, (2, 2, 3), ("steady", "build"),
        ("strings", "horn", "choir"), ("contrabass", "cello"),
        ("horn", "trumpet", "flute", "violin", "brass"), ("strings", "pizzicato", "harp"), 0.9, 0.3,
    ),
    "dark": Character(
        (62, 110), 1.0, (1, 2, 3), ("steady", "build", "hit"),
        ("choir", "tremolo", "strings", "organ", "brass"), ("contrabass", "trombone"),
        ("trombone", "cello", "horn", "choir"), ("cello", "strings", "piano"), 0.7, 0.7,
    ),
    "tense": Character(
        (84, 150), 1.0, (1, 2, 2, 3), ("build", "steady", "hit"),
        ("tremolo", "strings", "pad"), ("contrabass", "cello"),
        ("violin", "clarinet", "horn", "trombone"), ("strings", "pizzicato", "piano"), 0.75, 0.3,
    ),
    "sad": Character(
        (60, 84), 1.0, (0, 1, 1), ("steady", "fade", "build"),
        ("strings", "choir", "pad"), ("contrabass", "cello"),
        ("cello", "violin", "oboe", "piano", "clarinet"), ("piano", "harp", "guitar"), 0.05, 0.9,
    ),
    "calm": Character(
        (60, 88), 0.25, (0, 0, 1), ("steady", "steady", "fade"),
        ("strings", "pad", "choir"), ("cello", "contrabass"),
        ("flute", "oboe", "clarinet", "piano", "violin"), ("harp", "piano", "guitar", "celesta"),
        0.0, 0.9,
    ),
    "hopeful": Character(
        (76, 120), 0.1, (1, 2, 2), ("build", "build", "steady"),
        ("strings", "choir", "pad"), ("contrabass", "cello"),
        ("violin", "horn", "flute", "piano", "trumpet"), ("piano", "strings", "harp"), 0.5, 0.6,
    ),
    "mysterious": Character(
        (62, 104), 0.9, (0, 1, 1, 2), ("steady", "build", "fade"),
        ("tremolo", "pad", "choir", "strings"), ("contrabass", "cello"),
        ("clarinet", "oboe", "celesta", "flute", "bells"),
        ("celesta", "harp", "pizzicato", "glockenspiel"), 0.2, 0.6,
    ),
    "romantic": Character(
        (60, 96), 0.3, (0, 1, 2), ("steady", "build"),
        ("strings", "strings", "horn"), ("contrabass", "cello"),
        ("violin", "cello", "oboe", "piano", "clarinet"), ("harp", "piano", "guitar"), 0.05, 0.9,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Voice:
    """An instrument: General MIDI program (from 0), range, and the roles it can take, best first.

    Attributes:
        low, high: sounding range as MIDI pitches.
        gain: loudness correction of its samples, so that equal velocities balance.
        plucked: its notes decay by themselves.
    """

    program: int
    low: int
    high: int
    roles: tuple[Role, ...]
    gain: float = 1.0
    plucked: bool = False


VOICES: dict[str, Voice] = {
    "piano": Voice(0, 36, 96, ("arp", "melody", "bass"), 1.0, True),
    "celesta": Voice(8, 60, 103, ("arp", "melody"), 0.9, True),
    "glockenspiel": Voice(9, 72, 103, ("arp", "melody"), 0.7, True),
    "bells": Voice(14, 55, 79, ("melody", "arp"), 0.8, True),
    "organ": Voice(19, 36, 84, ("pad", "bass", "melody", "arp"), 0.7),
    "guitar": Voice(24, 40, 83, ("arp", "melody", "bass"), 1.0, True),
    "violin": Voice(40, 55, 98, ("melody", "counter", "arp")),
    "cello": Voice(42, 36, 74, ("melody", "bass", "counter", "arp")),
    "contrabass": Voice(43, 28, 55, ("bass", "melody"), 1.1),
    "tremolo": Voice(44, 40, 88, ("pad", "melody", "bass"), 0.9),
    "pizzicato": Voice(45, 40, 88, ("arp", "bass", "melody"), 1.1, True),
    "harp": Voice(46, 36, 98, ("arp", "melody", "bass"), 1.1, True),
    "strings": Voice(48, 36, 91, ("pad", "arp", "melody", "bass"), 0.95),
    "choir": Voice(52, 43, 79, ("pad", "melody"), 1.0),
    "trumpet": Voice(56, 54, 84, ("melody", "counter", "arp"), 0.9),
    "trombone": Voice(57, 36, 69, ("melody", "bass", "counter", "pad"), 0.95),
    "horn": Voice(60, 40, 77, ("melody", "pad", "counter"), 1.1),
    "brass": Voice(61, 40, 79, ("melody", "pad", "bass"), 0.85),
    "oboe": Voice(68, 58, 86, ("melody", "counter"), 0.85),
    "clarinet": Voice(71, 52, 88, ("melody", "counter", "arp"), 0.9),
    "flute": Voice(73, 60, 94, ("melody", "counter", "arp"), 1.0),
    "pad": Voice(89, 36, 84, ("pad", "bass"), 0.9),
    "viola": Voice(41, 48, 86, ("melody", "counter", "arp")),
    "tuba": Voice(58, 28, 58, ("bass", "melody"), 1.0),
    "english_horn": Voice(69, 52, 81, ("melody", "counter"), 0.9),
    "bassoon": Voice(70, 34, 72, ("melody", "counter", "bass", "arp"), 0.9),
    "piccolo": Voice(72, 74, 106, ("melody", "arp"), 0.75),
    "marimba": Voice(12, 45, 96, ("arp", "melody"), 1.0, True),
    "voices": Voice(53, 48, 84, ("melody", "pad"), 0.9),
    "synth_bass": Voice(38, 28, 60, ("bass", "arp"), 0.85, True),
}

DRUM_KIT = 48
"""Program of the orchestral kit in bank 128."""

STROKES: dict[str, tuple[int, int, int]] = {
    "taiko_low": (0, 116, 40),
    "taiko_high": (0, 116, 52),
    "timpani": (0, 47, 43),
    "snare": (128, DRUM_KIT, 38),
    "cymbals": (128, DRUM_KIT, 49),
    "boom": (128, DRUM_KIT, 36),
    "taiko_ensemble": (0, 116, 38),
    "taiko_rim": (128, DRUM_KIT, 37),
    "toms": (0, 117, 45),
    "tam_tam": (128, DRUM_KIT, 52),
    "cymbal_swell": (0, 119, 60),
    "shaker": (128, DRUM_KIT, 82),
    "anvil": (0, 113, 62),
}
"""Stroke → bank, program and key; timpani strokes are tuned to the chord's root instead."""

COUNTERS = ("cello", "horn", "viola", "bassoon", "clarinet", "english_horn", "trombone")
"""Who may play a counter-melody unasked."""
