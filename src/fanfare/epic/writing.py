"""Writer: what all who write parts of one score share."""

from __future__ import annotations

import random
from collections.abc import Sequence

from fanfare.epic.attributes import MAX_INTENSITY
from fanfare.epic.harmony import fold
from fanfare.epic.palette import CHARACTERS, VOICES
from fanfare.epic.score import Articulation, Chord, Note, Part, Role, Score

SHORT_BARS = 12
"""Up to so many bars there is no time for players to wait their turn."""


class Writer:
    """Adds notes to one score; `last_start` is the frame at which the held ending begins."""

    def __init__(self, score: Score, parts: Sequence[Part], seed: str, last_start: int) -> None:
        self.score, self.parts, self.seed = score, parts, seed
        self.brief, self.last_start = score.brief, last_start
        self.bar, self.beat = score.frames_per_bar, score.brief.frames_per_beat
        self.n_bars = len(score.levels)
        self.legato = CHARACTERS[score.brief.mood].legato
        self.rng = random.Random(seed)

    def for_part(self, name: str) -> random.Random:
        """A generator for one part: what others draw leaves it alone."""
        return random.Random(f"{self.seed} {name}")

    def at(self, bar_index: int, beats: float) -> int:
        """Frame of a place in a bar, rounded to the grid."""
        return bar_index * self.bar + round(beats * self.beat)

    def chord_at(self, frame: int) -> Chord:
        """The chord at `frame`."""
        return self.score.chord_at(frame)

    def part_at(self, frame: int) -> Part:
        """Which part of the form `frame` is in."""
        return self.parts[min(frame // self.bar, self.n_bars - 1)]

    @property
    def is_short(self) -> bool:
        """Whether everyone has to come in soon."""
        return self.n_bars <= SHORT_BARS

    def waits(self, index: int, frame: int) -> bool:
        """Whether the `index`-th player of a role keeps still at `frame`, for contrast."""
        if index == 0 or self.is_short:
            return False
        name = self.part_at(frame)
        if name in ("intro", "break"):
            return True
        return index >= 2 and self.score.level_at(frame) < min(2.4, self.brief.intensity)

    def add(
        self,
        start: int,
        length: int,
        pitch: int,
        strength: float,
        role: Role,
        name: str,
        articulation: Articulation = "normal",
    ) -> None:
        """Adds a note; `strength` scales the velocity that the bar's level asks for."""
        if start >= self.score.n_frames or length <= 0 or start < 0:
            return
        voice = VOICES.get(name)
        if voice is not None:
            pitch = fold(pitch, voice.low, voice.high)
        level = min(self.score.level_at(start), float(MAX_INTENSITY))
        velocity = (0.36 + 0.19 * level) * strength * self.rng.uniform(0.94, 1.06)
        length = min(length, self.score.n_frames - start)
        velocity = min(max(velocity, 0.15), 1.0)
        self.score.notes.append(Note(start, length, pitch, velocity, role, name, articulation))
