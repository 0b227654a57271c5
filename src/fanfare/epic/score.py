"""A piece as notes on the codec's frame grid.

Time is counted in frames of 20 ms, and a beat is a whole number of them, so that the beat falls on
the grid that the language model works on (25 frames = 120 bpm).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from fanfare.epic.attributes import Form, Mode, Mood, Scale, Texture

FRAME_RATE_HZ = 50
Role = Literal["pad", "bass", "melody", "arp", "counter", "drum", "effect"]
Articulation = Literal["normal", "legato", "short", "accent", "tremolo"]
Part = Literal["intro", "theme", "build", "climax", "break", "outro"]
Triad = Literal["maj", "min", "dim"]
Quality = Literal[
    "maj", "min", "dim", "aug", "sus4", "sus2", "maj7", "min7", "dom7", "half7", "add9"
]
TRIADS: dict[Triad, tuple[int, int, int]] = {"maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6)}
CHORDS: dict[Quality, tuple[int, ...]] = {
    "maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6), "aug": (0, 4, 8), "sus4": (0, 5, 7),
    "sus2": (0, 2, 7), "maj7": (0, 4, 7, 11), "min7": (0, 3, 7, 10), "dom7": (0, 4, 7, 10),
    "half7": (0, 3, 6, 10), "add9": (0, 4, 7, 2),
}  # fmt: skip
"""Semitones above the root."""

DRUMS = (
    "taiko_low", "taiko_high", "timpani", "snare", "cymbals", "boom",
    "taiko_ensemble", "taiko_rim", "toms", "tam_tam", "cymbal_swell", "shaker", "anvil",
)  # fmt: skip
"""Strokes that a drum part plays. `boom` is the deep hit of a concert bass drum, `taiko_ensemble` a
row of players together, `taiko_rim` their sticks; `cymbal_swell` rises for as long as it lasts."""

Curve = tuple[tuple[int, float], ...]
"""Breakpoints (frame, gain): linear between them, held before and after."""


@dataclass(frozen=True)
class Note:
    """One note: `start` and `length` in frames, `pitch` as a MIDI number, `velocity` in 0..1.

    Attributes:
        articulation: how it is played.
        shift_ms: how much later than written a player comes in; what is planned stays on the grid.
    """

    start: int
    length: int
    pitch: int
    velocity: float
    role: Role
    instrument: str
    articulation: Articulation = "normal"
    shift_ms: float = 0.0


@dataclass(frozen=True)
class Chord:
    """A chord sounding from frame `start` up to `end`; `root` and `bass` are pitch classes.

    Attributes:
        bass: the lowest tone where that isn't the root.
    """

    start: int
    end: int
    root: int
    quality: Quality
    bass: int | None = None

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Its pitch classes, root first."""
        return tuple((self.root + i) % 12 for i in CHORDS[self.quality])

    @property
    def triad(self) -> Triad:
        """The plain triad that it is nearest to."""
        tones = CHORDS[self.quality]
        if 3 not in tones:
            return "maj"
        return "dim" if 6 in tones else "min"

    @property
    def triad_classes(self) -> tuple[int, ...]:
        """The pitch classes of that triad, root first."""
        return tuple((self.root + i) % 12 for i in TRIADS[self.triad])

    @property
    def plain(self) -> bool:
        """Whether all tones of its triad sound."""
        return set(self.triad_classes) <= set(self.pitch_classes)

    @property
    def low(self) -> int:
        """Pitch class of the bass."""
        return self.root if self.bass is None else self.bass


@dataclass(frozen=True)
class KeySpan:
    """A key from frame `start` up to `end`; `tonic` is a pitch class."""

    start: int
    end: int
    tonic: int
    scale: Scale


@dataclass(frozen=True)
class Section:
    """A part of the form, from frame `start` up to `end`."""

    start: int
    end: int
    name: Part


@dataclass(frozen=True)
class Ensemble:
    """Who plays what: instruments per role, and the drum strokes and effects at hand."""

    pad: tuple[str, ...] = ()
    bass: tuple[str, ...] = ()
    melody: tuple[str, ...] = ()
    arp: tuple[str, ...] = ()
    drums: tuple[str, ...] = ()
    counter: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()

    @property
    def pitched(self) -> tuple[str, ...]:
        """Every pitched instrument that plays, each once, in order of role."""
        return tuple(dict.fromkeys(self.pad + self.bass + self.melody + self.arp + self.counter))


@dataclass(frozen=True)
class Brief:
    """Everything a piece is asked to be, with nothing left open.

    Attributes:
        frames_per_beat: length of a beat in frames (a dotted quarter in 6/8, else a quarter);
            bpm = 3000 / frames_per_beat.
        key: tonic as a pitch class, at the beginning.
        meter: quarters a bar, 3 or 4; 6 is 6/8.
        intensity: 0 very quiet … 3 full force, at the piece's height.
        pulse: whether the beat is to be heard throughout, since somebody asked for that tempo.
        scale: the tones drawn on; None = what is usual for the mode.
        texture: how many play.
        lift: semitones by which the last climax lies higher than what came before.
        parts: the parts of the form that were asked for, each with its weight (0 = as usual).
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
    scale: Scale | None = None
    texture: Texture = "full"
    lift: int = 0
    parts: tuple[tuple[Part, float], ...] = ()

    @property
    def bpm(self) -> float:
        """Beats a minute."""
        return 60.0 * FRAME_RATE_HZ / self.frames_per_beat

    @property
    def beats_per_bar(self) -> int:
        """Beats that are felt in a bar."""
        return 2 if self.meter == 6 else self.meter

    @property
    def division(self) -> int:
        """Eighths of a beat: three in compound time, else two."""
        return 3 if self.meter == 6 else 2

    @property
    def frames_per_bar(self) -> int:
        """Length of a bar in frames."""
        return self.frames_per_beat * self.beats_per_bar

    @property
    def tones(self) -> Scale:
        """The scale, drawn or usual."""
        return self.scale or ("aeolian" if self.mode == "minor" else "ionian")


Span = TypeVar("Span", Chord, KeySpan, Section)


@dataclass
class Score:
    """A composed piece.

    Attributes:
        brief: what it was composed from.
        n_frames: its length.
        levels: intensity (0..3, fractional) bar by bar.
        chords: in order, without gaps, from frame 0 to `n_frames`.
        notes: in order of their start.
        keys: in order, without gaps; several where the piece modulates.
        sections: in order, without gaps.
        curves: by role, expression of what is sustained, as a factor on amplitude.
    """

    brief: Brief
    n_frames: int
    levels: list[float]
    chords: list[Chord]
    notes: list[Note] = field(default_factory=list)
    keys: list[KeySpan] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    curves: dict[Role, Curve] = field(default_factory=dict)

    @property
    def frames_per_bar(self) -> int:
        """Length of a bar in frames."""
        return self.brief.frames_per_bar

    def level_at(self, frame: int) -> float:
        """Intensity of the bar that holds `frame`."""
        return self.levels[min(frame // self.frames_per_bar, len(self.levels) - 1)]

    def chord_at(self, frame: int) -> Chord:
        """The chord that sounds at `frame`; the last one beyond the end."""
        return _at(self.chords, frame)

    def key_at(self, frame: int) -> KeySpan:
        """The key at `frame`."""
        if not self.keys:
            return KeySpan(0, self.n_frames, self.brief.key, self.brief.tones)
        return _at(self.keys, frame)

    def section_at(self, frame: int) -> Section:
        """The part of the form at `frame`."""
        if not self.sections:
            return Section(0, self.n_frames, "theme")
        return _at(self.sections, frame)

    def gain_at(self, role: Role, frame: int) -> float:
        """Expression of a role at `frame`, as a factor on amplitude."""
        curve = self.curves.get(role, ())
        if not curve:
            return 1.0
        i = bisect_right(curve, frame, key=lambda point: point[0])
        if i == 0:
            return curve[0][1]
        if i == len(curve):
            return curve[-1][1]
        (start, low), (end, high) = curve[i - 1], curve[i]
        return low + (high - low) * (frame - start) / (end - start)


def _at(spans: Sequence[Span], frame: int) -> Span:
    """The one of gapless spans in which `frame` lies; the first or last one outside."""
    i = bisect_right(spans, frame, key=lambda span: span.start) - 1
    return spans[min(max(i, 0), len(spans) - 1)]
