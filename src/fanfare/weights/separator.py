"""HTDemucs, which takes recordings apart, from its published file.

Two layouts hold the same weights. On the Hugging Face hub they are a safetensors file whose
metadata say how the network is built; older installations have a pickle in torch's cache, which is
read here without running anything that it holds. Only HTDemucs is ever built, whatever the files
name.
"""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fanfare.errors import CheckpointError, InputError, MissingExtraError
from fanfare.nn.separation import KEPT, Separator
from fanfare.weights.registry import find

PUBLISHED = "htdemucs"
HUB_ID = "adefossez/HTDemucs"
CACHED_PICKLE = "955717e8-8726e21a.th"
CLASS = "demucs.htdemucs.HTDemucs"
PURPOSE = "telling a recording's melody from its drums and bass"
COMMAND = "pip install 'fanfare-music[melody]'"


class _Inert:
    """Stands for the class that a pickle names."""


def find_separator(source: str = PUBLISHED) -> Path:
    """The separator's file: "htdemucs" is the published one, fetched once; else a path.

    Raises:
        MissingExtraError: the package that holds the network isn't installed.
        CheckpointError: the published file is not on this machine and can't be fetched.
        InputError: there is no file at the path.
    """
    if find_spec("demucs") is None:
        raise MissingExtraError("demucs", PURPOSE, COMMAND)
    if source != PUBLISHED:
        path = Path(source).expanduser()
        if not path.is_file():
            hint = f"no such file: give {PUBLISHED}, or the path of its .safetensors or .th file"
            raise InputError("FANFARE_SEPARATOR", source, hint)
        return path
    found = _published()
    if isinstance(found, CheckpointError):
        raise found.with_traceback(None)
    return found


@lru_cache(maxsize=1)
def _published() -> Path | CheckpointError:
    """The published file, or why it can't be had.

    Looked for once: trying to reach the hub from a machine without a network takes half a minute.
    """
    pickled = Path(torch.hub.get_dir()) / "checkpoints" / CACHED_PICKLE
    if pickled.is_file():
        return pickled
    try:
        return find(HUB_ID)
    except CheckpointError as error:
        return error


@lru_cache(maxsize=1)
def load_separator(file: Path, device: torch.device) -> Separator:
    """The separator in `file`, in float32; kept for the next request.

    Raises:
        CheckpointError: the file is damaged, or holds another network.
    """
    from demucs.htdemucs import HTDemucs

    read = _read_safetensors if file.suffix == ".safetensors" else _read_pickle
    name, args, kwargs, state = read(file)
    if name != CLASS:
        raise CheckpointError(f"{file}: holds a {name}, not an HTDemucs")
    known = inspect.signature(HTDemucs).parameters
    try:
        model = HTDemucs(*args, **{key: kwargs[key] for key in kwargs if key in known})
        model.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{file}: doesn't make an HTDemucs: {reason}") from error
    if not set(KEPT) <= set(model.sources) or model.audio_channels != 2:
        raise CheckpointError(f"{file}: tells {model.sources} apart, not voices from the rest")
    _leave_nothing_to_chance(model)
    network = model.float().eval().requires_grad_(False).to(device)
    return Separator(network, model.samplerate, tuple(model.sources), float(model.segment))


def _leave_nothing_to_chance(model: Any) -> None:
    """Positions without the random shift of training.

    The published network has none, but would still draw a number from Python's own generator.
    """
    from demucs.transformer import create_sin_embedding

    transformer = model.crosstransformer
    if transformer is None or transformer.emb != "sin":
        return

    def positions(length: int, _batch: int, width: int, device: torch.device) -> Tensor:
        made: Tensor = create_sin_embedding(
            length, width, device=device, max_period=transformer.max_period
        )
        return made

    transformer._get_pos_embedding = positions


Network = tuple[str, list[Any], dict[str, Any], Mapping[str, Tensor]]
"""A class by name, its positional and named arguments, and the weights."""


def _read_safetensors(file: Path) -> Network:
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        args, kwargs = (json.loads(metadata[key]) for key in ("args", "kwargs"))
        name = metadata["klass"]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(f"{file}: damaged, or no separator: {error}") from error
    return name, [_plain(arg) for arg in args], {key: _plain(kwargs[key]) for key in kwargs}, state


def _plain(value: Any) -> Any:
    """A value of the metadata; fractions are written as mappings."""
    if isinstance(value, dict) and value.get("_type") == "fraction":
        return Fraction(int(value["numerator"]), int(value["denominator"]))
    return value


def _read_pickle(file: Path) -> Network:
    allowed: list[Any] = [(_Inert, CLASS), Fraction]
    try:
        with torch.serialization.safe_globals(allowed):
            package = torch.load(file, map_location="cpu", weights_only=True)
        name = CLASS if package["klass"] is _Inert else repr(package["klass"])
        return name, list(package["args"]), dict(package["kwargs"]), package["state"]
    except pickle.UnpicklingError as error:
        hint = "damaged, or it holds more than an HTDemucs; nothing in it was run"
        raise CheckpointError(f"{file}: {hint}") from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: damaged, or no separator: {error}") from error
