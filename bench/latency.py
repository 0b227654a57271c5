"""How long from the call to the first sound, and to the finished piece?

The first chunk of half a second needs 25 frames, which the delay of the codebooks makes 28 steps;
each reads all weights of the language model once (epic-mini: 23 MB in float32; MusicGen small:
0.4 GB in int8, 1.6 GB in float32) and the caches of two rows, and multiplies each weight twice a
row. Before them come the text encoder and the prefill, after them the decoder's share of the codec,
loudness and the file: no limit is stated for these, so that the limit printed is that of the steps
alone.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import time

import fanfare
from common import Report, opened, options, run
from fanfare.chunks import CHUNK_S, frames_per_chunk
from machine import limits_of, steps_s
from pieces import request_for, timed


def listen(model: fanfare.Model, seed: int, duration_s: int) -> tuple[float, float]:
    """Seconds to the first chunk and to the last."""
    started = time.perf_counter()
    stream = model.stream(**request_for(seed, duration_s))
    next(stream)
    first_s = time.perf_counter() - started
    last_s = first_s
    for _ in stream:
        last_s = time.perf_counter() - started
    return first_s, last_s


def main() -> None:
    """Measure and print."""
    args = options(__doc__ or "").parse_args()
    with opened(args) as model:
        engine, config = model.engine, model.bundle.config
        report = Report(__doc__ or "", args, engine.lm.device, ran=engine.name)
        found = limits_of(engine)
        report.limits(found)
        n_frames = args.duration * config.frame_rate_hz
        n_first = frames_per_chunk(CHUNK_S, config.frame_rate_hz)
        least_s, first_s = steps_s(engine, found, n_frames), steps_s(engine, found, n_first)
        seeds = range(args.repeats + 1)  # the first warms up
        heard = [listen(model, seed, args.duration) for seed in seeds][1:]
        made = [timed(model, [request_for(seed, args.duration)]) for seed in seeds][1:]
        n_steps = n_frames + config.max_delay
        report.row("steps", [t.steps_per_s for t in made], "steps/s", n_steps / least_s)
        report.row("first sound", [t[0] for t in heard], "s", first_s)
        report.row("last sound", [t[1] for t in heard], "s", least_s)
        report.row("whole, to the file", [t.whole_s for t in made], "s", least_s)
        report.row(
            "music per second, whole", [args.duration / t.whole_s for t in made], "× real",
            args.duration / least_s,
        )  # fmt: skip
        report.finish()


if __name__ == "__main__":
    run(main)
