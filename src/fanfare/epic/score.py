"""A piece as notes on the codec's frame grid.

Time is counted in frames of 20 ms, and a quarter note is a whole number of them, so that the beat
falls on the grid that the language model works on (25 frames = 120 bpm).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fanfare.epic.attributes import Form, Mode, Mood

FRAME_RATE_HZ = 50
Role = Literal["pad", "bass", "melody", "arp", "drum"]
Quality = Literal["maj", "min", "dim"]
TRIADS: dict[Quality, tuple[int, int, int]] = {"maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6)}

DRUMS = ("taiko_low", "taiko_high", "timpani", "snare", "cymbals", "boom")
"""Strokes that a drum part plays; `boom` is the deep hit of a concert bass drum."""


@dataclass(frozen=True)
class Note:
    """One note: `start` and `length` in frames, `pitch` as a MIDI number, `velocity` in 0..1."""

    start: int
    length: int
    pitch: int
    velocity: float
    role: Role
    instrument: str


@dataclass(frozen=True)
class Chord:
    """A triad sounding from frame `start` up to `end`; `root` is a pitch class."""

    start: int
    end: int
    root: int
    quality: Quality

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The triad's three pitch classes, root first."""
        return tuple((self.root + i) % 12 for i in TRIADS[self.quality])


@dataclass(frozen=True)
class Ensemble:
    """Who plays what: instruments per role, and the drum strokes at hand."""

    pad: tuple[str, ...] = ()
    bass: tuple[str, ...] = ()
    melody: tuple[str, ...] = ()
    arp: tuple[str, ...] = ()
    drums: tuple[str, ...] = ()

    @property
    def pitched(self) -> tuple[str, ...]:
        """Every pitched instrument that plays, each once, in order of role."""
        return tuple(dict.fromkeys(self.pad + self.bass + self.melody + self.arp))


@dataclass(frozen=True)
class Brief:
    """Everything a piece is asked to be, with nothing left open.

    Attributes:
        frames_per_beat: length of a quarter note in frames; bpm = 3000 / frames_per_beat.
        key: tonic as a pitch class.
        meter: beats a bar.
        intensity: 0 very quiet … 3 full force, at the piece's height.
        pulse: whether the beat is to be heard throughout, since somebody asked for that tempo.
    """

    frames_per_beat: int
    key: int
    mode: Mode
    mood: Mood
    intensity: int
    form: Form
    meter: int
    ensemble: Ensemble
    pulse: bool = False

    @property
    def bpm(self) -> float:
        """Quarter notes a minute."""
        return 60.0 * FRAME_RATE_HZ / self.frames_per_beat


@dataclass
class Score:
    """A composed piece.

    Attributes:
        brief: what it was composed from.
        n_frames: its length.
        levels: intensity (0..3, fractional) bar by bar.
        chords: in order, without gaps, from frame 0 to `n_frames`.
        notes: in order of their start.
    """

    brief: Brief
    n_frames: int
    levels: list[float]
    chords: list[Chord]
    notes: list[Note] = field(default_factory=list)

    @property
    def frames_per_bar(self) -> int:
        """Length of a bar in frames."""
        return self.brief.frames_per_beat * self.brief.meter

    def level_at(self, frame: int) -> float:
        """Intensity of the bar that holds `frame`."""
        return self.levels[min(frame // self.frames_per_bar, len(self.levels) - 1)]
