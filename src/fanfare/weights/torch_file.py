"""Files of `torch.save`, of either kind, read without torch's own unpickler.

    zip     <name>/data.pkl, <name>/data/<key> (uncompressed), since torch 1.6
    legacy  pickles of a magic number, a version, the system and the value; then the storages

Tensors become `StoredTensor`s: nothing of them is read yet, so that what isn't used (the state of
an optimizer) costs nothing. What a file says of its tensors is checked against its size.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any, cast

import torch

from fanfare.errors import CheckpointError
from fanfare.weights.pickles import Global, Maker, interpret, make
from fanfare.weights.stored import StoredTensor, span

MAX_PICKLE_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 1000
MAX_AXES = 16
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip's entry: signature, lengths of name and extra

DTYPES = {
    name: getattr(torch, name)
    for name in (
        "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
        "bool", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2",
    )
}  # fmt: skip

STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
}  # fmt: skip

DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, NotImplementedError, OSError,
    RecursionError, RuntimeError, TypeError, ValueError, struct.error, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
"""What reading a damaged file may raise."""


@dataclass(frozen=True)
class _Storage:
    """Bytes of the file that tensors look at, as elements of one type."""

    offset: int
    n_bytes: int
    dtype: torch.dtype


def open_torch_file(file: Path) -> object:
    """What `torch.save` wrote to `file`: plain values, `Made` and `StoredTensor`.

    Raises:
        CheckpointError: it is missing or damaged, or holds what isn't known to be harmless.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    try:
        with file.open("rb") as stream:
            if stream.read(4) == b"PK\x03\x04":
                return _open_zip(file, stream)
            stream.seek(0)
            return _open_legacy(file, stream)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{file}: refused to unpickle it: {error}") from error
    except DAMAGE as error:
        reason = str(error)[:200] or type(error).__name__
        raise CheckpointError(f"{file}: damaged, or no checkpoint: {reason}") from error


def _open_zip(file: Path, stream: IO[bytes]) -> object:
    archive = zipfile.ZipFile(stream)
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) != len(archive.infolist()):
        raise ValueError("two entries have one name")
    roots = [name for name in entries if re.fullmatch(r"[^/]*/data\.pkl", name)]
    if len(roots) != 1:
        raise ValueError("a zip file, but not of torch.save")
    root = roots[0].removesuffix("data.pkl")
    if entries[roots[0]].file_size > MAX_PICKLE_BYTES:
        raise ValueError("its pickle is larger than any checkpoint's")
    byteorder = entries.get(root + "byteorder")
    if byteorder is not None and (
        byteorder.file_size > 16 or archive.read(_plain_entry(byteorder)) != b"little"
    ):
        raise ValueError("it was written on a big-endian machine")
    known: dict[str, tuple[int, int]] = {}

    def resolve(reference: object) -> _Storage:
        dtype, key, n_bytes = _reference(reference, n_parts=5)
        if key not in known:
            known[key] = _locate(stream, _plain_entry(entries[f"{root}data/{key}"]))
        offset, n_stored = known[key]
        if n_bytes > n_stored:
            raise ValueError(f"a storage of {n_bytes} bytes has {n_stored}")
        return _Storage(offset, n_bytes, dtype)

    content = archive.read(_plain_entry(entries[roots[0]]))
    return interpret(BytesIO(content), _makers(file), resolve)


def _plain_entry(entry: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """`entry`, unless it is packed: torch never does, and what is small might grow huge."""
    is_stored = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
    if not is_stored or entry.file_size != entry.compress_size:
        raise ValueError(f"its entry {entry.filename[:40]!r} is compressed or encrypted")
    return entry


def _locate(stream: IO[bytes], entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Where an entry's bytes start, and how many there are."""
    stream.seek(entry.header_offset)
    signature, n_name, n_extra = LOCAL_HEADER.unpack(stream.read(LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise ValueError(f"its entry {entry.filename[:40]!r} isn't where it should be")
    start = entry.header_offset + LOCAL_HEADER.size + n_name + n_extra
    if start + entry.file_size > stream.seek(0, 2):
        raise ValueError(f"its entry {entry.filename[:40]!r} is cut off")
    return start, entry.file_size


class _Capped:
    """A file that gives no more at once than it holds, nor than any pickle's string is long.

    Python sets memory aside for all that is asked for before it reads any of it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.tell, self.seek = stream.tell, stream.seek
        position = stream.tell()
        self.size = stream.seek(0, 2)
        stream.seek(position)

    def read(self, n: int) -> bytes:
        if not 0 <= n <= min(MAX_PICKLE_BYTES, self.size - self.stream.tell()):
            raise ValueError("it ends too early")
        return self.stream.read(n)

    def readline(self) -> bytes:
        return self.stream.readline(MAX_LINE_BYTES)


def _open_legacy(file: Path, raw: IO[bytes]) -> object:
    stream = cast(IO[bytes], _Capped(raw))

    def refuse(reference: object) -> object:
        raise pickle.UnpicklingError("it has tensors where none belong")

    if interpret(stream, {}, refuse) != LEGACY_MAGIC:
        raise ValueError("not written by torch.save")
    version, system = interpret(stream, {}, refuse), interpret(stream, {}, refuse)
    if version != LEGACY_VERSION or not isinstance(system, dict):
        raise ValueError(f"torch.save of an unknown version {str(version)[:20]}")
    if system.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    start = stream.tell()
    sizes: dict[str, tuple[int, int]] = {}  # by key: bytes, and of one element

    def note(reference: object) -> _Storage:
        dtype, key, n_bytes = _reference(reference, n_parts=6)
        if sizes.setdefault(key, (n_bytes, dtype.itemsize)) != (n_bytes, dtype.itemsize):
            raise ValueError("a storage of two sizes")
        return _Storage(0, n_bytes, dtype)

    interpret(stream, _makers(file), note)  # only to learn of the storages, which follow
    offsets = _legacy_offsets(stream, sizes, interpret(stream, {}, refuse))

    def resolve(reference: object) -> _Storage:
        dtype, key, n_bytes = _reference(reference, n_parts=6)
        return _Storage(offsets[key], n_bytes, dtype)

    stream.seek(start)
    return interpret(stream, _makers(file), resolve)


def _legacy_offsets(
    stream: IO[bytes], sizes: dict[str, tuple[int, int]], keys: object
) -> dict[str, int]:
    """Where each storage starts; each is preceded by the number of its elements."""
    if not isinstance(keys, list):
        raise ValueError("it doesn't list its storages")
    position = stream.tell()
    end = stream.seek(0, 2)
    offsets: dict[str, int] = {}
    for key in keys:
        n_bytes, itemsize = sizes[key]
        stream.seek(position)
        (count,) = struct.unpack("<q", stream.read(8))
        if count * itemsize != n_bytes or position + 8 + n_bytes > end:
            raise ValueError("a storage is cut off")
        offsets[key] = position + 8
        position += 8 + n_bytes
    return offsets


def _reference(reference: object, n_parts: int) -> tuple[torch.dtype, str, int]:
    """Element type, key and bytes of the storage that a persistent id means."""
    if not isinstance(reference, tuple) or len(reference) < 5 or len(reference) > n_parts:
        raise ValueError("an unknown kind of reference")
    kind, storage, key, _, count = reference[:5]
    dtype = STORAGES.get(storage.name.rpartition(".")[2]) if isinstance(storage, Global) else None
    if kind != "storage" or dtype is None or not isinstance(key, str):
        raise ValueError("a storage of an unknown kind")
    if type(count) is not int or not 0 <= count < 2**50:
        raise ValueError("a storage of an impossible size")
    if n_parts > 5 and reference[5:] != (None,):
        raise ValueError("a storage that is part of another")
    return dtype, key, count * dtype.itemsize


def _makers(file: Path) -> dict[str, Maker]:
    """What stands for the calls that tensors are pickled as."""

    def rebuild(
        storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any, dtype: Any = None
    ) -> StoredTensor:
        if not isinstance(storage, _Storage):
            raise TypeError("a tensor without a storage")
        return _tensor(file, storage, dtype or storage.dtype, offset, shape, stride)

    def rebuild_v3(
        storage: Any,
        offset: Any,
        shape: Any,
        stride: Any,
        grad: Any,
        hooks: Any,
        dtype: Any,
        *_: Any,
    ) -> StoredTensor:
        known = DTYPES.get(dtype.name.removeprefix("torch.")) if isinstance(dtype, Global) else None
        if known is None:
            raise ValueError("a tensor of an unknown type")
        return rebuild(storage, offset, shape, stride, dtype=known)

    def first(tensor: Any, *_: Any) -> Any:
        return tensor

    def subclass(function: Any, kind: Any, args: Any, *_: Any) -> Any:
        if not isinstance(function, Global) or function.name not in rebuilders:
            raise ValueError("a tensor of an unknown class")
        return make(function.name, args, rebuilders)

    rebuilders: dict[str, Maker] = {
        "torch._utils._rebuild_tensor": rebuild,
        "torch._utils._rebuild_tensor_v2": rebuild,
        "torch._utils._rebuild_tensor_v3": rebuild_v3,
        "torch._utils._rebuild_parameter": first,
        "torch._utils._rebuild_parameter_with_state": first,
    }
    return {**rebuilders, "torch._tensor._rebuild_from_type_v2": subclass}


def _tensor(
    file: Path, storage: _Storage, dtype: torch.dtype, offset: Any, shape: Any, stride: Any
) -> StoredTensor:
    """A tensor, its place checked: within its storage, no element used twice."""
    numbers = (offset, *shape, *stride)
    if any(type(number) is not int or not 0 <= number < 2**50 for number in numbers):
        raise ValueError("a tensor of an impossible shape")
    if len(shape) != len(stride) or len(shape) > MAX_AXES:
        raise ValueError("a tensor of an impossible shape")
    shape, stride = tuple(shape), tuple(stride)
    start = offset * dtype.itemsize
    if 0 in shape:
        return StoredTensor(file, storage.offset, dtype, shape)
    if start + span(shape, stride) * dtype.itemsize > storage.n_bytes:
        raise ValueError("a tensor that is larger than its storage")
    # Along the axes from the finest to the coarsest, each step must pass all of what is before it.
    passed, is_contiguous = 1, True
    for size, step in sorted(zip(shape, stride, strict=True), key=lambda axis: axis[1]):
        if size > 1 and step < passed:
            raise ValueError("a tensor that repeats its elements")
        passed += (size - 1) * step
    for axis, (size, step) in enumerate(zip(shape, stride, strict=True)):
        is_contiguous &= size == 1 or step == prod(shape[axis + 1 :])
    return StoredTensor(
        file, storage.offset + start, dtype, shape, None if is_contiguous else stride
    )
