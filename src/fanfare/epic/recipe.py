"""`make epic`: trains epic-mini from nothing, stage by stage; what is done is not done again.

    corpus   compose and render pieces (5 minutes on 2 cores)
    codec    train the codec
    codes    turn the corpus into codes
    lm       train the language model
    export   write the checkpoint that `fanfare` loads

Nothing is downloaded: the SoundFont comes with the system's packages. Stages stop by the clock and
resume from their checkpoints.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fanfare.epic import corpus
from fanfare.epic.team import Team, work_together
from fanfare.epic.train_codec import CodecRecipe, CodecTrainer
from fanfare.epic.train_lm import Codes, LmRecipe, LmTrainer, tokenise
from fanfare.weights.own_layout import save_own

HELDOUT_SEED = 10_000_000
LICENCE = "Apache-2.0"


class Run:
    """One training run in a folder."""

    def __init__(self, folder: Path, codec: CodecRecipe, lm: LmRecipe, workers: int = 2) -> None:
        self.folder, self.workers = folder, workers
        self.codec_recipe, self.lm_recipe = codec, lm

    def corpus(self, n_pieces: int, n_heldout: int) -> None:
        """Renders the training pieces and those held out."""
        for name, n, offset in (("corpus", n_pieces, 0), ("heldout", n_heldout, HELDOUT_SEED)):
            done = self.folder / name / "done"
            if not done.exists():
                corpus.build(self.folder / name, n, offset=offset)
                done.touch()

    def codec(self) -> CodecTrainer:
        """Trains the codec, or opens the trained one."""
        trainer = CodecTrainer(self.codec_recipe)
        pieces = corpus.load(self.folder / "corpus", in_memory=True)
        for stage in (trainer.train, trainer.polish):
            for figures in stage(pieces, self.folder / "codec.pt"):
                report("codec", figures)
        return trainer

    def codes(self, trainer: CodecTrainer) -> None:
        """Codes of all pieces."""
        for name in ("corpus", "heldout"):
            path = self.folder / name / "codes.npy"
            if not path.exists():
                wavs = corpus.load(self.folder / name).wavs[: self.lm_recipe.pieces]
                np.save(path, tokenise(wavs, trainer.finished()))

    def data(self, name: str) -> Codes:
        """Codes and plans of a part of the corpus."""
        codes = np.load(self.folder / name / "codes.npy")
        return Codes(codes, np.array(corpus.load(self.folder / name).plans[: len(codes)]))

    def lm(self) -> LmTrainer:
        """Trains the language model, or opens the trained one."""
        work_together(self.train_lm, self.workers)
        trainer = LmTrainer(self.lm_recipe, self.data("corpus"))
        trainer.restore(self.folder / "lm.pt")
        return trainer

    def train_lm(self, team: Team) -> None:
        """One team member's part in training the language model."""
        trainer = LmTrainer(self.lm_recipe, self.data("corpus"), team)
        for figures in trainer.train(self.folder / "lm.pt", self.data("heldout")):
            report("lm", figures)

    def export(self, codec: CodecTrainer, lm: LmTrainer, target: Path) -> None:
        """Writes the checkpoint."""
        trained = {"codec_steps": codec.step, "lm_steps": lm.step}
        save_own(
            target, name="epic-mini", lm=lm.finished(), codec=codec.finished(), licence=LICENCE,
            extra=trained,
        )  # fmt: skip


def report(stage: str, figures: Mapping[str, float]) -> None:
    """One line of figures."""
    print(stage, " ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)


def main() -> None:
    """Runs all stages."""
    parser = argparse.ArgumentParser(description="Train epic-mini.")
    parser.add_argument("--folder", type=Path, default=Path("runs/epic"))
    parser.add_argument("--pieces", type=int, default=3600)
    parser.add_argument("--heldout", type=int, default=160)
    parser.add_argument("--codec-minutes", type=float, default=CodecRecipe.minutes)
    parser.add_argument("--lm-minutes", type=float, default=LmRecipe.minutes)
    parser.add_argument("--workers", type=int, default=2, help="processes that train the LM")
    parser.add_argument("--target", type=Path, help="where to export (default: FOLDER/epic-mini)")
    options = parser.parse_args()
    run = Run(
        options.folder,
        CodecRecipe(minutes=options.codec_minutes),
        LmRecipe(minutes=options.lm_minutes),
        options.workers,
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    run.corpus(options.pieces, options.heldout)
    codec = run.codec()
    run.codes(codec)
    run.export(codec, run.lm(), options.target or options.folder / "epic-mini")


if __name__ == "__main__":
    main()
