"""What the benchmarks have in common: options, a model to measure, a report.

`machine` measures what the machine can do, `sizes` makes models of the published sizes ("random-…"
as --weights), `pieces` times what is made with them, `pictures` draws.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import fanfare
from machine import Limits, hardware
from sizes import weights_at
from timing import spread

PROMPT = "heroic brass fanfare over pounding taiko, 120 bpm, D minor"
NO_CUDA = "no CUDA device on this machine: these benchmarks need one (`make bench` does not)"


def options(about: str, **defaults: Any) -> argparse.ArgumentParser:
    """The flags that all benchmarks know; `about` is the module's docstring."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="epic-mini", help="as fanfare.load, or random-small …")
    parser.add_argument("--engine", default="auto", help="as fanfare.load")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--duration", type=int, default=8, help="of a piece, in seconds")
    parser.set_defaults(**defaults)
    return parser


def add_plot(parser: argparse.ArgumentParser) -> None:
    """The flag of those that can draw."""
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw what was measured")


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; what is wrong with its options is one line."""
    try:
        main()
    except fanfare.FanfareError as error:
        sys.exit(f"error: {error}")


def needs_cuda() -> None:
    """Stop, with one line, where there is no CUDA device."""
    if not torch.cuda.is_available():
        sys.exit(NO_CUDA)


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[fanfare.Model]:
    """The model that the options name."""
    with tempfile.TemporaryDirectory(prefix="fanfare-bench-") as folder:
        yield fanfare.load(
            weights_at(args.weights, Path(folder)),
            engine=args.engine,
            device=args.device,
            dtype=args.dtype,
        )


class Report:
    """Rows of measurements, printed as they come; the last line is all of it as JSON."""

    def __init__(
        self, about: str, args: argparse.Namespace, device: torch.device | None, **more: Any
    ) -> None:
        """`more` are facts of the whole run, such as the engine's name."""
        self.facts: dict[str, Any] = {
            "bench": Path(sys.argv[0]).stem,
            "machine": hardware(device),
            "commit": _commit(),
            **vars(args),
            **more,
            "rows": [],
        }
        print(about.strip().split("\n\n")[0])
        print(self.facts["machine"])
        for name, fact in more.items():
            print(f"{name}: {fact}")

    def limits(self, found: Limits) -> None:
        """What the machine can do."""
        self.facts["limits"] = asdict(found)
        print(
            f"limits: {found.bytes_per_s / 1e9:.1f} GB/s copied, "
            f"{found.operations_per_s / 1e9:,.0f} Gop/s multiplied"
        )

    def row(
        self,
        name: str,
        values: Sequence[float],
        unit: str,
        limit: float | None = None,
        note: str = "",
        **more: Any,
    ) -> None:
        """A measurement. `limit` is the best that could be, in its unit; `more` is for JSON."""
        found = spread(values)
        entry: dict[str, Any] = {"name": name, "unit": unit, **asdict(found), **more}
        said = f"  {note}" if note else ""
        if limit is not None:
            entry |= {"limit": limit, "of_limit": share(found.median, limit, unit)}
            said += f"  limit {limit:.4g}, {100 * entry['of_limit']:.0f} % of it"
        self.facts["rows"].append(entry)
        print(f"{name:<52}{found!s:>30} {unit:<12}{said}", flush=True)

    def finish(self, plot: Callable[[dict[str, Any], Path], None] | None = None) -> None:
        """The line of JSON; before it a picture by `plot`, where --plot asks for one."""
        path = self.facts.get("plot")
        if plot is not None and path is not None:
            plot(self.facts, path)
            print(f"drawn: {path}")
        print(json.dumps(self.facts, default=str))


def share(measured: float, limit: float, unit: str) -> float:
    """How much of what is possible is achieved; times are best short, rates best high."""
    is_cost = unit in ("s", "ms", "MB")
    return limit / measured if is_cost else measured / limit


def _commit() -> str | None:
    made = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent,
        capture_output=True, text=True,
    )  # fmt: skip
    return made.stdout.strip() or None


if __name__ == "__main__":
    needs_cuda()  # what `make bench-gpu` asks first
