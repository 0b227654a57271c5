"""What a piece of epic-mini is asked to be: the words between a prompt and a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["minor", "major"]
Mood = Literal[
    "heroic", "adventurous", "dark", "tense", "sad", "calm", "hopeful", "mysterious", "romantic"
]
Form = Literal["steady", "build", "fade", "hit"]

Scale = Literal["aeolian", "harmonic", "dorian", "phrygian", "ionian", "lydian", "mixolydian"]
"""The seven tones that a piece draws on; each is a kind of minor or of major."""
Texture = Literal["solo", "chamber", "full"]

MODES: tuple[Mode, ...] = ("minor", "major")
SCALES: dict[Scale, tuple[int, ...]] = {
    "aeolian": (0, 2, 3, 5, 7, 8, 10), "harmonic": (0, 2, 3, 5, 7, 8, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10), "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "ionian": (0, 2, 4, 5, 7, 9, 11), "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}  # fmt: skip
"""Semitones above the tonic."""
MODE_OF: dict[Scale, Mode] = {
    scale: "minor" if 3 in tones else "major" for scale, tones in SCALES.items()
}
TEXTURES: tuple[Texture, ...] = ("solo", "chamber", "full")
MOODS: tuple[Mood, ...] = (
    "heroic", "adventurous", "dark", "tense", "sad", "calm", "hopeful", "mysterious", "romantic",
)  # fmt: skip
FORMS: tuple[Form, ...] = ("steady", "build", "fade", "hit")

KEY_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

PITCHED = (
    "piano", "celesta", "glockenspiel", "bells", "organ", "guitar", "violin", "cello",
    "contrabass", "tremolo", "pizzicato", "harp", "strings", "choir", "trumpet", "trombone",
    "horn", "brass", "oboe", "clarinet", "flute", "pad",
    "viola", "tuba", "english_horn", "bassoon", "piccolo", "marimba", "voices", "synth_bass",
)  # fmt: skip
"""Pitched instruments: "strings", "choir" and "brass" are sections; "tremolo" and "pizzicato" are
string sections played so; "bells" are tubular bells; "pad" is a warm synthesiser; "voices" sing
wordless vowels, fewer and closer than the choir."""

PERCUSSION = ("taiko", "timpani", "snare", "cymbals", "toms", "tam_tam", "shaker", "anvil")
EFFECTS = ("braam", "riser", "impact", "sub_drop", "whoosh", "reverse")
"""Sounds of trailers: a blast of low brass, a rising noise, a hit, a falling sine, a rush of air, a
cymbal played backwards."""
INSTRUMENTS = PITCHED + PERCUSSION + EFFECTS

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
        meter: beats a bar, 3 or 4; 6 is 6/8, whose two beats have three parts each.
        instruments: those named, each of INSTRUMENTS.
        only: nothing but the named instruments ("solo harp", "just strings").
        without: instruments that must not play ("no drums").
        scale: one of SCALES; its kind of mode is `mode`.
        texture: one player or so; a few; everyone.
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
    scale: Scale | None = None
    texture: Texture | None = None

    def __post_init__(self) -> None:
        assert self.bpm is None or MIN_BPM <= self.bpm <= MAX_BPM, self.bpm
        assert self.key is None or 0 <= self.key < 12, self.key
        assert self.intensity is None or 0 <= self.intensity <= MAX_INTENSITY, self.intensity
        assert self.meter in (None, 3, 4, 6), self.meter
        assert self.scale is None or self.mode == MODE_OF[self.scale], (self.scale, self.mode)
        unknown = set(self.instruments + self.without) - set(INSTRUMENTS)
        assert not unknown, unknown
