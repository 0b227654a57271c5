"""How many pieces at once, and how much music a second?

A step reads all weights of the language model once, for however many rows; each row adds its own
cache (2 × layers × width values for every step in view) and two operations a weight. So pieces at
once are nearly free until the multiplications or the caches take as long as reading the weights.
The limit printed is the larger of both times, for steps alone. Two figures each: the steps of all
pieces together, as the language model's loop makes them, and whole pieces from request to file,
with texts, codec and loudness.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import pictures
from common import Report, add_plot, opened, options, run
from machine import limits_of, steps_s
from pieces import request_for, timed


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", repeats=3)
    parser.add_argument("--pieces", type=int, nargs="+", default=[1, 2, 4, 8], help="at once")
    add_plot(parser)
    args = parser.parse_args()
    with opened(args) as model:
        engine, config = model.engine, model.bundle.config
        report = Report(__doc__ or "", args, engine.lm.device, ran=engine.name)
        found = limits_of(engine)
        report.limits(found)
        n_frames = args.duration * config.frame_rate_hz
        alone: float | None = None
        for n_pieces in args.pieces:
            requests = [request_for(seed, args.duration) for seed in range(n_pieces)]
            least_s = steps_s(engine, found, n_frames, n_pieces)
            made = [timed(model, requests) for _ in range(args.repeats + 1)][1:]
            rates = [n_pieces * t.steps_per_s for t in made]
            alone = alone or max(rates)
            most = n_pieces * (n_frames + config.max_delay) / least_s
            report.row(
                f"{n_pieces} at once, steps", rates, "steps/s", most,
                f"× {max(rates) / alone:.2f}", pieces=n_pieces, gain=max(rates) / alone,
            )  # fmt: skip
            music_s = n_pieces * args.duration
            report.row(
                f"{n_pieces} at once, whole", [music_s / t.whole_s for t in made], "× real",
                music_s / least_s, pieces=n_pieces,
            )  # fmt: skip
        report.finish(pictures.throughput)


if __name__ == "__main__":
    run(main)
