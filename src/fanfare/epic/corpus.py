"""The training corpus: random attributes → scores → renders and plans, seeded and repeatable."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.attributes import FORMS, INSTRUMENTS, MODES, MOODS, PITCHED, Attributes
from fanfare.epic.brief import settle
from fanfare.epic.compose import compose
from fanfare.epic.plan import N_FEATURES, plan_of
from fanfare.epic.render import SAMPLES_PER_FRAME, SOUNDFONT, Renderer
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


def render_pieces(
    first: int, last: int, n_frames: int, soundfont: Path = SOUNDFONT
) -> Iterator[tuple[int, Score, NDArray[np.float32]]]:
    """Renders the pieces with seeds first … last-1, one after another: (seed, score, [N])."""
    with Renderer(soundfont) as renderer:
        for seed in range(first, last):
            score = piece(seed, n_frames)
            yield seed, score, renderer.render(score)


def allocate(folder: Path, n_pieces: int, n_frames: int) -> None:
    """Makes the files of a corpus, still empty."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {
        "wavs": (np.int16, (n_pieces, n_frames * SAMPLES_PER_FRAME)),
        "plans": (np.float16, (n_pieces, n_frames, N_FEATURES)),
    }
    for name, (dtype, shape) in shapes.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape).flush()


def write(
    folder: Path, pieces: Iterable[tuple[int, Score, NDArray[np.float32]]], offset: int
) -> None:
    """Writes pieces into an allocated corpus; the one with seed `offset` comes first."""
    wavs = np.lib.format.open_memmap(folder / "wavs.npy", mode="r+")
    plans = np.lib.format.open_memmap(folder / "plans.npy", mode="r+")
    for seed, score, wav in pieces:
        wavs[seed - offset] = np.round(wav * 32767).astype(np.int16)
        plans[seed - offset] = plan_of(score).astype(np.float16)


def _fill(folder: Path, first: int, last: int, n_frames: int, offset: int) -> None:
    write(folder, render_pieces(first, last, n_frames), offset)


def build(
    folder: Path, n_pieces: int, *, n_frames: int = PIECE_FRAMES, workers: int = 2, offset: int = 0
) -> Corpus:
    """Renders the pieces with seeds offset … offset+n_pieces-1 into `folder`, and opens them."""
    allocate(folder, n_pieces, n_frames)
    edges = [offset + n_pieces * i // workers for i in range(workers + 1)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(_fill, folder, first, last, n_frames, offset)
            for first, last in pairwise(edges)
        ]
        for job in jobs:
            job.result()
    return load(folder)


def load(folder: Path, *, in_memory: bool = False) -> Corpus:
    """Opens a corpus that `build` wrote; `in_memory` reads its audio, for random access."""
    wavs = np.load(folder / "wavs.npy", mmap_mode=None if in_memory else "r")
    return Corpus(wavs, np.load(folder / "plans.npy", mmap_mode="r"))
