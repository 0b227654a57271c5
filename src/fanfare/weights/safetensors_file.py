"""safetensors files, read tensor by tensor straight into the memory of the weights.

A length (8 bytes), a JSON header {name: {"dtype", "shape", "data_offsets": [from, to]}}, the data.
"""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.weights.stored import StoredTensor

MAX_HEADER_BYTES = 32 * 1024 * 1024
MAX_AXES = 16

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


def open_safetensors_file(file: Path) -> dict[str, StoredTensor]:
    """The tensors of `file`, not yet read.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            (n_header,) = struct.unpack("<Q", stream.read(8))
            if n_header > min(size - 8, MAX_HEADER_BYTES):
                raise ValueError("its header is cut off")
            header = json.loads(stream.read(n_header), object_pairs_hook=_without_doubles)
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
        header.pop("__metadata__", None)
        start = 8 + n_header
        tensors = {name: _tensor(file, entry, start) for name, entry in header.items()}
        _check_places(tensors, start, size)
    except (ArithmeticError, LookupError, OSError, RecursionError, TypeError, ValueError,
            struct.error) as error:  # fmt: skip
        reason = str(error)[:200] or type(error).__name__
        raise CheckpointError(f"{file}: damaged, or not a safetensors file: {reason}") from error
    return tensors


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("its header has an entry twice")
    return entries


def _tensor(file: Path, entry: Any, start: int) -> StoredTensor:
    dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    numbers = [first, last, *shape]
    if len(shape) > MAX_AXES or any(type(n) is not int or not 0 <= n < 2**50 for n in numbers):
        raise ValueError("a tensor of an impossible shape")
    if prod(shape) * dtype.itemsize != last - first:
        raise ValueError(f"{last - first} bytes for a tensor of {shape}")
    return StoredTensor(file, start + first, dtype, tuple(shape))


def _check_places(tensors: dict[str, StoredTensor], start: int, size: int) -> None:
    """Tensors lie one behind the other, up to the end of the file."""
    position = start
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.n_bytes)):
        if tensor.offset != position:
            raise ValueError("its tensors overlap, or leave gaps")
        position += tensor.n_bytes
    if position != size:
        raise ValueError(f"{size} bytes, but its tensors end at {position}")
