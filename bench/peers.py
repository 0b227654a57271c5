"""How fast are the packages that MusicGen was published with, on this machine and in this run?

All make the same: a piece of the same length with guidance 3 and top_k 250, from a model of the
same size. A step reads all weights once (MusicGen small: 1.6 GB in float32, 0.8 in bfloat16, 0.4 in
int8) and the caches of two rows; the limit printed is that of the steps, in the type that runs.
Compared are the steps of the language model's loop alone, after the first, and whole pieces: ours
with loudness and file, the others' without.

Ours run in every precision that the device has; transformers' MusicGen in float32 and bfloat16, as
its documentation shows: `generate` with a cache. Weights are random numbers of the published sizes,
which are as fast as real ones; with --weights facebook/musicgen-small (or a folder in transformers'
layout) all load those. Runs alternate, so that what else the machine does falls on all alike, and
ratios are taken round by round. What doesn't fit into memory together is loaded anew for every
round. audiocraft takes part where it can be imported and real weights are given, since it can't be
built without them.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import fanfare
import pictures
import theirs
from common import Report, add_plot, options, run
from fanfare.nn.config import LmConfig
from machine import available_bytes, limits_of, n_parameters, steps_s
from pieces import Timing, request_for, timed
from sizes import weights_at

OURS = {
    "cpu": (("torch", "float32"), ("torch", "bfloat16"), ("onnxruntime", "float32"),
            ("onnxruntime", "int8"), ("onnxruntime", "int4")),
    "cuda": (("torch", "float32"), ("torch", "bfloat16"), ("torch", "float16")),
    "mps": (("torch", "float32"), ("torch", "float16")),
}  # fmt: skip
THEIRS = ("float32", "bfloat16")
WIDTH = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.0, "int4": 0.6}
PARTS_BYTES = 1e9
"""Of a text encoder and a codec, about."""
WHILE_LOADING = 3
"""Times its weights, that loading one may take on top for a while; about."""


@dataclass(frozen=True)
class Running:
    """One that is ready: makes a piece from a seed; `most` are its steps a second at best."""

    make: Callable[[int], Timing]
    most: float | None = None


@dataclass(frozen=True)
class Contender:
    """One of those compared, not yet loaded; `dtype` is that of its matrices."""

    name: str
    dtype: str
    load: Callable[[], Running]


def ours(args: argparse.Namespace, weights: str | Path, engine: str, dtype: str) -> Contender:
    """Fanfare in one precision."""

    def load() -> Running:
        model = fanfare.load(weights, engine=engine, device=args.device, dtype=dtype)
        config = model.bundle.config
        n_frames = args.duration * config.frame_rate_hz
        least_s = steps_s(model.engine, limits_of(model.engine), n_frames)
        return Running(
            lambda seed: timed(model, [request_for(seed, args.duration)]),
            (n_frames + config.max_delay) / least_s,
        )

    return Contender(f"fanfare {engine} {dtype}", dtype, load)


def contenders(args: argparse.Namespace, weights: str | Path) -> list[Contender]:
    """All that --only leaves."""
    found = [ours(args, weights, *kind) for kind in OURS[torch.device(args.device).type]]
    for dtype in THEIRS:
        found.append(
            Contender(
                f"transformers {dtype}", dtype,
                lambda dtype=dtype: Running(theirs.transformers_maker(args, dtype)),
            )
        )  # fmt: skip
    if importlib.util.find_spec("audiocraft") is None:
        print("audiocraft isn't installed: left out")
    elif args.weights.startswith("random-"):
        print("audiocraft needs real weights (--weights): left out")
    else:
        found.append(
            Contender("audiocraft", "float32", lambda: Running(theirs.audiocraft_maker(args)))
        )
    if args.only:
        found = [one for one in found if any(word in one.name for word in args.only)]
    if not found:
        raise fanfare.InputError("only", " ".join(args.only), "matches none of those compared")
    return found


def fit_together(some: Sequence[Contender], config: LmConfig, device: torch.device) -> bool:
    """Whether memory holds them all at once, and the largest of them while it is loaded."""
    weights = [n_parameters(config) * WIDTH[one.dtype] for one in some]
    needed = sum(weights) + len(some) * PARTS_BYTES
    while_loading = WHILE_LOADING * 4 * n_parameters(config)
    return needed + while_loading < available_bytes(device)


def alternating(
    some: Sequence[Contender], rounds: int, *, apart: bool
) -> tuple[dict[str, list[Timing]], dict[str, float]]:
    """Timings by name, one a round, each after one that warmed up; and the limits."""
    timings: dict[str, list[Timing]] = {one.name: [] for one in some}
    most: dict[str, float] = {}
    ready: dict[str, Running] = {}
    for seed in range(rounds):
        for one in some:
            running = ready.get(one.name)
            if running is None:
                running = one.load()
                if running.most is not None:
                    most.setdefault(one.name, running.most)
                running.make(rounds + seed)
                if not apart:
                    ready[one.name] = running
            timings[one.name].append(running.make(seed))
            del running
            if apart:
                gc.collect()
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
    return timings, most


def report_ratios(
    report: Report, some: Sequence[Contender], timings: dict[str, list[Timing]]
) -> None:
    """Of ours to transformers' in float32 and in the same type."""
    for one in some:
        if not one.name.startswith("fanfare"):
            continue
        for dtype in dict.fromkeys(("float32", one.dtype)):
            base = timings.get(f"transformers {dtype}")
            if base is None:
                continue
            pairs = list(zip(timings[one.name], base, strict=True))
            label = f"{one.name.removeprefix('fanfare ')} to transformers {dtype}"
            ratios = [a.steps_per_s / b.steps_per_s for a, b in pairs]
            report.row(f"{label}, steps", ratios, "×")


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", weights="random-small", duration=10, repeats=3)
    parser.add_argument("--only", nargs="+", default=[], help="parts of names to compare alone")
    parser.add_argument("--apart", action="store_true", help="one in memory at a time")
    add_plot(parser)
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(args.device)
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as folder:
        weights = weights_at(args.weights, Path(folder))
        report = Report(__doc__ or "", args, device)
        some = contenders(args, weights)
        config = theirs.config_of(args.weights)
        apart = args.apart or not fit_together(some, config, device)
        if apart:
            print("one in memory at a time")
        timings, most = alternating(some, args.repeats, apart=apart)
        for name, made in timings.items():
            report.row(f"{name}, steps", [t.steps_per_s for t in made], "steps/s", most.get(name))
        for name, made in timings.items():
            report.row(f"{name}, whole", [args.duration / t.whole_s for t in made], "× real")
        report_ratios(report, some, timings)
        report.finish(pictures.peers)


if __name__ == "__main__":
    run(main)
