"""What models take of memory, before and after they are loaded."""

from __future__ import annotations

import gc
from pathlib import Path

import torch

from fanfare.engine import memory as engine_memory
from fanfare.errors import CheckpointError
from fanfare.weights.registry import find_here


def memory_in_use() -> int:
    """Bytes that this process holds, on the device or in the machine's memory."""
    if torch.cuda.is_available():
        return sum(torch.cuda.memory_allocated(i) for i in range(torch.cuda.device_count()))
    return resident_bytes()


def resident_bytes() -> int:
    """Of the machine's memory; 0 where the system doesn't say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * 4096


def give_back() -> None:
    """Hand back to the system what is free."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    engine_memory.give_back()


def size_on_disk(name: str) -> int:
    """Bytes of a model's files, which is about what it takes in memory; 0 = not known yet."""
    try:
        place = find_here(name)
    except CheckpointError:
        return 0
    if place is None:
        return 0
    if place.is_file():
        return place.stat().st_size
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
