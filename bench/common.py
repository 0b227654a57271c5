"""What the benchmarks have in common: options, a model to measure, the machine's limits, a report.

Limits are measured on the machine at hand, in the same run: how fast it copies memory that no cache
holds, and how fast it multiplies matrices. A step of a language model can't be faster than reading
its weights and its caches once, nor than its multiplications.

"random-small", "random-medium", … as --weights are models of the published sizes with random
numbers: as fast as the real ones, and nothing needs to be fetched. Their codec is of the published
size, too; their text encoder is tiny.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import fanfare
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel

PROMPT = "heroic brass fanfare over pounding taiko, 120 bpm, D minor"
COPY_BYTES = 256 * 2**20
MATRIX = {"cpu": 1024, "cuda": 8192}
ROWS_PER_PIECE = 2
"""Guidance runs each piece with its conditions and without."""


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


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; what is wrong with its options is one line."""
    try:
        main()
    except fanfare.FanfareError as error:
        sys.exit(f"error: {error}")


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


def weights_at(name: str, folder: Path) -> str | Path:
    """`name`, or a folder below `folder` with random weights of the size that it names."""
    if not name.startswith("random-"):
        return name
    from dataclasses import replace

    from safetensors.torch import save_file
    from transformers.utils import logging

    from fanfare.weights.published import PUBLISHED
    from load import random_weights, small_text_encoder, write_tokenizer

    tiny = replace(PUBLISHED["small"], n_layers=2, dim=128, n_heads=4, ffn_dim=256)
    shapes: dict[str, LmConfig] = {**PUBLISHED, "tiny": tiny}
    size = name.removeprefix("random-")
    if size not in shapes:
        raise fanfare.InputError("weights", name, f"random- goes before {', '.join(shapes)}")
    config = shapes[size]
    folder = folder / name
    folder.mkdir()
    save_file(random_weights(config, torch.float16), folder / "lm.safetensors")
    card = {"format": 1, "name": name, "licence": None, "lm": config.to_dict(), "extra": None}
    (folder / "fanfare.json").write_text(json.dumps(card))
    logging.disable_progress_bar()
    published_codec().save_pretrained(folder / "codec")
    small_text_encoder().save_pretrained(folder / "text")
    write_tokenizer(folder / "text")
    return folder


def published_codec() -> Any:
    """An EnCodec of the size of facebook/encodec_32khz, with random weights."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    return EncodecModel(
        EncodecConfig(
            sampling_rate=32000, num_filters=64, upsampling_ratios=[8, 5, 4, 4], hidden_size=128,
            codebook_size=2048, target_bandwidths=[2.2], use_causal_conv=False,
            use_conv_shortcut=False,
        )
    )  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """The median of some measurements and their range."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} … {self.high:.4g})"


def spread(values: list[float]) -> Spread:
    """Of measurements, at least one."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(action: Callable[[], object], device: torch.device | None = None) -> float:
    """How long an action takes, until the device is done with it."""
    _wait(device)
    started = time.perf_counter()
    action()
    _wait(device)
    return time.perf_counter() - started


def repeated(
    action: Callable[[], object], repeats: int, device: torch.device | None = None
) -> list[float]:
    """Seconds of every repetition, after one that warms up."""
    return [seconds(action, device) for _ in range(repeats + 1)][1:]


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Limits:
    """What the device can do at best: bytes read or written, operations of matrices, a second."""

    bytes_per_s: float
    operations_per_s: float

    def step_s(self, n_bytes: float, n_operations: float) -> float:
        """The shortest time in which so much can be moved and computed, both at once."""
        return max(n_bytes / self.bytes_per_s, n_operations / self.operations_per_s)


def limits(device: torch.device, dtype: torch.dtype) -> Limits:
    """Measured now: the best of some, since other work only slows them."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copy_s = min(repeated(lambda: target.copy_(source), 5, device))
    n = MATRIX.get(device.type, 1024)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    multiply_s = min(repeated(lambda: a @ b, 5, device))
    return Limits(2 * COPY_BYTES / copy_s, 2 * n**3 / multiply_s)


@dataclass(frozen=True)
class StepCost:
    """What one step of a language model reads and computes."""

    weight_bytes: int
    n_weights: int
    cache_bytes_per_step: int

    def bytes_at(self, n_rows: int, length: float) -> float:
        """Moved by a step of rows that are `length` steps long: weights once, caches by row."""
        return self.weight_bytes + n_rows * length * self.cache_bytes_per_step

    def operations(self, n_rows: int) -> float:
        """Of a step: a multiplication and an addition by weight and row."""
        return 2.0 * n_rows * self.n_weights


def step_cost(lm: LanguageModel) -> StepCost:
    """From the shape of a model; embeddings are looked up, not read whole.

    Engines that hold weights in fewer bits than `lm` may be faster than what follows from this.
    """
    config = lm.config
    width, n_weights = 0, 0.0
    for name, tensor in lm.named_parameters():
        if tensor.ndim > 1 and name.startswith(("layers.", "heads.")):
            # Of the weights for texts, keys and values are used once a piece only.
            n_weights += tensor.numel() / (3 if "cross_attn.in_proj" in name else 1)
            width = tensor.element_size()
    cache = 2 * config.n_layers * config.dim * width
    return StepCost(round(n_weights * width), round(n_weights), cache)


def mean_length(config: LmConfig, n_frames: int) -> float:
    """Steps in view, on the average over a piece."""
    view = config.past_context or n_frames
    full = max(0, n_frames - view)
    grown = min(n_frames, view)
    return (full * view + grown * grown / 2) / n_frames


def hardware(device: torch.device | None = None) -> str:
    """The machine in a line."""
    info = Path("/proc/cpuinfo")
    names = [x for x in info.read_text().splitlines() if x.startswith("model name")] if (
        info.exists()
    ) else []  # fmt: skip
    cpu = names[0].split(":", 1)[1].strip() if names else platform.processor()
    line = f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if device is not None and device.type == "cuda":
        line += f", {torch.cuda.get_device_name(device)}"
    return f"{line}, torch {torch.__version__}, Python {platform.python_version()}"


class Report:
    """Rows of measurements, printed as they come; the last line is all of it as JSON."""

    def __init__(self, about: str, args: argparse.Namespace, device: torch.device | None) -> None:
        self.facts: dict[str, Any] = {
            "bench": Path(sys.argv[0]).stem,
            "machine": hardware(device),
            "commit": _commit(),
            **vars(args),
            "rows": [],
        }
        print(about.strip().split("\n\n")[0])
        print(self.facts["machine"])

    def limits(self, found: Limits) -> None:
        """What the machine can do."""
        self.facts["limits"] = asdict(found)
        print(
            f"limits: {found.bytes_per_s / 1e9:.1f} GB/s copied, "
            f"{found.operations_per_s / 1e9:,.0f} Gop/s multiplied"
        )

    def row(
        self, name: str, values: list[float], unit: str, limit: float | None = None, **more: Any
    ) -> None:
        """A measurement. `limit` is the best that could be, in the same unit."""
        found = spread(values)
        entry: dict[str, Any] = {"name": name, "unit": unit, **asdict(found), **more}
        said = ""
        if limit is not None:
            entry |= {"limit": limit, "of_limit": share(found.median, limit, unit)}
            said = f"  limit {limit:.4g}, {100 * entry['of_limit']:.0f} % of it"
        self.facts["rows"].append(entry)
        print(f"{name:<44}{found!s:>30} {unit:<12}{said}", flush=True)

    def finish(self) -> None:
        """The line of JSON."""
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
