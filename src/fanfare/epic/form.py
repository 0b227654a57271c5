"""The form of a piece: intensity bar by bar, and what each part of it is for.

A short piece is one gesture. A rise of five minutes is no rise, and five minutes at one intensity
are tiring: past LONG_FRAMES a piece is built of sections, each some phrases long, each with its own
intensity. Whoever asks for a form by the names of its parts gets those, however short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from fanfare.epic.attributes import Form
from fanfare.epic.score import FRAME_RATE_HZ, Brief, Part, Section

LONG_FRAMES = 40 * FRAME_RATE_HZ
REPEATED_FRAMES = 20 * FRAME_RATE_HZ
"""Length of the sections of a form without a direction."""
RELIEF = 0.25
"""By how much its third section of four steps back: to be noticed, and less than 2 dB."""


@dataclass(frozen=True)
class Stretch:
    """A part of the whole: `share` of its length, intensity from `start` to `end` of its range."""

    share: float
    start: float
    end: float
    name: Part


BUILD = (
    Stretch(0.12, 0.0, 0.1, "intro"),
    Stretch(0.30, 0.1, 0.85, "build"),
    Stretch(0.16, 0.85, 0.85, "climax"),
    Stretch(0.12, 0.3, 0.3, "break"),
    Stretch(0.18, 0.3, 1.0, "build"),
    Stretch(0.12, 1.0, 1.0, "climax"),
)
_FALLING: dict[Part, Part] = {"intro": "outro", "build": "theme"}
FADE = tuple(
    Stretch(s.share, s.end, s.start, _FALLING.get(s.name, s.name)) for s in reversed(BUILD)
)
PARTS: dict[Part, Stretch] = {
    "intro": Stretch(1, 0.1, 0.2, "intro"),
    "theme": Stretch(2, 0.55, 0.6, "theme"),
    "build": Stretch(2, 0.3, 0.95, "build"),
    "climax": Stretch(2, 1.0, 1.0, "climax"),
    "break": Stretch(1, 0.15, 0.15, "break"),
    "outro": Stretch(1, 0.4, 0.0, "outro"),
}
"""What parts asked for by name are like; their shares are relative to one another."""


def shape(brief: Brief, n_bars: int) -> tuple[list[float], list[Part]]:
    """Intensity (0..3) and purpose of every bar."""
    top = float(brief.intensity)
    low = max(0.0, top - 2.0)
    if n_bars == 1:
        return [top], ["theme"]
    if brief.parts:
        return _stretched(_wanted(brief.parts), low, top, n_bars, phrase=1)
    if (n_bars - 1) * brief.frames_per_bar >= LONG_FRAMES:
        if brief.form in ("build", "fade"):
            stretches = BUILD if brief.form == "build" else FADE
            levels, parts = _stretched(stretches, low, top, n_bars, _phrase(n_bars))
            if brief.form == "build":
                parts[-1] = "outro"
            return levels, parts
        return _level(brief.form, top, n_bars, brief.frames_per_bar)
    return _short(brief.form, low, top, n_bars)


def sections_of(parts: Sequence[Part], bar: int, n_frames: int) -> list[Section]:
    """Bars of the same purpose, side by side, as sections."""
    made: list[Section] = []
    at = 0
    for name, run in groupby(parts):
        start, at = at, at + len(list(run))
        made.append(Section(start * bar, min(at * bar, n_frames), name))
    return made


def _short(form: Form, low: float, top: float, n_bars: int) -> tuple[list[float], list[Part]]:
    """One gesture."""
    rise = [low + (top - low) * i / (n_bars - 1) for i in range(n_bars)]
    ends = int(n_bars >= 3)
    parts: list[Part] = []
    if form == "build":
        n_intro, n_climax = n_bars // 5, max(1, (n_bars - 1) // 4)
        parts += ["intro"] * n_intro
        parts += ["build"] * (n_bars - ends - n_intro - n_climax)
        parts += ["climax"] * n_climax
        parts += ["outro"] * ends
        return rise, parts
    if form == "fade":
        n_climax, n_outro = max(1, n_bars // 3), max(1, n_bars // 4)
        parts += ["climax"] * n_climax
        parts += ["theme"] * (n_bars - n_climax - n_outro)
        parts += ["outro"] * n_outro
        return rise[::-1], parts
    if form == "hit":
        parts += ["climax"] * n_bars
        return [top if i % 2 == 0 else max(0.0, top - 0.5) for i in range(n_bars)], parts
    parts += ["theme"] * (n_bars - ends)
    parts += ["outro"] * ends
    return [top] * n_bars, parts


def _level(form: Form, top: float, n_bars: int, bar: int) -> tuple[list[float], list[Part]]:
    """ "steady" and "hit" stay within RELIEF of the top; a hit's every other bar is softer."""
    phrase = _phrase(n_bars)
    per_section = max(phrase, round(REPEATED_FRAMES / bar / phrase) * phrase)
    cycle: tuple[Part, ...] = ("theme", "theme", "break", "climax")
    levels, parts = [], []
    for i in range(n_bars):
        turn = i // per_section % 4
        level = top - (RELIEF if turn == 2 else 0.0)
        levels.append(max(0.0, level - (0.5 if form == "hit" and i % 2 else 0.0)))
        parts.append("climax" if form == "hit" else cycle[turn])
    if form == "steady":
        parts[-1] = "outro"
    return levels, parts


def _stretched(
    stretches: Sequence[Stretch], low: float, top: float, n_bars: int, phrase: int
) -> tuple[list[float], list[Part]]:
    """Levels that lead somewhere; sections begin with a phrase."""
    levels: list[float] = []
    parts: list[Part] = []
    for stretch, share in zip(stretches, accumulate(s.share for s in stretches), strict=True):
        is_last = stretch is stretches[-1]
        stop = n_bars if is_last else round(share * n_bars / phrase) * phrase
        length = stop - len(levels)
        for i in range(length):
            height = stretch.start + (stretch.end - stretch.start) * i / length
            levels.append(low + (top - low) * height)
        parts += [stretch.name] * length
    return levels, parts


def _wanted(parts: Sequence[tuple[Part, float]]) -> list[Stretch]:
    """The parts asked for, with weights of their own (0 = as usual), as shares of one."""
    weights = [weight or PARTS[name].share for name, weight in parts]
    made = []
    for (name, _), weight in zip(parts, weights, strict=True):
        usual = PARTS[name]
        made.append(Stretch(weight / sum(weights), usual.start, usual.end, name))
    return made


def _phrase(n_bars: int) -> int:
    """Bars of a phrase; slow pieces have few bars to divide."""
    return 4 if n_bars >= 24 else 2
