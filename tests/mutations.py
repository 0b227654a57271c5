"""Damage to files, at random but repeatable: by the byte, and by what the bytes mean."""

from __future__ import annotations

import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

Files = dict[str, bytes]

WEIRD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 2**31, 2**63, 2**80, -(2**40), 10**400, 0.5, -1.5, 1e308,
    float("nan"), float("inf"), "", "x", "relu", "${a.b}", "../../x", "\x00", "é" * 50, "9" * 5000,
    [], [0], [-1], [1, 2], [[]], ["x"], [10**12] * 3, list(range(3000)), {}, {"a": 1}, {"": None},
)  # fmt: skip


def deep(depth: int = 3000) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def damage_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flipped bits, overwritten, cut out, doubled or appended runs, and truncation."""
    data = bytearray(content)
    size = max(len(data), 1)
    kind = rng.randrange(7)
    at, length = rng.randrange(size), rng.randrange(1, 64)
    if kind == 0:
        for _ in range(rng.randrange(1, 9)):
            position = rng.randrange(size)
            if data:
                data[position] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:
        data[at : at + length] = rng.choice([b"\x00", b"\xff", b"\x7f", b"(", b"\x80"]) * length
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length]
    elif kind == 5:
        data += rng.randbytes(length)
    else:
        del data[at:]
    return bytes(data)


def damage_value(rng: random.Random, value: Any) -> Any:
    """A copy of plain values in which one, somewhere, is another, gone, or one more."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            node = {key: walk(item) for key, item in node.items()}
            places.extend((node, key) for key in node)
        elif isinstance(node, list):
            node = [walk(item) for item in node]
            places.extend((node, index) for index in range(len(node)))
        return node

    copy = walk(value)
    if not places:
        return rng.choice(WEIRD)
    node, key = rng.choice(places)
    kind = rng.randrange(8)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(["x", "", "n_layers", "0"])] = rng.choice(WEIRD)
    elif kind == 2:
        node[key] = deep()
    elif kind == 3 and type(node[key]) is int:
        node[key] = node[key] * rng.choice([-1, 2, 1000, 10**9]) + rng.choice([-1, 0, 1])
    else:
        node[key] = rng.choice(WEIRD)
    return copy


def damage_json(rng: random.Random, content: bytes) -> bytes:
    try:
        return json.dumps(damage_value(rng, json.loads(content))).encode()
    except (RecursionError, ValueError):  # what is too deep to write is written by hand
        return b'{"a": ' * 5000


def damage_safetensors(rng: random.Random, content: bytes) -> bytes:
    """A changed header over the same data, or the data by the byte."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = content[8 : 8 + length], content[8 + length :]
    if rng.randrange(4) == 0:
        return content[: 8 + length] + damage_bytes(rng, data)
    changed = damage_json(rng, header) if rng.randrange(2) else damage_bytes(rng, header)
    return struct.pack("<Q", len(changed)) + changed + data


def damage_zip(rng: random.Random, content: bytes) -> bytes:
    """One entry changed, dropped, doubled, packed or renamed, in a zip that is in order itself."""
    source = zipfile.ZipFile(io.BytesIO(content))
    entries = [(entry.filename, source.read(entry)) for entry in source.infolist()]
    pickles = [i for i, (name, _) in enumerate(entries) if name.endswith("data.pkl")]
    index = rng.choice([rng.randrange(len(entries)), *pickles, *pickles, *pickles])
    name, data = entries[index]
    method = zipfile.ZIP_STORED
    kind = rng.randrange(8)
    if kind == 0:
        del entries[index]
    elif kind == 1:
        entries[index] = (name + "x", data)
    elif kind == 2:
        method = zipfile.ZIP_DEFLATED
    elif kind == 3:
        entries.append((rng.choice(["x/data.pkl", "../y", "data.pkl"]), data))
    else:
        entries[index] = (name, damage_bytes(rng, data))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of doubled names, which are meant
        for entry, blob in entries:
            archive.writestr(entry, blob)
    return target.getvalue()


def damage_file(rng: random.Random, name: str, content: bytes) -> bytes:
    """Damage that goes with what a file is."""
    if rng.randrange(3) == 0:
        return damage_bytes(rng, content)
    kinds: dict[str, Callable[[random.Random, bytes], bytes]] = {
        ".json": damage_json,
        ".safetensors": damage_safetensors,
    }
    for suffix, kind in kinds.items():
        if name.endswith(suffix):
            return kind(rng, content)
    if content[:4] == b"PK\x03\x04":
        return damage_zip(rng, content)
    return damage_bytes(rng, content)


def damage_files(rng: random.Random, files: Files) -> Files:
    """Mostly one file changed; now and then one is missing, or two are changed."""
    changed = dict(files)
    for _ in range(1 if rng.randrange(8) else 2):
        name = rng.choice(sorted(changed))
        if rng.randrange(40) == 0 and len(changed) > 1:
            del changed[name]
        elif changed[name] is files[name]:
            changed[name] = damage_file(rng, name, changed[name])
        else:
            changed[name] = damage_bytes(rng, changed[name])
    return changed
