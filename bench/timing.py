"""How long things take: repetitions, their median and range."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spread:
    """The median of some measurements and their range."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} … {self.high:.4g})"


def spread(values: Sequence[float]) -> Spread:
    """Of measurements, at least one."""
    return Spread(statistics.median(values), min(values), max(values))


def seconds(action: Callable[[], object], device: torch.device | None = None) -> float:
    """How long an action takes, until the device is done with it."""
    wait(device)
    started = time.perf_counter()
    action()
    wait(device)
    return time.perf_counter() - started


def repeated(
    action: Callable[[], object], repeats: int, device: torch.device | None = None
) -> list[float]:
    """Seconds of every repetition, after one that warms up."""
    return [seconds(action, device) for _ in range(repeats + 1)][1:]


def wait(device: torch.device | None) -> None:
    """Until the device is done with what was asked of it."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
