"""`make judges`: teaches the probes that `make eval` judges by, and keeps them in a file.

They hear renders that nothing else has seen, each raw and through the codec: they are to judge
music, not codecs. Nearly an hour on two cores; a codec of other kind wants judges of its own.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fanfare.epic import ear, probes
from fanfare.epic.bank import ensure
from fanfare.epic.corpus import render_pieces
from fanfare.epic.player import Player, open_bank
from fanfare.epic.score import Score
from fanfare.model import load

JUDGES = Path("bench/judges.safetensors")
SEED, N_PIECES, PROBE_FRAMES = 20_000_000, 3000, 500
AT_ONCE = 50
"""Pieces that a process hears before it reports."""

Example = tuple[probes.Features, probes.Truth, NDArray[np.bool_]]


def truth_of(score: Score) -> probes.Truth:
    """What a score says that its sound is."""
    return probes.truth(score.brief, {note.instrument for note in score.notes})


def examples(first: int, weights: str, bank: Path, n: int = AT_ONCE) -> list[Example]:
    """`n` renders from a seed on, and what the codec makes of each, as the probes hear them."""
    torch.set_num_threads(1)
    codec = load(weights).bundle.codec
    made: list[Example] = []
    for _, score, wav in render_pieces(first, first + n, PROBE_FRAMES, Player(open_bank(bank))):
        with torch.inference_mode():
            again = codec.decode(codec.encode(torch.from_numpy(wav)[None, None]))[0, 0].numpy()
        told = truth_of(score), ear.playing(score)
        made += [(probes.features(heard), *told) for heard in (wav, again)]
    return made


def teach(weights: str, bank: Path, n: int = N_PIECES, workers: int = 2) -> probes.Probes:
    """Probes that have heard `n` pieces, to the next multiple of `AT_ONCE`."""
    heard: list[probes.Features] = []
    truths: list[probes.Truth] = []
    playing: list[NDArray[np.bool_]] = []
    firsts = range(SEED, SEED + n, AT_ONCE)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        same = [weights] * len(firsts), [bank] * len(firsts)
        for part in pool.map(examples, firsts, *same):
            for sound, truth, plays in part:
                heard.append(sound)
                truths.append(truth)
                playing.append(plays)
            print(f"{len(heard) // 2} of {n} pieces heard", flush=True)
    judge = probes.Probes()
    judge.fit(heard, truths, playing)
    return judge


def main() -> None:
    """Teaches probes and writes them."""
    parser = argparse.ArgumentParser(description="Teach the probes that `make eval` judges by.")
    parser.add_argument("--weights", default="epic-mini", help="whose codec they get to know")
    parser.add_argument("--pieces", type=int, default=N_PIECES)
    parser.add_argument("--bank", type=Path, default=Path("runs/epic.bank"))
    parser.add_argument("--out", type=Path, default=JUDGES)
    options = parser.parse_args()
    teach(options.weights, ensure(options.bank), options.pieces).save(options.out)


if __name__ == "__main__":
    main()
