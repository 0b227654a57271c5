"""The training corpus: random wishes → scores, seeded and repeatable."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.brief import settle
from fanfare.epic.compose import compose
from fanfare.epic.player import Player
from fanfare.epic.score import Score
from fanfare.epic.wishes import wish

PIECE_FRAMES = 768
"""15.4 s."""


def piece(seed: int, n_frames: int = PIECE_FRAMES) -> Score:
    """The corpus's piece of that seed."""
    rng = random.Random(f"epic-mini {seed}")
    return compose(settle(wish(rng), rng), n_frames, rng)


def render_pieces(
    first: int, last: int, n_frames: int, player: Player
) -> Iterator[tuple[int, Score, NDArray[np.float32]]]:
    """Renders the pieces with seeds first … last-1, one after another: (seed, score, [N])."""
    for seed in range(first, last):
        score = piece(seed, n_frames)
        yield seed, score, player.render(score)
