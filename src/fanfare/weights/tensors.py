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
from torch import Tensor, nn

from fanfare.errors import CheckpointError
from fanfare.weights.safetensors_file import open_safetensors_file
from fanfare.weights.stored import StoredTensor, check_total, new_buffer
from fanfare.weights.unpickle import open_pickle

PICKLED = "pytorch_model.bin"
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
FILE_NAME = re.compile(r"\w[\w.-]{,199}")
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_JSON_DEPTH = 50

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


@dataclass(frozen=True, eq=False)
class Left:
    """A weight that stays in its files until it is called for.

    Attributes:
        parts: the tensors that make it up, stacked along the first axis.
        shape: of the weight.
        what: names it in errors.
    """

    parts: tuple[Callable[[], Tensor], ...]
    shape: torch.Size
    what: str

    def __call__(self) -> Tensor:
        """The weight, float32 on the CPU. CheckpointError if its files have changed."""
        return _assembled(
            _checked(self.parts, self.shape, self.what), self.shape,
            dtype=torch.float32, device="cpu", buffer=new_buffer(),
        )  # fmt: skip

    @property
    def files(self) -> set[Path]:
        """Those that hold it."""
        return {part.file for part in self.parts if isinstance(part, StoredTensor)}


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
    source: dict[str, StoredTensor] = {}
    for file in _files(folder, f"{stem}.safetensors"):
        _add(source, open_safetensors_file(file), file)
    return source


def open_tensors(folder: Path) -> TensorSource:
    """The tensors that transformers saved into a folder: safetensors, else pickles; also in shards.

    Raises:
        CheckpointError: there are none, or they are damaged.
    """
    is_pickled = (folder / PICKLED).is_file() or (folder / f"{PICKLED}.index.json").is_file()
    names = ("model.safetensors", "model.safetensors.index.json")
    if not is_pickled or any((folder / name).is_file() for name in names):
        return open_safetensors(folder)
    source: dict[str, StoredTensor] = {}
    for file in _files(folder, PICKLED):
        _add(source, stored_tensors(open_pickle(file), file), file)
    return source


def _files(folder: Path, name: str) -> list[Path]:
    """The file of this name in a folder, or the shards that its index names, all in the folder."""
    index = folder / f"{name}.index.json"
    if not index.is_file():
        return [folder / name]
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
        if not all(FILE_NAME.fullmatch(name) for name in names):
            raise ValueError("names of other folders")
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{index}: not an index of files beside it") from error
    return [folder / name for name in names]


def _add(source: dict[str, StoredTensor], more: Mapping[str, StoredTensor], file: Path) -> None:
    twice = sorted(set(source) & set(more))
    if twice:
        raise CheckpointError(f"{file}: holds {_listed(twice)}, which another shard holds too")
    source.update(more)


def stored_tensors(values: object, file: Path) -> dict[str, StoredTensor]:
    """A mapping from names to tensors, as a pickle held it.

    Raises:
        CheckpointError: it holds something else, or the tensors together are larger than the file.
    """
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: a {type(values).__name__} where tensors belong")
    for name, tensor in values.items():
        if not isinstance(tensor, StoredTensor) or not isinstance(name, str):
            raise CheckpointError(f"{file}: {str(name)[:80]} is no tensor")
    check_total(values.values(), str(file))
    return values


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
            direction, length = fused.pop(name), fused.pop(stem + norm.length)
            fused[stem + "weight"] = _fused(direction, length, stem)
    return fused


def _fused(
    direction: Callable[[], Tensor], length: Callable[[], Tensor], stem: str
) -> Callable[[], Tensor]:
    def read() -> Tensor:
        v, g = direction(), length()
        if g.shape != (*v.shape[:1], *(1 for _ in v.shape[1:])) or v.dim() < 1:
            raise CheckpointError(
                f"{stem}: its weight norm is {tuple(g.shape)} by {tuple(v.shape)}"
            )
        for part in (v, g):
            _check_floats(part.dtype, stem)
        v, g = v.float(), g.float()
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
    leave: str | None = None,
    dtype: torch.dtype,
    device: torch.device | str,
) -> dict[str, Left]:
    """Give `module`, made on the meta device, the weights of `source`, one tensor at a time.

    At no time is more in memory than the weights filled so far and one small buffer.

    Args:
        module: its parameters and persistent buffers are replaced. If it has a `LOW_PRECISION`, a
            regular expression, weights that don't match it are float32 at least.
        source: the tensors of exactly this module.
        renames: from the module's names to the source's; names in no row are the same in both.
        what: names the file in errors.
        ignored: regular expression for tensors of the source that have no use.
        leave: regular expression for weights of the module that stay on the meta device.
        dtype: of every floating-point weight.
        device: where they go.

    Returns:
        The weights that `leave` left in their files, under the module's names.

    Raises:
        CheckpointError: a tensor is missing, unknown, of another shape, or not of real numbers.
    """
    empty = module.state_dict()
    wanted = {name: original_names(name, renames) for name in empty}
    used = {theirs for row in wanted.values() for theirs in row}
    missing = sorted(used - set(source))
    unknown = sorted(name for name in set(source) - used if not matches(ignored, name))
    if missing or unknown:
        raise CheckpointError(
            f"{what} doesn't hold what its configuration says."
            f" Missing: {_listed(missing)}. Unknown: {_listed(unknown)}."
        )
    low_precision: str | None = getattr(module, "LOW_PRECISION", None)
    weights: dict[str, Tensor] = {}
    left: dict[str, Left] = {}
    buffer = new_buffer()
    for ours, theirs in wanted.items():
        shape, name = empty[ours].shape, f"{what}: {', '.join(theirs)}"
        parts = _checked([source[part] for part in theirs], shape, name)
        if matches(leave, ours):
            left[ours] = Left(tuple(source[part] for part in theirs), shape, name)
            continue
        kept = low_precision is not None and not matches(low_precision, ours)
        made_as = torch.promote_types(dtype, torch.float32) if kept else dtype
        weights[ours] = _assembled(parts, shape, dtype=made_as, device=device, buffer=buffer)
    module.load_state_dict(weights, strict=False, assign=True)
    return left


def _checked(
    parts: Sequence[Callable[[], Tensor]], shape: torch.Size, what: str
) -> list[StoredTensor | Tensor]:
    """The tensors that make up one weight, where they fit it."""
    made = [part if isinstance(part, StoredTensor) else part() for part in parts]
    found = [tuple(part.shape) for part in made]
    fits = found == [tuple(shape)]
    if len(made) > 1:
        fits = all(size and size[1:] == shape[1:] for size in found)
        fits = fits and sum(size[0] for size in found) == shape[0]
    if not fits:
        sizes = ", ".join(map(str, found))
        raise CheckpointError(f"{what} is {sizes}, but its configuration says {tuple(shape)}.")
    for part in made:
        _check_floats(part.dtype, what)
    return made


def _assembled(
    made: Sequence[StoredTensor | Tensor],
    shape: torch.Size,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    buffer: Tensor,
) -> Tensor:
    """One weight from the tensors that make it up, stacked along the first axis."""
    if len(made) == 1 and isinstance(made[0], Tensor):
        return made[0].to(device, dtype)
    weight = torch.empty(shape, dtype=dtype, device=device)
    start = 0
    for part in made:
        target = weight if len(made) == 1 else weight[start : start + part.shape[0]]
        start += part.shape[0] if len(made) > 1 else 0
        if isinstance(part, StoredTensor):
            part.into(target, buffer)
        else:
            target.copy_(part)
    return weight


def _check_floats(dtype: torch.dtype, what: str) -> None:
    if dtype not in FLOATS:
        raise CheckpointError(f"{what}: {str(dtype).removeprefix('torch.')} where weights belong")


def not_finite(module: nn.Module) -> list[str]:
    """Names of the weights that hold an infinity or something that isn't a number."""
    return [
        name
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: it is missing, or not a JSON object.
    """
    try:
        if file.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{file}: larger than any configuration")
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{file} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: not readable as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: not a JSON object")
    layer: list[Any] = [values]
    for _ in range(MAX_JSON_DEPTH):
        layer = [
            item
            for holder in layer
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not layer:
            return values
    raise CheckpointError(f"{file}: nested deeper than any configuration")


def matches(pattern: str | None, name: str) -> bool:
    """Whether a regular expression fits the whole of `name`; None fits nothing."""
    return pattern is not None and re.fullmatch(pattern, name) is not None


def original_names(ours: str, renames: Sequence[Rename]) -> tuple[str, ...]:
    """The tensors of a file, stacked along the first axis, that make up a weight of our module."""
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
