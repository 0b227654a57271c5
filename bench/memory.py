"""How much memory does it take to load a model, to make a piece, and to make several at once?

There must be the weights (of the codec those that decode), and for every row (two a piece) a cache
of 2 × layers × width values a step, for as many steps as the model has in view. The limit printed
is the sum of both. What comes on top is what the libraries map (some hundred megabytes with torch
on a CPU), the logits, and the codec's widest layers. Where graphs are made of weights and kept,
that happens at the first load.

On a CPU it is the peak of the process's resident memory (VmHWM), less what there was after the
imports, and with it; with CUDA what torch had allocated at most. Every measurement is a process of
its own. Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import PROMPT, Report, options, run
from machine import (
    ROWS_PER_PIECE,
    peak_mb,
    resident_mb,
    restart_peak,
    step_cost,
    weight_bytes,
)
from sizes import weights_at

MB = 1e6


def measured(args: argparse.Namespace) -> dict[str, float]:
    """Peak and limit in this process: load, then make `args.at_once` pieces."""
    import fanfare

    assert fanfare.Model  # imports all that loading needs
    before = resident_mb("VmRSS")
    restart_peak()
    model = fanfare.load(args.weights, engine=args.engine, device=args.device, dtype=args.dtype)
    bundle, config = model.bundle, model.bundle.config
    if args.at_once:
        model.generate_batch(
            [{"prompt": PROMPT, "seed": i, "duration": args.duration} for i in range(args.at_once)]
        )
    parts = [bundle.codec.model.decoder, *([bundle.text.model] if bundle.text else [])]
    weights = sum(p.numel() * p.element_size() for part in parts for p in part.parameters())
    weights += weight_bytes(model.engine)
    length = args.duration * config.frame_rate_hz
    in_view = min(length, config.past_context or length)
    n_rows = args.at_once * ROWS_PER_PIECE
    caches = n_rows * in_view * step_cost(model.engine).cache_bytes_per_step
    whole = peak_mb(bundle.lm.device)
    above = whole if bundle.lm.device.type == "cuda" else whole - before
    return {"peak": above, "whole": whole, "limit": (weights + caches) / MB}


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", repeats=3)
    parser.add_argument("--pieces", type=int, nargs="+", default=[0, 1, 8], help="at once")
    parser.add_argument("--at-once", type=int, help=argparse.SUPPRESS)  # in a process of its own
    args = parser.parse_args()
    if args.at_once is not None:
        print(json.dumps(measured(args)))
        return
    report = Report(__doc__ or "", args, None)
    with tempfile.TemporaryDirectory() as folder:
        weights = str(weights_at(args.weights, Path(folder)))
        first = _apart(args, weights, 0)
        report.row("loaded, this once or for the first time", [first["peak"]], "MB")
        for n_pieces in args.pieces:
            made = [_apart(args, weights, n_pieces) for _ in range(args.repeats)]
            name = f"{n_pieces} at once" if n_pieces else "loaded"
            report.row(name, [m["peak"] for m in made], "MB", made[0]["limit"], pieces=n_pieces)
            whole = [m["whole"] for m in made]
            report.row(f"{name}, libraries included", whole, "MB", pieces=n_pieces)
    report.finish()


def _apart(args: argparse.Namespace, weights: str, n_pieces: int) -> dict[str, float]:
    chosen = {
        "--weights": weights, "--engine": args.engine, "--device": args.device,
        "--dtype": args.dtype, "--duration": args.duration, "--at-once": n_pieces,
    }  # fmt: skip
    flags = [str(word) for pair in chosen.items() for word in pair]
    done = subprocess.run(
        [sys.executable, __file__, *flags], check=False, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr.strip() or done.stdout.strip())
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    run(main)
