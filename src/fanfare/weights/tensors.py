"""Tensors on disk, and how they become a module's weights.

A format's rename table says, for each weight of a module, which tensors of a file make it up.
Every tensor of a file is either used or known to be of no use: anything else is refused, because a
model that is loaded wrongly still makes plausible music.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fanfare.errors import CheckpointError

TensorSource = Mapping[str, Callable[[], Tensor]]
"""Names of tensors, and how to read each one."""


@dataclass(frozen=True)
class Rename:
    """One row of a rename table.

    Attributes:
        ours: regular expression for the whole of a weight's name in our module.
        theirs: the tensors that make it up, stacked along the first axis; may refer to groups.
    """

    ours: str
    theirs: tuple[str, ...]


@dataclass(frozen=True)
class Fusion:
    """A weight kept as direction and length (weight norm), under the names of one library."""

    direction: str
    length: str


WEIGHT_NORMS = (
    Fusion("parametrizations.weight.original1", "parametrizations.weight.original0"),
    Fusion("weight_v", "weight_g"),
)


def open_safetensors(folder: Path, stem: str = "model") -> TensorSource:
    """The tensors of `<stem>.safetensors` in a folder, or of the shards that its index names.

    Raises:
        CheckpointError: there is no such file, or it is damaged.
    """
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(read_json(index)["weight_map"].values()))
        except (KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{index}: not an index of safetensors files") from error
        files = [folder / Path(name).name for name in names]
    else:
        files = [folder / f"{stem}.safetensors"]
    source: dict[str, Callable[[], Tensor]] = {}
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{file} is missing")
        try:
            handle: Any = safe_open(file, framework="pt")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file}: damaged, or not a safetensors file: {error}") from error
        for name in handle.keys():  # noqa: SIM118 (not a mapping)
            source[name] = _reader(handle, name)
    return source


def _reader(handle: Any, name: str) -> Callable[[], Tensor]:
    def read() -> Tensor:
        tensor: Tensor = handle.get_tensor(name)
        return tensor

    return read


def with_prefix(source: TensorSource, prefix: str) -> TensorSource:
    """The tensors whose name starts with `prefix`, named without it."""
    return {
        name.removeprefix(prefix): read for name, read in source.items() if name.startswith(prefix)
    }


def fuse_weight_norm(source: TensorSource) -> TensorSource:
    """`source` with every direction and length replaced by the plain `weight` they stand for."""
    fused = dict(source)
    for norm in WEIGHT_NORMS:
        for name in [name for name in source if name.endswith("." + norm.direction)]:
            stem = name.removesuffix(norm.direction)
            if stem + norm.length not in fused:
                raise CheckpointError(f"{stem}{norm.length} is missing")
            fused[stem + "weight"] = _fused(fused.pop(name), fused.pop(stem + norm.length))
    return fused


def _fused(direction: Callable[[], Tensor], length: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def read() -> Tensor:
        v, g = direction().float(), length().float()
        # The norm is over all axes but the first, for transposed convolutions too.
        return torch._weight_norm(v, g, 0)

    return read


def fill(
    module: nn.Module,
    source: TensorSource,
    renames: Sequence[Rename],
    *,
    what: str,
    ignored: str | None = None,
    tied: str | None = None,
    dtype: torch.dtype,
    device: torch.device | str,
) -> None:
    """Give `module`, made on the meta device, the weights of `source`, one tensor at a time.

    Args:
        module: its parameters and persistent buffers are replaced.
        source: the tensors of exactly this module.
        renames: from the module's names to the source's; names in no row are the same in both.
        what: names the file in errors.
        ignored: regular expression for tensors of the source that have no use.
        tied: regular expression for weights of the module that are others in disguise.
        dtype: of every floating-point weight.
        device: where they go.

    Raises:
        CheckpointError: a tensor is missing, unknown, or of another shape.
    """
    wanted = {
        name: _theirs(name, renames) for name in module.state_dict() if not matches(tied, name)
    }
    used = {theirs for row in wanted.values() for theirs in row}
    missing = sorted(used - set(source))
    unknown = sorted(name for name in set(source) - used if not matches(ignored, name))
    if missing or unknown:
        raise CheckpointError(
            f"{what} doesn't hold what its configuration says."
            f" Missing: {_listed(missing)}. Unknown: {_listed(unknown)}."
        )
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    for ours, theirs in wanted.items():
        parts = [source[name]() for name in theirs]
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        if tensor.shape != shapes[ours]:
            raise CheckpointError(
                f"{what}: {', '.join(theirs)} is {tuple(tensor.shape)},"
                f" but its configuration says {tuple(shapes[ours])}."
            )
        if tensor.is_floating_point():
            tensor = tensor.to(dtype)
        module.load_state_dict({ours: tensor.to(device)}, strict=False, assign=True)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: it is missing, or not a JSON object.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file} is missing") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: not readable as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: not a JSON object")
    return values


def matches(pattern: str | None, name: str) -> bool:
    """Whether a regular expression fits the whole of `name`; None fits nothing."""
    return pattern is not None and re.fullmatch(pattern, name) is not None


def _theirs(ours: str, renames: Sequence[Rename]) -> tuple[str, ...]:
    for rename in renames:
        match = re.fullmatch(rename.ours, ours)
        if match:
            return tuple(match.expand(name) for name in rename.theirs)
    return (ours,)


def _listed(names: Sequence[str], limit: int = 8) -> str:
    if not names:
        return "nothing"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
