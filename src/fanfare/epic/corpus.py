"""The training corpus: random attributes → scores → renders and plans, seeded and repeatable."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.attributes import FORMS, INSTRUMENTS, MODES, MOODS, PITCHED, Attributes
from fanfare.epic.brief import settle
from fanfare.epic.compose import compose
from fanfare.epic.plan import plan_of
from fanfare.epic.render import Renderer
from fanfare.epic.score import Score

PIECE_FRAMES = 768


@dataclass(frozen=True)
class Corpus:
    """Pieces in memory-mapped files: `wavs` int16 [pieces, N], `plans` float16 [pieces, T, F]."""

    wavs: NDArray[np.int16]
    plans: NDArray[np.float16]


def wish(rng: random.Random) -> Attributes:
    """Random attributes such as prompts give: much left open, unusual instruments named too."""

    def maybe(p: float) -> bool:
        return rng.random() < p

    named: list[str] = []
    if maybe(0.6):
        named = rng.sample(INSTRUMENTS, rng.choice((1, 1, 2, 2, 3)))
    pitched = [name for name in named if name in PITCHED]
    return Attributes(
        bpm=rng.uniform(60, 166) if maybe(0.5) else None,
        mode=rng.choice(MODES) if maybe(0.4) else None,
        mood=rng.choice(MOODS),
        intensity=rng.randrange(4) if maybe(0.4) else None,
        form=rng.choice(FORMS) if maybe(0.3) else None,
        meter=rng.choice((3, 4, 4, 4)),
        instruments=tuple(named),
        only=bool(pitched) and maybe(0.3),
        without=("taiko", "timpani", "snare", "cymbals") if not named and maybe(0.1) else (),
    )


def piece(seed: int, n_frames: int = PIECE_FRAMES) -> Score:
    """The corpus's piece of that seed."""
    rng = random.Random(f"epic-mini {seed}")
    return compose(settle(wish(rng), rng), n_frames, rng)


def render_pieces(first: int, last: int, n_frames: int) -> Iterator[tuple[int, Score, np.ndarray]]:
    """Renders pieces first … last-1, one after another."""
    with Renderer() as renderer:
        for seed in range(first, last):
            score = piece(seed, n_frames)
            yield seed, score, renderer.render(score)


def _fill(folder: Path, first: int, last: int, n_pieces: int, n_frames: int, offset: int) -> None:
    wavs = np.lib.format.open_memmap(folder / "wavs.npy", mode="r+")
    plans = np.lib.format.open_memmap(folder / "plans.npy", mode="r+")
    assert wavs.shape[0] == n_pieces, (wavs.shape, n_pieces)
    for seed, score, wav in render_pieces(offset + first, offset + last, n_frames):
        wavs[seed - offset] = np.round(wav * 32767).astype(np.int16)
        plans[seed - offset] = plan_of(score).astype(np.float16)


def build(
    folder: Path, n_pieces: int, *, n_frames: int = PIECE_FRAMES, workers: int = 2, offset: int = 0
) -> Corpus:
    """Renders the pieces with seeds offset … offset+n_pieces-1 into `folder`, and opens them."""
    folder.mkdir(parents=True, exist_ok=True)
    N, F = n_frames * 640, plan_of(piece(0, 8)).shape[1]
    np.lib.format.open_memmap(folder / "wavs.npy", "w+", np.int16, (n_pieces, N)).flush()
    np.lib.format.open_memmap(
        folder / "plans.npy", "w+", np.float16, (n_pieces, n_frames, F)
    ).flush()
    edges = [n_pieces * i // workers for i in range(workers + 1)]
    context = multiprocessing.get_context("spawn")
    jobs = [
        context.Process(target=_fill, args=(folder, a, b, n_pieces, n_frames, offset))
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    failed = [job.exitcode for job in jobs if job.exitcode]
    if failed:
        raise RuntimeError(f"rendering failed with exit codes {failed}")
    return load(folder)


def load(folder: Path) -> Corpus:
    """Opens a corpus that `build` wrote, without reading it into memory."""
    return Corpus(
        np.load(folder / "wavs.npy", mmap_mode="r"), np.load(folder / "plans.npy", mmap_mode="r")
    )
