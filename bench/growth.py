"""Does music get dearer as a piece gets longer?

A step reads the weights, and of each row the keys and values of every step in view: at the end of
30 s of MusicGen small that is 150 MB a row in half precision, beside 720 MB of weights. Models with
a window (epic-mini) stop growing when it is full, and what goes on beyond it costs the same for
ever. So a step may grow by as much as its caches do and no more; the limit printed is that of the
steps in each part of a piece. Of whole pieces, time per second of music and peak memory should be
flat: within 15 % of what a piece of 30 s takes. Shorter ones carry what each piece costs whatever
its length; longer ones need memory for their samples (128 kB a second) and little else.

Prints the time of a step by part of a piece, then time and memory of whole pieces, and ends with
one line of JSON.
"""

from __future__ import annotations

import itertools
import time

import fanfare
import pictures
from common import Report, add_plot, opened, options, run
from fanfare.predict import Progress
from machine import ROWS_PER_PIECE, limits_of, peak_mb, restart_peak, step_cost
from pieces import request_for, timed
from timing import spread, wait

REFERENCE_S = 30
FLAT = 0.15
"""Share by which a piece may differ from one of REFERENCE_S."""


def part_ends(n_steps: int, n_parts: int) -> list[int]:
    """The number of the last step of each part, and before them that of the first step."""
    return [1, *(part * n_steps // n_parts for part in range(1, n_parts + 1))]


def part_times(model: fanfare.Model, seed: int, duration_s: int, ends: list[int]) -> list[float]:
    """Milliseconds by step in each part of a piece; the first step, with the prefill, isn't in."""
    device, at = model.bundle.lm.device, {}
    for event in model.events([request_for(seed, duration_s)]):
        if isinstance(event, Progress) and event.step in ends:
            wait(device)
            at[event.step] = time.perf_counter()
    return [1000 * (at[b] - at[a]) / (b - a) for a, b in itertools.pairwise(ends)]


def by_part(
    report: Report, model: fanfare.Model, duration_s: int, n_parts: int, repeats: int
) -> None:
    """Steps of one piece."""
    config = model.bundle.config
    found, cost = limits_of(model.engine), step_cost(model.engine)
    report.limits(found)
    n_steps = duration_s * config.frame_rate_hz + config.max_delay
    ends = part_ends(n_steps, n_parts)
    runs = [part_times(model, seed, duration_s, ends) for seed in range(repeats + 1)][1:]
    for i, (start, stop) in enumerate(itertools.pairwise(ends)):
        in_view = min((start + stop) / 2, config.past_context or n_steps)
        moved = cost.bytes_at(ROWS_PER_PIECE, in_view)
        least_ms = 1000 * found.step_s(moved, cost.operations(ROWS_PER_PIECE))
        times = [run[i] for run in runs]
        report.row(f"steps {start} to {stop} of {duration_s} s", times, "ms", least_ms, start=start)


def by_length(report: Report, model: fanfare.Model, durations: list[int], repeats: int) -> None:
    """Whole pieces; in rising order, so that what the heap keeps of one isn't charged to the next.

    Memory is that of the first round: later ones begin with what longer pieces have left.
    """
    device = model.bundle.lm.device
    lengths = sorted({*durations, REFERENCE_S})
    times: dict[int, list[float]] = {length: [] for length in lengths}
    peaks: dict[int, float] = {}
    timed(model, [request_for(0, 1)])
    for seed in range(repeats):
        for length in lengths:
            restart_peak(device)
            took_s = timed(model, [request_for(seed, length)]).whole_s
            times[length].append(1000 * took_s / length)
            peaks.setdefault(length, peak_mb(device))
    for length in lengths:
        ratio = spread(times[length]).median / spread(times[REFERENCE_S]).median
        report.row(
            f"a piece of {length} s", times[length], "ms/s", None, said(ratio),
            ratio=ratio, flat=is_flat(ratio), duration_s=length,
        )  # fmt: skip
    for length in lengths:
        ratio = peaks[length] / peaks[REFERENCE_S]
        report.row(
            f"a piece of {length} s, peak", [peaks[length]], "MB", None, said(ratio),
            ratio=ratio, flat=is_flat(ratio), duration_s=length,
        )  # fmt: skip


def is_flat(ratio: float) -> bool:
    """Whether it is near enough to what a piece of REFERENCE_S takes."""
    return abs(ratio - 1) <= FLAT


def said(ratio: float) -> str:
    """In words."""
    verdict = "flat" if is_flat(ratio) else "not flat"
    return f"{100 * (ratio - 1):+.0f} % against {REFERENCE_S} s: {verdict}"


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", duration=30, repeats=3)
    parser.add_argument("--parts", type=int, default=6, help="of the piece")
    parser.add_argument(
        "--durations", type=int, nargs="*", default=[5, 10, 30, 60, 120, 300],
        help="of whole pieces, in seconds; none = only parts of one piece",
    )  # fmt: skip
    add_plot(parser)
    args = parser.parse_args()
    with opened(args) as model:
        report = Report(__doc__ or "", args, model.bundle.lm.device, ran=model.engine.name)
        by_part(report, model, args.duration, args.parts, args.repeats)
        if args.durations:
            by_length(report, model, args.durations, args.repeats)
        report.finish(pictures.growth)


if __name__ == "__main__":
    run(main)
