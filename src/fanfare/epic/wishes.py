"""Random attributes such as prompts give: what pieces to train on, and to evaluate with, are asked.

Much is left open, as in real prompts; rare instruments and metres come up more often than there.
"""

from __future__ import annotations

import random

from fanfare.epic.attributes import (
    EFFECTS,
    FORMS,
    INSTRUMENTS,
    MODE_OF,
    MODES,
    MOODS,
    PERCUSSION,
    PITCHED,
    SCALES,
    Attributes,
    Mode,
    Scale,
    Texture,
)

PLAIN: tuple[Scale, ...] = ("aeolian", "ionian")


def wish(rng: random.Random) -> Attributes:
    """One wish. Keys are left open by half, so that all twelve come up alike."""

    def maybe(p: float) -> bool:
        return rng.random() < p

    named = _named(rng) if maybe(0.65) else ()
    pitched = any(name in PITCHED for name in named)
    only = pitched and not set(named) & {*PERCUSSION, *EFFECTS} and maybe(0.35)
    mode: Mode | None = rng.choice(MODES) if maybe(0.5) else None
    scale = _scale(mode, rng) if mode is not None and maybe(0.2) else None
    bpm = float(rng.randrange(60, 167)) if maybe(0.55) else None
    meter = rng.choice((3, 3, 4, 6)) if maybe(0.25) else None
    if meter == 6 and bpm is not None:
        bpm = float(rng.randrange(60, 112))
    texture: Texture | None = None
    if not only and not named and maybe(0.25):
        texture = rng.choice(("chamber", "full"))
    return Attributes(
        bpm=bpm,
        key=rng.randrange(12) if mode is not None and maybe(0.7) else None,
        mode=mode,
        mood=rng.choice(MOODS) if maybe(0.9) else None,
        intensity=rng.randrange(4) if maybe(0.4) else None,
        form=rng.choice(FORMS) if maybe(0.35) else None,
        meter=meter,
        instruments=named,
        only=only,
        without=PERCUSSION if not set(named) & set(PERCUSSION) and maybe(0.08) else (),
        scale=scale,
        texture=texture,
    )


def _named(rng: random.Random) -> tuple[str, ...]:
    """One to four instruments; effects now and then."""
    names = rng.sample(PITCHED + PERCUSSION, rng.choice((1, 1, 2, 2, 3, 4)))
    if rng.random() < 0.12:
        names[-1] = rng.choice(EFFECTS)
    return tuple(name for name in INSTRUMENTS if name in names)


def _scale(mode: Mode, rng: random.Random) -> Scale | None:
    options = [scale for scale in SCALES if MODE_OF[scale] == mode and scale not in PLAIN]
    return rng.choice(options)
