"""StoredTensor: where a tensor lies in a file, read when it is needed and not before.

Files are read, not mapped: mapped pages would count twice while weights are converted, writing to
the weights (training) would need the room anyway, and a file that shrinks would kill the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from fanfare.errors import CheckpointError

BUFFER_BYTES = 16 * 1024 * 1024
"""How much is read at once when it is converted."""

FLOAT16_MAX = 65504.0

MAX_SHARED = 2
"""How often the bytes of a file may be used: tensors that are tied are there once, used twice."""


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor of a file; calling it reads it.

    Attributes:
        file: where it is.
        offset: bytes before its first element.
        dtype: of its elements, little-endian.
        shape: its shape.
        stride: elements to skip along each axis; None = contiguous.
    """

    file: Path
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] | None = None

    @property
    def n_bytes(self) -> int:
        """How large it is in memory."""
        return prod(self.shape) * self.dtype.itemsize

    def __call__(self) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            CheckpointError: the file isn't what it was when it was opened.
        """
        if self.stride is None or 0 in self.shape:
            tensor = torch.empty(self.shape, dtype=self.dtype)
            self.into(tensor)
            return tensor
        flat = torch.empty(span(self.shape, self.stride), dtype=self.dtype)
        StoredTensor(self.file, self.offset, self.dtype, tuple(flat.shape)).into(flat)
        return flat.as_strided(self.shape, self.stride)

    def into(self, target: Tensor, buffer: Tensor | None = None) -> None:
        """Fill `target`, contiguous and of this shape but of any floating type and device.

        Args:
            buffer: a `new_buffer` to use for one tensor after the other. One for each would leave
                holes between the weights in memory: up to a fifth more.

        Raises:
            CheckpointError: the file isn't what it was, or a weight is too large for float16.
        """
        assert target.shape == self.shape, (target.shape, self.shape)
        if self.stride is not None:
            _convert(self(), target, self.file)
            return
        flat = target.view(-1)
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.offset)
            if target.dtype == self.dtype and target.device.type == "cpu":
                self._read(file, flat)
                return
            buffer = (new_buffer() if buffer is None else buffer).view(self.dtype)
            for start in range(0, flat.numel(), buffer.numel()):
                part = flat[start : start + buffer.numel()]
                self._read(file, buffer[: part.numel()])
                _convert(buffer[: part.numel()], part, self.file)

    def _read(self, file: IO[bytes], part: Tensor) -> None:
        room = memoryview(part.view(torch.uint8).numpy())  # type: ignore[arg-type]
        while room:
            count = file.readinto(room)  # type: ignore[attr-defined]
            if not count:
                raise CheckpointError(f"{self.file}: it became shorter while it was read")
            room = room[count:]


def new_buffer() -> Tensor:
    """For `StoredTensor.into`."""
    return torch.empty(BUFFER_BYTES, dtype=torch.uint8)


def _convert(source: Tensor, target: Tensor, file: Path) -> None:
    """Copy into another type; to float16 only what it can hold."""
    target.copy_(source)
    if target.dtype == torch.float16 and source.dtype != torch.float16 and source.numel():
        largest = max(-float(source.min()), float(source.max()))
        if largest > FLOAT16_MAX:
            raise CheckpointError(
                f"{file}: a weight of {largest:.3g} is too large for float16;"
                " load it as bfloat16 or float32"
            )


def span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to the last one that a tensor uses, both included."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def check_total(tensors: Iterable[StoredTensor], what: str) -> None:
    """Refuse tensors that share bytes so often that a small file would fill the memory.

    Raises:
        CheckpointError: they are larger than twice their files.
    """
    by_file: dict[Path, int] = {}
    for tensor in tensors:
        by_file[tensor.file] = by_file.get(tensor.file, 0) + tensor.n_bytes
    for file, n_bytes in by_file.items():
        if n_bytes > MAX_SHARED * file.stat().st_size:
            raise CheckpointError(
                f"{what}: its tensors are {n_bytes / 1e9:.1f} GB, of a file of"
                f" {file.stat().st_size / 1e9:.1f} GB"
            )
