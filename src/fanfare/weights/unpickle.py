"""Pickled checkpoints, read without running anything that they hold.

`torch.load(weights_only=True)` refuses every class it isn't told of. The exports of some training
tools hold their configuration as omegaconf objects; those are read into the inert stand-ins below,
which keep attributes and nothing else, and are then turned into plain values.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]

from fanfare.errors import CheckpointError

INTERPOLATION = re.compile(r"\$\{([\w.]+)\}")


class _Inert:
    """Stands for any omegaconf class: takes its attributes, does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Dict(_Inert):
    pass


class _List(_Inert):
    pass


class _Node(_Inert):
    pass


class _Metadata(_Inert):
    pass


STAND_INS: list[Any] = [
    (_Dict, "omegaconf.dictconfig.DictConfig"),
    (_List, "omegaconf.listconfig.ListConfig"),
    *(
        (_Node, f"omegaconf.nodes.{name}")
        for name in ("AnyNode", "BooleanNode", "FloatNode", "IntegerNode", "StringNode")
    ),
    (_Metadata, "omegaconf.base.ContainerMetadata"),
    (_Metadata, "omegaconf.base.Metadata"),
    Any,
    defaultdict,
    dict,
    list,
    int,
]


def read_pickle(file: Path) -> dict[str, Any]:
    """The mapping that `torch.save` wrote to `file`; tensors on CPU, mapped where possible.

    Raises:
        CheckpointError: it is missing or damaged, or holds anything but tensors, plain values and
            omegaconf configurations.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    try:
        with torch.serialization.safe_globals(STAND_INS):
            values = torch.load(
                file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
            )
    except pickle.UnpicklingError as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{file}: refused to unpickle it: {reason}") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{file}: damaged, or no checkpoint: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: holds a {type(values).__name__}, not a mapping")
    return values


def read_config(config: object, what: str) -> dict[str, Any]:
    """A training configuration, as YAML text or as an omegaconf object, as plain values.

    Raises:
        CheckpointError: it can't be parsed, or an interpolation leads nowhere.
    """
    if isinstance(config, str):
        try:
            plain = yaml.safe_load(config)
        except yaml.YAMLError as error:
            raise CheckpointError(f"{what}: xp.cfg isn't YAML: {error}") from error
    else:
        plain = _plain(config)
    if not isinstance(plain, dict):
        raise CheckpointError(f"{what}: xp.cfg is no configuration")
    resolved = _resolve(plain, plain, what)
    assert isinstance(resolved, dict)
    return resolved


def _plain(value: object) -> object:
    """Stand-ins to dicts, lists and scalars."""
    if isinstance(value, _Dict | _List):
        value = value.__dict__.get("_content")
    elif isinstance(value, _Node):
        value = value.__dict__.get("_val")
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _resolve(value: object, root: Mapping[str, Any], what: str, depth: int = 0) -> object:
    """`value` with every "${a.b}" replaced by what stands there in `root`."""
    if depth > 50:
        raise CheckpointError(f"{what}: xp.cfg refers to itself")
    if isinstance(value, dict):
        return {key: _resolve(item, root, what, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, root, what, depth + 1) for item in value]
    match = INTERPOLATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    found: Any = root
    for key in match[1].split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise CheckpointError(f"{what}: xp.cfg refers to {match[1]}, which it doesn't hold")
        found = found[key]
    return _resolve(found, root, what, depth + 1)
