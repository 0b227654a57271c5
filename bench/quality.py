"""What does it cost in music to keep the weights in fewer bits?

Epic-mini in float32 makes pieces of some prompts. Then each engine is led through the same codes
and asked at every step for the distributions of the next tokens, one for each codebook, after
guidance and at temperature 1: nothing is drawn, so nothing drifts apart. Printed is how far they
are from those of float32 (Kullback-Leibler divergence KL(float32 || engine) in nats, 0 where they
are equal), on the average over steps and books, by piece, and how often the likeliest token is the
same. At most 0.02 nats pass as no loss; torch's bfloat16, as usual on GPUs, stands beside for
comparison.

No time is measured: what bounds it is the float32 pass of the same steps. Weights must be real ones
that need no text encoder, which random numbers aren't: that is epic-mini. Prints a table and ends
with one line of JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import fanfare
from common import Report, options, run
from fanfare.engine.job import Job, Result
from fanfare.engine.onnx_runner import PRECISIONS, OnnxModel, OnnxRunner
from fanfare.engine.runner import Runner
from fanfare.engine.torch_engine import generate
from fanfare.engine.torch_runner import TorchRunner
from fanfare.epic.director import direct
from fanfare.nn.conditioning import Conditions, align_frames
from fanfare.nn.delay import DelayPattern
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import SamplingSettings, mix_guidance
from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle
from fanfare.weights.tensors import matches

PASSES_NATS = 0.02
PIECES_AT_ONCE = 8

PROMPTS = (
    "heroic brass fanfare over pounding taiko, 120 bpm, D minor",
    "calm piano and soft strings, slow, in C major",
    "dark choir rising over deep drums, 90 bpm",
    "fast battle music with driving strings and war drums, 150 bpm",
    "mysterious harp and flute, sparse and quiet",
    "triumphant full orchestra with cymbals, A major, 110 bpm",
    "sad solo cello over a low drone, very slow",
    "epic trailer, braams and percussion, building to a climax",
    "waltz in 3/4 for strings and clarinet, F major",
    "tense ostinato of low strings, no drums, G minor",
    "majestic horns over rolling timpani, 76 bpm",
    "joyful march with trumpets and snare, 128 bpm, B flat major",
    "ethereal choir and bells, no percussion",
    "adventure theme with horns and pizzicato strings, E minor",
    "menacing trombones and gongs, half time",
    "hopeful strings that grow from quiet to loud, 100 bpm",
    "taiko drums alone, furious, 160 bpm",
    "noble trumpet solo over warm strings, 84 bpm, E flat major",
    "cold, empty soundscape with a distant choir",
    "chase scene, staccato strings, 140 bpm, C minor",
    "romantic oboe melody with harp, slow",
    "victory hymn with choir, brass and organ, D major",
    "suspense, pulsing bass and quiet hits, 96 bpm",
    "celtic flute and frame drums, lively, G major",
)


@dataclass(frozen=True, eq=False)
class Led:
    """A piece that engines are led through: its job, and its delayed codes [K, S]."""

    job: Job
    columns: Tensor


@dataclass(frozen=True)
class Distance:
    """Of an engine's distributions from the reference's, over one piece.

    Attributes:
        nats: mean KL divergence over steps and codebooks.
        same: share of them with the same likeliest token.
    """

    nats: float
    same: float


def led(bundle: Bundle, prompts: Sequence[str], duration_s: int) -> list[Led]:
    """Pieces that float32 makes of prompts with the usual settings."""
    config = bundle.config
    pattern = DelayPattern(config.delays, config.special_token)
    n_frames = duration_s * config.frame_rate_hz
    jobs = []
    for seed, prompt in enumerate(prompts):
        plan = torch.from_numpy(direct(prompt, n_frames=n_frames, seed=seed))
        conditions, null = bundle.conditions(prompt, None, plan)
        jobs.append(Job(n_frames, conditions, null, settings=SamplingSettings(), seed=seed))
    *_, result = generate(bundle.lm, jobs)
    assert isinstance(result, Result)
    made = [codes for codes in result.codes if codes is not None]
    return [Led(job, pattern.build(codes[None])[0]) for job, codes in zip(jobs, made, strict=True)]


@torch.inference_mode()
def log_probabilities(runner: Runner, pieces: Sequence[Led]) -> Tensor:
    """What `runner` would draw each next column from: [J, S - 1, K, card], after guidance."""
    jobs = [piece.job for piece in pieces]
    n_steps = pieces[0].columns.shape[1] - 1
    rows = [(2 * j, job.conditions) for j, job in enumerate(jobs)]
    rows += [(2 * j + 1, _null(job)) for j, job in enumerate(jobs)]
    rows.sort(key=lambda row: row[0])
    names = [name for name, _ in rows]
    x = torch.cat([_embedded(runner.lm, pieces[name // 2], side, n_steps) for name, side in rows])
    first = [runner.admit(name, x[name][None, :1], side.cross, n_steps) for name, side in rows]
    weights = torch.tensor([job.settings.guidance for job in jobs])[:, None, None]
    mixed = []
    for step in range(n_steps):
        logits = torch.stack(first) if step == 0 else runner.step(names, x[:, step : step + 1])
        mixed.append(torch.log_softmax(mix_guidance(logits[0::2], logits[1::2], weights), dim=-1))
    for name in names:
        runner.release(name)
    return torch.stack(mixed, dim=1)


def _null(job: Job) -> Conditions:
    assert job.null is not None
    return job.null


def _embedded(lm: LanguageModel, piece: Led, side: Conditions, n_steps: int) -> Tensor:
    """All inputs of a row, [1, S - 1, D]."""
    assert side.frames is not None
    assert side.prefix is None
    frames = align_frames(side.frames, n_steps)[None]
    return lm.embed(piece.columns[None, :, :n_steps], None, frames)


def distances(ours: Tensor, reference: Tensor, drawn: Tensor) -> list[Distance]:
    """By piece, of log probabilities [J, S - 1, K, card] where `drawn` [S - 1, K] is set."""
    nats = (reference.exp() * (reference - ours)).sum(dim=-1).double()  # [J, S - 1, K]
    same = (ours.argmax(dim=-1) == reference.argmax(dim=-1)).double()
    return [
        Distance(float(a[drawn].mean()), float(b[drawn].mean()))
        for a, b in zip(nats, same, strict=True)
    ]


def drawn_cells(piece: Led, special_token: int) -> Tensor:
    """Which cells of the columns after the first hold tokens: bool [S - 1, K]."""
    return piece.columns[:, 1:].T.ne(special_token)


def in_bfloat16(lm: LanguageModel) -> LanguageModel:
    """A copy whose layers' matrices are bfloat16."""
    copy = LanguageModel(lm.config)
    copy.load_state_dict(lm.state_dict())
    for name, parameter in copy.named_parameters():
        if matches(LanguageModel.LOW_PRECISION, name):
            parameter.data = parameter.data.bfloat16()
    return copy.eval().requires_grad_(False)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", repeats=1)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="how many of the list")
    args = parser.parse_args()
    bundle = load_bundle(args.weights)
    if bundle.config.plan_features is None:
        raise fanfare.InputError("weights", args.weights, "must take a plan, as epic-mini does")
    report = Report(__doc__ or "", args, None)
    pieces = led(bundle, PROMPTS[: args.prompts], args.duration)
    drawn = drawn_cells(pieces[0], bundle.config.special_token)
    low = in_bfloat16(bundle.lm)
    models: dict[str, LanguageModel | OnnxModel] = {"torch bfloat16": low}
    models |= {f"onnxruntime {p}": OnnxModel(bundle.lm, p) for p in PRECISIONS}
    found: dict[str, list[Distance]] = {name: [] for name in models}
    for start in range(0, len(pieces), PIECES_AT_ONCE):
        some = pieces[start : start + PIECES_AT_ONCE]
        reference = log_probabilities(TorchRunner(bundle.lm, 2 * len(some)), some)
        for name, model in models.items():
            is_onnx = isinstance(model, OnnxModel)
            runner = (OnnxRunner if is_onnx else TorchRunner)(model, 2 * len(some))  # type: ignore[arg-type]
            found[name] += distances(log_probabilities(runner, some), reference, drawn)
    for name, by_piece in found.items():
        nats = [d.nats for d in by_piece]
        mean = sum(nats) / len(nats)
        verdict = "passes" if mean <= PASSES_NATS else "does not pass"
        report.row(
            f"{name}, KL", nats, "nats", None, f"mean {mean:.4g}: {verdict}",
            mean=mean, passes=mean <= PASSES_NATS,
        )  # fmt: skip
        same = [100 * d.same for d in by_piece]
        report.row(f"{name}, same likeliest token", same, "%", mean=sum(same) / len(same))
    report.finish()


if __name__ == "__main__":
    run(main)
