"""How many pieces at once, and how much music a second?

A step reads all weights of the language model once, for however many rows; each row adds its own
cache (2 × layers × width values for every step in view) and two operations a weight. So pieces at
once are nearly free until the multiplications or the caches take as long as reading the weights.
The limit printed is the larger of both times, for steps alone: conditions before and the codec
after them are in what is measured.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

from common import (
    PROMPT,
    ROWS_PER_PIECE,
    Report,
    limits,
    mean_length,
    opened,
    options,
    repeated,
    run,
    step_cost,
)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", repeats=3)
    parser.add_argument("--pieces", type=int, nargs="+", default=[1, 2, 4, 8], help="at once")
    args = parser.parse_args()
    with opened(args) as model:
        lm, config = model.bundle.lm, model.bundle.config
        report = Report(__doc__ or "", args, lm.device)
        found = limits(lm.device, lm.dtype)
        report.limits(found)
        cost = step_cost(lm)
        n_frames = args.duration * config.frame_rate_hz
        n_steps, length = n_frames + max(config.delays), mean_length(config, n_frames)
        for n_pieces in args.pieces:
            requests = [
                {"prompt": PROMPT, "seed": seed, "duration": args.duration}
                for seed in range(n_pieces)
            ]
            n_rows = n_pieces * ROWS_PER_PIECE
            least_s = n_steps * found.step_s(cost.bytes_at(n_rows, length), cost.operations(n_rows))
            times = repeated(lambda r=requests: model.generate_batch(r), args.repeats, lm.device)
            music_s = n_pieces * args.duration
            report.row(
                f"{n_pieces} at once", [music_s / t for t in times], "× real", music_s / least_s,
                pieces=n_pieces, steps_per_s=n_steps / min(times),
            )  # fmt: skip
        report.finish()


if __name__ == "__main__":
    run(main)
