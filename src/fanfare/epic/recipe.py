"""`make epic`: trains epic-mini from nothing, stage by stage; what is done is not done again.

    codec       pieces are composed and rendered, the codec is trained on them
    lm          the language model, on plans and codes
    diffusion   the band models
    export      the checkpoint that `fanfare` loads

Every stage has minutes of its own (`presets`), and a command may have an end (`--stop-after`):
then everything is saved, and the same command goes on. With `--out`, what is needed to go on
elsewhere is left there in few files (`carry`), and nothing is exported; `--carry` reads them on a
machine that has nothing else. With `--onward`, a checkpoint's codes are kept: a new decoder of them
is trained, and its language model goes on, on new pieces.
Needed: torch, numpy and a bank, which is cut from the system's SoundFont where there is none yet
(`bank`); nothing is downloaded.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fanfare.epic import carry
from fanfare.epic.bank import ensure
from fanfare.epic.card import FILE as CARD_FILE
from fanfare.epic.card import model_card
from fanfare.epic.clock import Deadline
from fanfare.epic.inherit import Start
from fanfare.epic.layout import LAYOUT_2, Layout
from fanfare.epic.pool import Pool, Size, opened
from fanfare.epic.presets import PRESETS, Preset
from fanfare.epic.team import Team, work_together
from fanfare.epic.train_codec import CodecTrainer
from fanfare.epic.train_diffusion import DiffusionTrainer
from fanfare.epic.train_lm import Fixed, LmTrainer, encoder_of
from fanfare.errors import CheckpointError
from fanfare.nn.encodec import Encodec
from fanfare.nn.lapped import LappedCodec

HELDOUT_SEED = 10_000_000
FRESH_SEEDS = 1_000_000
"""More pieces than a stage is ever given."""
LICENCE = "Apache-2.0"
FILE_BYTES = 15_000_000
STAGES = ("codec", "lm", "diffusion")
CARRIED = ("quantizer", "step", "spent_s", "polish_s", "gate")
"""Of a checkpoint, beside the model."""
PIECES = "pieces"
"""Folder of those that were rendered, until all is done."""
LEAST_MINUTES = 0.7
"""With less left, no stage is begun."""


class Run:
    """One training run in a folder, whose files are its checkpoints."""

    def __init__(
        self,
        folder: Path,
        preset: Preset,
        bank: Path,
        deadline: Deadline | None = None,
        onward: Path | None = None,
    ) -> None:
        """`onward`: the checkpoint whose codes are kept; the preset's sizes give way to its own."""
        self.folder, self.bank = folder, bank
        self.device = torch.device(preset.device)
        self.deadline = deadline or Deadline()
        named = {name: replace(one, device=preset.device) for name, one in PRESETS.items()}
        self.name = next((name for name, one in named.items() if one == preset), "own")
        self.preset = preset
        self.codes_of: Encodec | LappedCodec | None = None
        self.start: Start | None = None
        if onward is not None:
            self.codes_of, self.start = beginning(onward)
            self.preset = fitted(preset, self.start)
        self.pieces: Pool | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        if self.pieces is not None:
            self.pieces.__exit__(None, None, None)

    def codec(self) -> CodecTrainer:
        """Trains the codec, as far as time allows, or opens the trained one."""
        trainer = CodecTrainer(self.preset.codec, self.device, self.codes_of)
        checkpoint = self.folder / "codec.pt"
        if checkpoint.exists():
            trainer.restore(checkpoint)
        if not trainer.is_done:
            for figures in trainer.train(self.pool(), checkpoint, self.deadline):
                report("codec", figures)
        return trainer

    def lm(self, codec: LappedCodec) -> LmTrainer:
        """Trains the language model, or opens the trained one."""
        checkpoint = self.folder / "lm.pt"
        if checkpoint.exists():
            trained = LmTrainer(self.preset.lm, None, device=self.device)
            trained.restore(checkpoint)
            if trained.is_done:
                return trained
        if self.device.type != "cpu":
            data, heldout = self._codes(codec), self._heldout(codec)
            trainer = LmTrainer(self.preset.lm, data, device=self.device, start=self.start)
            for figures in trainer.train(checkpoint, heldout, self.deadline):
                report("lm", figures)
            return trainer
        pool = self._codes(codec)
        heldout = self._heldout(codec)
        torch.save({"codes": heldout.codes, "plans": heldout.plans}, self.folder / "heldout.pt")
        # The deadline, too, is on a clock that all processes share.
        work_together(
            partial(
                train_lm, self.preset, self.folder, pool.path("x").parent, self.deadline.at_s,
                self.start,
            ),
            self.preset.team,
        )  # fmt: skip
        trainer = LmTrainer(self.preset.lm, None)
        trainer.restore(checkpoint)
        return trainer

    def diffusion(self, codec: LappedCodec) -> DiffusionTrainer | None:
        """Trains the band models, or opens the trained ones; there may be no time for any."""
        if not self.preset.diffusion.minutes:
            return None
        trainer = DiffusionTrainer(self.preset.diffusion, codec, self.device)
        checkpoint = self.folder / "diffusion.pt"
        if checkpoint.exists():
            trainer.restore(checkpoint)
        if not trainer.is_done:
            for figures in trainer.train(self.pool(), checkpoint, self.deadline):
                report("diffusion", figures)
        return trainer

    def pool(self) -> Pool:
        """Pieces with their audio."""
        if self.pieces is not None and len(self.pieces.wavs):
            return self.pieces
        return self._new_pool(self.preset.slots, keep_wavs=True)

    def _codes(self, codec: LappedCodec) -> Pool:
        """Pieces with their codes: on a CPU those of the codec, for rendering is dear there."""
        if self.device.type == "cpu":
            pool = self.pool()
            report("lm", {"pieces to encode": pool.n_filled})
            pool.encode_with(encoder_of(codec))
            return pool
        return self._new_pool(self.preset.lm_slots, keep_wavs=False, codec=codec)

    def _new_pool(self, slots: int, *, keep_wavs: bool, codec: LappedCodec | None = None) -> Pool:
        if self.pieces is not None:
            self.pieces.__exit__(None, None, None)
        preset, started = self.preset, time.monotonic()
        size = Size(slots, preset.n_frames, preset.codec.n_codebooks)
        # Where pieces are rendered as they are needed, another pool brings other ones.
        renews = self.device.type != "cpu"
        seed = renews * FRESH_SEEDS * sum((self.folder / f"{name}.pt").exists() for name in STAGES)
        self.pieces = Pool(
            size, self.bank, device=self.device, workers=preset.workers, seed=seed,
            keep_wavs=keep_wavs, kept_in=self.folder / PIECES,
        )  # fmt: skip
        if codec is not None:
            self.pieces.encode_with(encoder_of(codec))
        self.pieces.fill(min(preset.start_with, slots))
        report("pieces", {"n": self.pieces.n_filled, "seconds": time.monotonic() - started})
        return self.pieces

    def _heldout(self, codec: LappedCodec) -> Fixed:
        """Pieces for the gate, always the same."""
        preset = self.preset
        size = Size(preset.heldout, preset.n_frames, preset.codec.n_codebooks)
        with Pool(
            size, self.bank, device=self.device, workers=1, seed=HELDOUT_SEED,
        ) as pool:  # fmt: skip
            pool.fill()
            pool.encode_with(encoder_of(codec))
            return Fixed(pool.codes.clone(), pool.plans.clone())

    def export(
        self, codec: CodecTrainer, lm: LmTrainer, diffusion: DiffusionTrainer | None, target: Path
    ) -> None:
        """Writes the checkpoint, all of it in half precision."""
        # Imported late: what reads checkpoints needs libraries that a lent machine may lack.
        from fanfare.weights.diffusion import STEM as DIFFUSION_FILE
        from fanfare.weights.own_layout import save_own
        from fanfare.weights.write import write_tensors

        extra = {
            "plan": LAYOUT_2.to_json(), "sound": "bank-1", "codec_steps": codec.step,
            "lm_steps": lm.step, "diffusion_steps": diffusion.step if diffusion else 0,
        }  # fmt: skip
        bands = diffusion.finished().cpu() if diffusion else None
        save_own(
            target, name="epic-mini", lm=lm.finished().cpu(), codec=codec.finished().cpu(),
            diffusion=bands, licence=LICENCE, extra=extra, file_bytes=FILE_BYTES,
        )  # fmt: skip
        if bands is not None:
            tensors = {name: tensor.contiguous() for name, tensor in bands.state_dict().items()}
            file = target / "diffusion" / f"{DIFFUSION_FILE}.safetensors"
            write_tensors(file, tensors, torch.float16)
        card = model_card(
            lm.model, codec.model, bands, n_codebooks=self.preset.codec.n_codebooks,
            n_frames=self.preset.n_frames, preset=self.name, gate=lm.last_gate,
            steps=(codec.step, lm.step, diffusion.step if diffusion else 0),
            before=self.start.after if self.start else "",
        )  # fmt: skip
        (target / CARD_FILE).write_text(card)

    def is_over(self, name: str) -> bool:
        """Whether a stage's checkpoint says that its minutes are."""
        path = self.folder / f"{name}.pt"
        if not path.exists():
            return False
        spent_s = float(torch.load(path, weights_only=True, map_location="cpu")["spent_s"])
        minutes = self.preset.lm.minutes if name == "lm" else self.preset.diffusion.minutes
        return spent_s >= 60 * minutes

    def state(self) -> dict[str, Any]:
        """What the next stages need of the checkpoints that are there; see `carry`."""
        made: dict[str, Any] = {}
        for name in STAGES:
            path = self.folder / f"{name}.pt"
            if path.exists():
                kept = torch.load(path, weights_only=True, map_location="cpu")
                averages = dict(zip(kept["names"], kept["average"], strict=True))
                made[name] = {key: value for key, value in kept.items() if key in CARRIED}
                made[name]["model"] = {**kept["model"], **averages}
        return made


def beginning(folder: Path) -> tuple[Encodec | LappedCodec, Start]:
    """Codec and language model of a checkpoint, to go on from.

    Raises:
        CheckpointError: there is none, or none that plays from a plan.
    """
    from fanfare.weights.load import load_bundle  # late, as for the export

    bundle = load_bundle(folder)
    if bundle.lm.plan is None or bundle.codec.channels != 1:
        raise CheckpointError(f"{folder}: plays from no plan; --onward needs one as epic-mini is")
    layout = Layout.from_json(bundle.extra.get("plan"))
    steps = [int(bundle.extra.get(name, 0)) for name in ("codec_steps", "lm_steps")]
    after = "going on from a checkpoint after {:,} and {:,}".format(*steps)
    return bundle.codec.model, Start(bundle.lm, layout, after)


def fitted(preset: Preset, start: Start) -> Preset:
    """The preset with the sizes of what it begins with."""
    config = start.lm.config
    lm = replace(
        preset.lm, n_codebooks=config.n_codebooks, dim=config.dim, n_layers=config.n_layers,
        n_heads=config.n_heads, past_context=config.past_context or preset.lm.past_context,
    )  # fmt: skip
    return replace(preset, codec=replace(preset.codec, n_codebooks=config.n_codebooks), lm=lm)


def train_lm(
    preset: Preset, folder: Path, pool: Path, stop_at_s: float, start: Start | None, team: Team
) -> None:
    """One team member's part in training the language model on a CPU."""
    data = Fixed(opened(pool / "codes.npy"), opened(pool / "plans.npy"))
    kept = torch.load(folder / "heldout.pt", weights_only=True)
    trainer = LmTrainer(preset.lm, data, team, start=start)
    heldout = Fixed(kept["codes"], kept["plans"])
    for figures in trainer.train(folder / "lm.pt", heldout, Deadline(stop_at_s)):
        report("lm", figures)


def report(stage: str, figures: Mapping[str, float]) -> None:
    """One line of figures."""
    print(stage, " ".join(f"{name} {value:.3f}" for name, value in figures.items()), flush=True)


def prepare_device(device: str) -> None:
    """What makes a GPU fast; nothing on a CPU."""
    if device != "cuda":
        return
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    # Where compiling fails, the same runs uncompiled.
    torch._dynamo.config.suppress_errors = True


def go(run: Run) -> str:
    """Trains all stages in turn; returns the first one that isn't over, or ""."""
    codec = run.codec()
    if not codec.is_done:
        return "codec"
    model = codec.finished()
    for name, stage in (("lm", run.lm), ("diffusion", run.diffusion)):
        if run.deadline.minutes_left() < LEAST_MINUTES and not run.is_over(name):
            return name
        trained = stage(model)
        if trained is not None and not trained.is_done:
            return name
    return ""


def export(run: Run, target: Path) -> None:
    """Writes the checkpoint that `fanfare` loads, of stages that are over."""
    codec = run.codec()
    model = codec.finished()
    run.export(codec, run.lm(model), run.diffusion(model), target)


def main() -> None:
    """Runs the stages."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description="Train epic-mini.")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="in place of the preset's")
    parser.add_argument("--folder", type=Path, default=Path("runs/epic"))
    parser.add_argument("--bank", type=Path, default=Path("runs/epic.bank"))
    parser.add_argument("--target", type=Path, help="where to export (default: FOLDER/epic-mini)")
    parser.add_argument("--onward", type=Path, help="checkpoint whose codes are kept")
    parser.add_argument("--stop-after", type=float, help="minutes after which this command ends")
    parser.add_argument("--carry", type=Path, help="folder with the state of another machine")
    parser.add_argument("--out", type=Path, help="folder for the state that is to travel")
    options = parser.parse_args()
    ensure(options.bank)
    preset = PRESETS[options.preset]
    preset = replace(preset, device=options.device or preset.device)
    prepare_device(preset.device)
    deadline = Deadline.after(options.stop_after, started)
    if options.carry is not None:
        resume(options.carry, options.folder)
    target = options.target or options.folder / "epic-mini"
    with Run(options.folder, preset, options.bank, deadline, options.onward) as run:
        try:
            unfinished = go(run)
        finally:  # whatever happens in a stage, the ones before it are worth keeping
            if options.out is not None:
                parts = carry.pack(run.state(), options.out)
                print(f"{len(parts)} files of state in {options.out}", flush=True)
        if not unfinished and options.out is None:
            export(run, target)
            print(f"exported to {target}")
    if not unfinished:
        shutil.rmtree(options.folder / PIECES, ignore_errors=True)
    minutes = (time.monotonic() - started) / 60
    end = f"{unfinished} isn't over: run the same command again" if unfinished else "all done"
    print(f"{minutes:.1f} minutes; {end}")


def resume(source: Path, folder: Path) -> None:
    """Brings carried weights in as checkpoints, where the folder has none of its own."""
    state = carry.unpack(source)
    folder.mkdir(parents=True, exist_ok=True)
    for name, kept in (state or {}).items():
        if not (folder / f"{name}.pt").exists():
            torch.save(carry.floated(kept), folder / f"{name}.pt")
            print(f"{name} goes on from what was carried", flush=True)


if __name__ == "__main__":
    main()
