"""What a piece of epic-mini is asked to be: the words between a prompt and a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["minor", "major"]
Mood = Literal[
    "heroic", "adventurous", "dark", "tense", "sad", "calm", "hopeful", "mysterious", "romantic"
]
Form = Literal["steady", "build", "fade", "hit"]

MODES: tuple[Mode, ...] = ("minor", "major")
MOODS: tuple[Mood, ...] = (
    "heroic", "adventurous", "dark", "tense", "sad", "calm", "hopeful", "mysterious", "romantic",
)  # fmt: skip
FORMS: tuple[Form, ...] = ("steady", "build", "fade", "hit")

KEY_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

PITCHED = (
    "piano", "celesta", "glockenspiel", "bells", "organ", "guitar", "violin", "cello",
    "contrabass", "tremolo", "pizzicato", "harp", "strings", "choir", "trumpet", "trombone",
    "horn", "brass", "oboe", "clarinet", "flute", "pad",
)  # fmt: skip
"""Pitched instruments: "strings", "choir" and "brass" are sections; "tremolo" and "pizzicato" are
string sections played so; "bells" are tubular bells; "pad" is a warm synthesiser."""

PERCUSSION = ("taiko", "timpani", "snare", "cymbals")
INSTRUMENTS = PITCHED + PERCUSSION

MIN_BPM, MAX_BPM = 60.0, 166.0
MAX_INTENSITY = 3


@dataclass(frozen=True)
class Attributes:
    """What a prompt says of a piece; None (or empty) where it leaves the matter open.

    Attributes:
        bpm: quarter notes a minute, within [MIN_BPM, MAX_BPM].
        key: tonic as a pitch class, 0 = C … 11 = B.
        mode: minor or major.
        mood: one of MOODS.
        intensity: 0 very quiet, 1 gentle, 2 strong, 3 full force.
        form: steady; build (rises to a climax); fade (calms down); hit (pauses, then strikes).
        meter: beats a bar, 3 or 4.
        instruments: those named, each of INSTRUMENTS.
        only: nothing but the named instruments ("solo harp", "just strings").
        without: instruments that must not play ("no drums").
    """

    bpm: float | None = None
    key: int | None = None
    mode: Mode | None = None
    mood: Mood | None = None
    intensity: int | None = None
    form: Form | None = None
    meter: int | None = None
    instruments: tuple[str, ...] = ()
    only: bool = False
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.bpm is None or MIN_BPM <= self.bpm <= MAX_BPM, self.bpm
        assert self.key is None or 0 <= self.key < 12, self.key
        assert self.intensity is None or 0 <= self.intensity <= MAX_INTENSITY, self.intensity
        assert self.meter in (None, 3, 4), self.meter
        unknown = set(self.instruments + self.without) - set(INSTRUMENTS)
        assert not unknown, unknown
