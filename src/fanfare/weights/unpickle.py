"""Pickled checkpoints and their configurations, read without running anything that they hold."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from torch import Tensor

from fanfare.errors import CheckpointError
from fanfare.weights.pickles import Global, Made
from fanfare.weights.stored import StoredTensor, check_total
from fanfare.weights.torch_file import DAMAGE, open_torch_file

INTERPOLATION = re.compile(r"\$\{([\w.]+)\}")
CONTAINER = re.compile(r"omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig)")
NODE = re.compile(r"omegaconf\.(nodes\.\w+Node|base\.UnionNode)")

MAX_YAML_CHARACTERS = 100_000  # real ones have ten thousand
MAX_VALUES = 50_000
MAX_DEPTH = 50


def open_pickle(file: Path) -> dict[str, Any]:
    """The mapping that `torch.save` wrote to `file`, its tensors not yet read.

    Raises:
        CheckpointError: it is missing or damaged, or holds anything but tensors, plain values and
            omegaconf configurations.
    """
    values = open_torch_file(file)
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: holds a {type(values).__name__}, not a mapping")
    return values


def read_pickle(file: Path) -> dict[str, Any]:
    """As `open_pickle`, with the tensors in it, and in mappings in it, read: all of them."""
    stored: dict[int, StoredTensor] = {}
    read: dict[int, Tensor] = {}
    values = open_pickle(file)

    def note(value: Any, depth: int) -> None:
        if depth > MAX_DEPTH or len(stored) > MAX_VALUES:
            raise CheckpointError(f"{file}: nested deeper than any checkpoint")
        if isinstance(value, StoredTensor):
            stored[id(value)] = value
        elif isinstance(value, dict):
            for item in value.values():
                note(item, depth + 1)

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return read.get(id(value), value)

    note(values, 0)
    check_total(stored.values(), str(file))
    read.update({key: tensor() for key, tensor in stored.items()})
    result: dict[str, Any] = filled(values)
    return result


def read_config(config: object, what: str, keys: Collection[str] | None = None) -> dict[str, Any]:
    """A training configuration, as YAML text or as an omegaconf object, as plain values.

    Args:
        config: as it is in the checkpoint.
        what: names the file in errors.
        keys: the entries that are wanted; None = all.

    Raises:
        CheckpointError: it can't be parsed, is larger than any, or refers to itself.
    """
    plain = _Plain(what).of(_parse(config, what) if isinstance(config, str) else config)
    if not isinstance(plain, dict):
        raise CheckpointError(f"{what}: xp.cfg is no configuration")
    resolved = _Resolved(what, plain)
    return {key: resolved.of(value) for key, value in plain.items() if keys is None or key in keys}


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without references: a few lines of them can stand for more than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to other parts of itself (*name)")
        return super().compose_node(parent, index)


def _parse(text: str, what: str) -> object:
    if len(text) > MAX_YAML_CHARACTERS:
        raise CheckpointError(f"{what}: xp.cfg is longer than any configuration")
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, *DAMAGE) as error:
        reason = str(error)[:200] or type(error).__name__
        raise CheckpointError(f"{what}: xp.cfg isn't YAML: {reason}") from error


class _Walk(ABC):
    """Goes through values that may be nested without end, or hold each other."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.n_values = 0

    def of(self, value: object, depth: int = 0) -> Any:
        """What stands for `value`, in copies of all that holds others."""
        self.n_values += 1
        if depth > MAX_DEPTH or self.n_values > MAX_VALUES:
            raise CheckpointError(f"{self.what}: xp.cfg is larger than any, or refers to itself")
        value = self.one(value)
        if isinstance(value, dict):
            return {
                key if isinstance(key, str | int | float | None) else str(key): self.of(
                    item, depth + 1
                )
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.of(item, depth + 1) for item in value]
        return value

    @abstractmethod
    def one(self, value: Any) -> Any:
        """What stands for `value` itself."""


class _Plain(_Walk):
    """omegaconf's objects to mappings, lists and scalars."""

    def one(self, value: Any) -> Any:
        for _ in range(MAX_DEPTH):
            if not isinstance(value, Made) or not isinstance(value.state, dict):
                break
            if CONTAINER.fullmatch(value.maker):
                value = value.state.get("_content")
            elif NODE.fullmatch(value.maker):
                value = value.state.get("_val", value.state.get("_content"))
            else:
                break
        if isinstance(value, Global):
            return value.name
        if isinstance(value, str | float | None | dict | list | tuple):
            return value
        if isinstance(value, int) and abs(value) < 2**63:
            return value
        if isinstance(value, int):
            raise CheckpointError(f"{self.what}: xp.cfg holds a number without end")
        return f"<{value.maker if isinstance(value, Made) else type(value).__name__}>"


class _Resolved(_Walk):
    """Every "${a.b}" replaced by what stands there in `root`.

    What leads nowhere stays as it is: most of a configuration is of no interest, and what is of
    interest is of a kind that such a text isn't.
    """

    def __init__(self, what: str, root: dict[Any, Any]) -> None:
        super().__init__(what)
        self.root = root

    def one(self, value: Any) -> Any:
        for _ in range(MAX_DEPTH):
            match = INTERPOLATION.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                return value
            found: Any = self.root
            for key in match[1].split("."):
                if not isinstance(found, dict) or key not in found:
                    return value
                found = found[key]
            value = found
        raise CheckpointError(f"{self.what}: xp.cfg refers to itself")
