"""How long from typing a command to its answer?

Nothing but the interpreter has to be read for `--help`; to make music, torch must be imported, its
libraries being some hundred megabytes that are mapped, not read, when they are in the page cache.
So the limits printed are those of an empty Python and of one that imports torch; what comes on top
is ours: other libraries, reading the weights, and the music itself.

Every measurement is a process of its own. Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from common import PROMPT, Report, options, run
from sizes import weights_at
from timing import repeated


def main() -> None:
    """Measure and print."""
    args = options(__doc__ or "", duration=1).parse_args()
    report = Report(__doc__ or "", args, None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = str(weights_at(args.weights, folder))
        chosen = {
            "--weights": weights, "--engine": args.engine, "--device": args.device,
            "--dtype": args.dtype,
        }  # fmt: skip
        flags = [word for pair in chosen.items() for word in pair]
        load = (
            f"import fanfare; fanfare.load({weights!r}, engine={args.engine!r}, "
            f"device={args.device!r}, dtype={args.dtype!r})"
        )
        command = ["-m", "fanfare.cli", "generate", PROMPT, "--seed", "7", "-q", "--force"]
        piece = ["--duration", str(args.duration), "-o", str(folder / "a.wav")]
        cases = {
            "empty Python": (["-c", ""], None),
            "import fanfare": (["-c", "import fanfare"], "empty Python"),
            "fanfare --help": (["-m", "fanfare.cli", "--help"], "empty Python"),
            "import torch": (["-c", "import torch"], None),
            "load": (["-c", load], "import torch"),
            f"generate {args.duration} s to a file": ([*command, *flags, *piece], "import torch"),
        }
        least: dict[str, float] = {}
        for label, (arguments, floor) in cases.items():
            times = repeated(lambda a=arguments: _start(a), args.repeats)
            least[label] = min(times)
            report.row(label, times, "s", None if floor is None else least[floor])
    report.finish()


def _start(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    run(main)
