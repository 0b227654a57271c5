"""Do steps get slower as a piece gets longer?

A step reads the weights, and of each row the keys and values of every step in view: at the end of
30 s of MusicGen small that is 150 MB a row in half precision, beside 720 MB of weights. Models with
a window (epic-mini) stop growing when it is full. So a step may grow by as much as its caches do
and no more; the limit printed is that of the steps in each part of the piece.

Prints the time of a step by part of the piece and ends with one line of JSON.
"""

from __future__ import annotations

import itertools
import time

import fanfare
from common import PROMPT, ROWS_PER_PIECE, Report, limits, opened, options, run, step_cost
from fanfare.predict import Progress


def step_times(model: fanfare.Model, seed: int, duration_s: int) -> list[float]:
    """Seconds of every step of a piece, but the first, which holds the prefill."""
    ends = []
    request = {"prompt": PROMPT, "seed": seed, "duration": duration_s}
    for event in model.events([request]):
        if isinstance(event, Progress):
            ends.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(ends)]


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", duration=30, repeats=3)
    parser.add_argument("--parts", type=int, default=6, help="of the piece")
    args = parser.parse_args()
    with opened(args) as model:
        lm, config = model.bundle.lm, model.bundle.config
        report = Report(__doc__ or "", args, lm.device)
        found = limits(lm.device, lm.dtype)
        report.limits(found)
        cost = step_cost(lm)
        runs = [step_times(model, seed, args.duration) for seed in range(args.repeats + 1)][1:]
        n_steps = len(runs[0])
        for part in range(args.parts):
            start, stop = part * n_steps // args.parts, (part + 1) * n_steps // args.parts
            in_view = min((start + stop) / 2, config.past_context or n_steps)
            moved = cost.bytes_at(ROWS_PER_PIECE, in_view)
            least_s = found.step_s(moved, cost.operations(ROWS_PER_PIECE))
            times = [1000 * sum(run[start:stop]) / (stop - start) for run in runs]
            report.row(f"steps {start} to {stop}", times, "ms", 1000 * least_s, start=start)
        report.finish()


if __name__ == "__main__":
    run(main)
