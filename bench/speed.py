"""How fast is epic-mini on this machine?

What bounds it: every decode step reads all weights of the language model once (7 M parameters,
28 MB in float32, for two rows: with and without the plan), so a machine that reads 30 GB/s could
make about 1,000 steps a second; real time is 50. Small steps are bound by the cost of launching
some hundred operations instead.

Prints a table and ends with one line of JSON. Run it on an idle machine: `make bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPT = "heroic brass fanfare over pounding taiko, 120 bpm, D minor"


def cold_start_s(repeats: int) -> list[float]:
    """Seconds from starting the command to its file, 8 s of music, process by process."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            target = Path(folder) / f"{i}.wav"
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "fanfare.cli", "generate", PROMPT, "--seed", "7",
                 "-o", str(target), "-q"],
                check=True, capture_output=True,
            )  # fmt: skip
            times.append(time.perf_counter() - started)
    return times


def measure(repeats: int) -> dict[str, object]:
    """All figures."""
    cold = cold_start_s(repeats)
    import torch

    import fanfare

    started = time.perf_counter()
    model = fanfare.load("epic-mini")
    load_s = time.perf_counter() - started
    single, batched, codec = [], [], []
    for i in range(repeats + 1):  # the first warms up
        started = time.perf_counter()
        audio = model.generate(prompt=PROMPT, seed=i)
        single.append(audio.duration_s / (time.perf_counter() - started))
        codes = torch.from_numpy(audio.codes)[None]
        started = time.perf_counter()
        model.bundle.codec.decode(codes)
        codec.append(audio.duration_s / (time.perf_counter() - started))
    for i in range(2):
        requests = [{"prompt": PROMPT, "seed": 100 * i + k} for k in range(8)]
        started = time.perf_counter()
        pieces = model.generate_batch(requests)
        batched.append(sum(p.duration_s for p in pieces) / (time.perf_counter() - started))
    return {
        "cold start to file, 8 s of music (s)": spread(cold),
        "load in a warm process (s)": round(load_s, 2),
        "one piece of 8 s (× real time)": spread(single[1:]),
        "eight at once (× real time)": round(batched[-1], 2),
        "codec decode alone (× real time)": spread(codec[1:]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}",
    }


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} … {max(values):.2f})"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    result = measure(parser.parse_args().repeats)
    for name, value in result.items():
        print(f"{name:<42}{value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
