"""How long from the call to the first sound, and to the finished piece?

The first chunk of half a second needs 25 frames, which the delay of the codebooks makes 28 steps;
each reads all weights of the language model once (epic-mini: 23 MB in float32; MusicGen small:
1.4 GB) and the caches of two rows, and multiplies each weight twice a row. Before them come the
text encoder and the prefill, after them the decoder's share of the codec: no limit is stated for
these, so that the limit printed is that of the steps alone.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import time

import fanfare
from common import PROMPT, ROWS_PER_PIECE, Report, limits, opened, options, run, step_cost
from fanfare.chunks import CHUNK_S, frames_per_chunk


def listen(model: fanfare.Model, seed: int, duration_s: int) -> tuple[float, float, float]:
    """Seconds to the first chunk, to the last, and to the finished piece."""
    started = time.perf_counter()
    stream = model.stream(prompt=PROMPT, seed=seed, duration=duration_s)
    next(stream)
    first_s = time.perf_counter() - started
    last_s = first_s
    for _ in stream:
        last_s = time.perf_counter() - started
    return first_s, last_s, time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    args = options(__doc__ or "").parse_args()
    with opened(args) as model:
        lm, config = model.bundle.lm, model.bundle.config
        report = Report(__doc__ or "", args, lm.device)
        found = limits(lm.device, lm.dtype)
        report.limits(found)
        cost, delay = step_cost(lm), max(config.delays)

        def steps_s(n_frames: int) -> float:
            n_steps = n_frames + delay
            moved = cost.bytes_at(ROWS_PER_PIECE, n_steps / 2)
            return n_steps * found.step_s(moved, cost.operations(ROWS_PER_PIECE))

        times = [listen(model, seed, args.duration) for seed in range(args.repeats + 1)][1:]
        n_first = frames_per_chunk(CHUNK_S, config.frame_rate_hz)
        n_all = args.duration * config.frame_rate_hz
        report.row("first sound", [t[0] for t in times], "s", steps_s(n_first))
        report.row("last sound", [t[1] for t in times], "s", steps_s(n_all))
        report.row("finished piece", [t[2] for t in times], "s", steps_s(n_all))
        report.row(
            "music per second, streamed", [args.duration / t[1] for t in times], "× real",
            args.duration / steps_s(n_all),
        )  # fmt: skip
        report.finish()


if __name__ == "__main__":
    run(main)
