"""The form of a long piece: sections, each some phrases long, each with its own intensity.

A rise of five minutes is no rise, and five minutes at one intensity are tiring: past LONG_FRAMES a
piece is built of sections. Pieces for which one gesture is enough are shaped in `compose`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fanfare.epic.attributes import Form
from fanfare.epic.score import FRAME_RATE_HZ

LONG_FRAMES = 40 * FRAME_RATE_HZ
REPEATED_FRAMES = 20 * FRAME_RATE_HZ
"""Length of the sections of a form without a direction."""
RELIEF = 0.25
"""By how much its third section of four steps back: to be noticed, and less than 2 dB."""


@dataclass(frozen=True)
class Section:
    """A part of the whole: `share` of its length, intensity from `start` to `end` of its range."""

    share: float
    start: float
    end: float


BUILD = (
    Section(0.12, 0.0, 0.1),  # intro
    Section(0.30, 0.1, 0.85),  # rise
    Section(0.16, 0.85, 0.85),  # climax
    Section(0.12, 0.3, 0.3),  # calm
    Section(0.18, 0.3, 1.0),  # second rise
    Section(0.12, 1.0, 1.0),  # final
)
FADE = tuple(Section(s.share, s.end, s.start) for s in reversed(BUILD))


def long_form_levels(form: Form, low: float, top: float, n_bars: int, bar: int) -> list[float]:
    """Intensity bar by bar, within `low` … `top`, of a piece of `n_bars` bars of `bar` frames.

    "steady" and "hit" stay within RELIEF of the top; a hit's every other bar is half a step lower.
    """
    if form in ("build", "fade"):
        return _directed(BUILD if form == "build" else FADE, low, top, n_bars)
    phrase = _phrase(n_bars)
    per_section = max(phrase, round(REPEATED_FRAMES / bar / phrase) * phrase)
    levels = []
    for i in range(n_bars):
        level = top - (RELIEF if i // per_section % 4 == 2 else 0.0)
        levels.append(max(0.0, level - (0.5 if form == "hit" and i % 2 else 0.0)))
    return levels


def _directed(sections: tuple[Section, ...], low: float, top: float, n_bars: int) -> list[float]:
    """Levels that lead somewhere; sections begin with a phrase."""
    phrase = _phrase(n_bars)
    levels: list[float] = []
    share = 0.0
    for section in sections:
        share += section.share
        is_last = section is sections[-1]
        stop = n_bars if is_last else round(share * n_bars / phrase) * phrase
        length = stop - len(levels)
        for i in range(length):
            height = section.start + (section.end - section.start) * i / length
            levels.append(low + (top - low) * height)
    return levels


def _phrase(n_bars: int) -> int:
    """Bars of a phrase; slow pieces have few bars to divide."""
    return 4 if n_bars >= 24 else 2
