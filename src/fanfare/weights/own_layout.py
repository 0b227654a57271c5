"""Checkpoints in our own layout, read and written.

    fanfare.json        {"format": 1, "name", "licence", "lm": {LmConfig}, "codec": "codec", ...}
    lm.safetensors      the language model, under its own names
    codec/              config.json, model.safetensors: as transformers keeps it, weight norm fused
    text/               the same of a T5, with tokenizer.json, if the model takes text

Weights are float16 on disk; vectors (norms, biases, statistics) stay float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import EncodecModel

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights.bundle import Bundle
from fanfare.weights.codec import TRAINING_ONLY, load_codec_folder
from fanfare.weights.parts import Parts
from fanfare.weights.tensors import (
    fill,
    fuse_weight_norm,
    matches,
    open_safetensors,
    read_json,
)
from fanfare.weights.text import load_text_folder

FORMAT = 1
CARD = "fanfare.json"
KEYS = {"format", "name", "licence", "lm", "codec", "text", "extra"}


def load_own(
    folder: Path, parts: Parts, *, device: torch.device | str, dtype: torch.dtype
) -> Bundle:
    """The checkpoint in `folder`.

    Raises:
        CheckpointError: it is damaged, or written by a newer version.
    """
    values = read_json(folder / CARD)
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / CARD}: format {values.get('format')!r} isn't known;"
            f" this version reads {FORMAT}"
        )
    unknown = sorted(set(values) - KEYS)
    if unknown:
        raise CheckpointError(f"{folder / CARD}: unknown keys {', '.join(unknown)}")
    try:
        config = LmConfig.from_dict(values["lm"])
        name = values["name"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CARD}: {error}") from error
    with torch.device("meta"):
        lm = LanguageModel(config)
    source = open_safetensors(folder, "lm")
    fill(lm, source, (), what=str(folder), dtype=dtype, device=device)
    codec = load_codec_folder(
        parts.codec or folder / values.get("codec", "codec"),
        channels=config.channels,
        n_codebooks=config.n_codebooks,
        device=device,
    )
    text = None
    if config.text_dim is not None:
        text_folder = parts.text_encoder or folder / (values.get("text") or "text")
        text = load_text_folder(text_folder, device=device)
    return Bundle(
        name=name,
        source=folder,
        lm=lm.eval().requires_grad_(False),
        codec=codec,
        text=text,
        licence=values.get("licence"),
        extra=values.get("extra") or {},
    )


def save_own(
    folder: Path,
    *,
    name: str,
    lm: LanguageModel,
    codec: EncodecModel,
    licence: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model that takes no text into `folder`, which is made if it doesn't exist.

    Args:
        name: for people.
        lm: of any dtype.
        codec: transformers' model, with or without its weight norm.
        licence: of the weights, as an SPDX identifier.
        extra: JSON values of the model's own.
    """
    assert lm.config.text_dim is None, "models with a text encoder aren't written yet"
    (folder / "codec").mkdir(parents=True, exist_ok=True)
    card = {
        "format": FORMAT,
        "name": name,
        "licence": licence,
        "lm": lm.config.to_dict(),
        "codec": "codec",
        "extra": dict(extra or {}),
    }
    _write_json(folder / CARD, card)
    _write_tensors(folder / "lm.safetensors", lm.state_dict())
    described = codec.config.to_dict()
    # Names with an underscore tell where the codec came from, such as a path.
    public = {key: value for key, value in described.items() if not key.startswith("_")}
    _write_json(folder / "codec" / "config.json", public)
    readers = fuse_weight_norm(
        {key: partial(torch.Tensor.detach, tensor) for key, tensor in codec.state_dict().items()}
    )
    weights = {key: read() for key, read in readers.items() if not matches(TRAINING_ONLY, key)}
    _write_tensors(folder / "codec" / "model.safetensors", weights)


def _write_json(file: Path, values: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write matrices as float16, everything else as it is."""
    halved = {
        name: (tensor.half() if tensor.is_floating_point() and tensor.dim() > 1 else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in tensors.items()
    }
    save_file(halved, file)
    file.chmod(0o644)  # safetensors leaves it to its owner alone
