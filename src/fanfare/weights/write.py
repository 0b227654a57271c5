"""Tensors to disk: safetensors files, written tensor by tensor.

Beside the weights themselves no more than one of them is in memory, whatever the type on disk.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fanfare.errors import CheckpointError

NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip

HALVES = (torch.float16, torch.bfloat16)


def narrowest(tensors: Iterable[Tensor]) -> torch.dtype:
    """The smallest type that holds every matrix among `tensors` exactly; of two, the present."""
    matrices = [tensor for tensor in tensors if _is_matrix(tensor)]
    left = sorted(HALVES, key=lambda half: all(matrix.dtype != half for matrix in matrices))
    for matrix in matrices:
        left = [half for half in left if _holds(half, matrix)]
    return left[0] if left else torch.float32


def _holds(half: torch.dtype, matrix: Tensor) -> bool:
    return matrix.dtype == half or torch.equal(matrix.to(half).to(matrix.dtype), matrix)


def write_tensors(file: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Write a safetensors file: matrices as `dtype`, everything else as it is.

    Vectors (norms, biases, statistics) are small, and what they are worth is in their last digits.

    Raises:
        CheckpointError: a weight is too large for `dtype`.
    """
    types = {name: dtype if _is_matrix(t) else t.dtype for name, t in tensors.items()}
    # Wide types first: every tensor is then aligned to its own width.
    names = sorted(tensors, key=lambda name: (-types[name].itemsize, name))
    header: dict[str, Any] = {}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].numel() * types[name].itemsize
        shape = list(tensors[name].shape)
        header[name] = {"dtype": NAMES[types[name]], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            converted = tensors[name].detach().to("cpu", types[name]).contiguous()
            if types[name] != tensors[name].dtype and not _same_finite(tensors[name], converted):
                raise CheckpointError(
                    f"{name} is too large for {str(dtype).removeprefix('torch.')}"
                )
            stream.write(converted.reshape(-1).view(torch.uint8).numpy().data)


def write_in_parts(
    folder: Path, stem: str, tensors: Mapping[str, Tensor], dtype: torch.dtype, part_bytes: int
) -> None:
    """Write tensors as `write_tensors` does, in files of `part_bytes` at most and their index.

    One file, `<stem>.safetensors`, where they fit into it. No tensor is divided.
    """
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        n_bytes = tensor.numel() * (dtype if _is_matrix(tensor) else tensor.dtype).itemsize
        if size + n_bytes > part_bytes and parts[-1]:
            parts.append({})
            size = 0
        parts[-1][name] = tensor
        size += n_bytes
    if len(parts) == 1:
        write_tensors(folder / f"{stem}.safetensors", tensors, dtype)
        return
    places: dict[str, str] = {}
    for i, part in enumerate(parts, 1):
        file = f"{stem}-{i:05}-of-{len(parts):05}.safetensors"
        write_tensors(folder / file, part, dtype)
        places |= dict.fromkeys(part, file)
    write_json(folder / f"{stem}.safetensors.index.json", {"weight_map": places})


def write_json(file: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file that people can read."""
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() > 1


def _same_finite(before: Tensor, after: Tensor) -> bool:
    return int(before.isinf().sum()) == int(after.isinf().sum())
