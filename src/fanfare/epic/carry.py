"""Training state in few files of limited size, for machines that keep nothing.

What is needed to go on at the next stage: moving averages of weights in half precision, and no
optimisers. A stage that was broken off goes on from there.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

PART_BYTES = 15 * 2**20
MAX_PARTS = 6
STEM = "epic-state"


def halved(state: Any) -> Any:
    """The same with float32 matrices in float16; what is small stays exact."""
    if isinstance(state, torch.Tensor):
        is_large = state.dtype == torch.float32 and state.dim() > 1
        return state.half().cpu() if is_large else state.cpu()
    if isinstance(state, Mapping):
        return {key: halved(value) for key, value in state.items()}
    return [halved(value) for value in state] if isinstance(state, list) else state


def pack(state: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes `state` in parts into `folder`.

    Raises:
        ValueError: it needs more parts than may travel.
    """
    buffer = io.BytesIO()
    torch.save(halved(state), buffer)
    data = buffer.getbuffer()
    n = -(-len(data) // PART_BYTES)
    if n > MAX_PARTS:
        raise ValueError(f"the state takes {len(data) / 2**20:.0f} MiB, {n} parts of {MAX_PARTS}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{STEM}.*"):
        old.unlink()
    paths = [folder / f"{STEM}.{i}of{n}" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_bytes(data[i * PART_BYTES : (i + 1) * PART_BYTES])
    return paths


def unpack(folder: Path) -> dict[str, Any] | None:
    """What `pack` wrote, in float32 again; None if there is nothing.

    Raises:
        ValueError: a part is missing.
    """
    paths = sorted(folder.glob(f"{STEM}.*"))
    if not paths:
        return None
    n = int(paths[0].name.rpartition("of")[2])
    if [path.name for path in paths] != [f"{STEM}.{i}of{n}" for i in range(n)]:
        raise ValueError(f"{folder} holds {len(paths)} of {n} parts of the state")
    data = b"".join(path.read_bytes() for path in paths)
    state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
    return state


def floated(state: Any) -> Any:
    """Float16 as float32."""
    if isinstance(state, torch.Tensor):
        return state.float() if state.dtype == torch.float16 else state
    if isinstance(state, Mapping):
        return {key: floated(value) for key, value in state.items()}
    return [floated(value) for value in state] if isinstance(state, list) else state
