"""Checkpoints in our own layout, read and written.

    fanfare.json        {"format": 1, "name", "licence", "lm": {LmConfig}, "codec": "codec",
                        "text": "text" or null, "extra": {...}}
    lm.safetensors      the language model, under its own names; or parts of it, and their index
    codec/              config.json, model.safetensors: an EnCodec as transformers keeps it, weight
                        norm fused, or the codec of our own
    text/               the same of a T5, with tokenizer.json, if the model takes text; a model
                        that comes without (null) is to be given one
    diffusion/          the weights of Multi-Band Diffusion, where there are any

Matrices are float16 on disk unless asked otherwise; vectors stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.diffusion import MultiBandDiffusion
from fanfare.nn.encodec import Encodec
from fanfare.nn.lapped import LappedCodec
from fanfare.nn.lm import LAYERS, LanguageModel
from fanfare.nn.text import TextEncoder
from fanfare.weights.audiocraft_codec import load_codec
from fanfare.weights.bundle import Bundle
from fanfare.weights.codec import check_codec, codec_values
from fanfare.weights.diffusion import FOLDER as DIFFUSION
from fanfare.weights.diffusion import save_diffusion
from fanfare.weights.parts import Parts
from fanfare.weights.skeleton import skeleton
from fanfare.weights.tensors import fill, open_safetensors, read_json
from fanfare.weights.text import check_text, load_text_folder, t5_values
from fanfare.weights.write import narrowest, write_in_parts, write_json, write_tensors

FORMAT = 1
CARD = "fanfare.json"
KEYS = {"format", "name", "licence", "lm", "codec", "text", "extra"}


def load_own(
    folder: Path,
    parts: Parts,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    leave_layers: bool = False,
) -> Bundle:
    """The checkpoint in `folder`, without its diffusion weights.

    Raises:
        CheckpointError: it is damaged, or written by a newer version.
    """
    what = str(folder)
    card = read_card(folder)
    config = card_config(card, folder)
    with skeleton():
        lm = LanguageModel(config)
    left = fill(
        lm, open_safetensors(folder, "lm"), (), what=what,
        leave=LAYERS if leave_layers else None, dtype=dtype, device=device,
    )  # fmt: skip
    codec = load_codec(
        parts.codec or _part(card, "codec", folder),
        channels=config.channels,
        n_codebooks=config.n_codebooks,
        device=device,
    )
    check_codec(codec, config, what)
    text = None
    if config.text_dim is not None:
        text = load_text_folder(parts.text_encoder or _part(card, "text", folder), device=device)
        check_text(text, config, what)
    return Bundle(
        name=card["name"],
        source=folder,
        lm=lm.eval().requires_grad_(False),
        codec=codec,
        text=text,
        licence=card.get("licence"),
        extra=card.get("extra") or {},
        left=left,
    )


def read_card(folder: Path) -> dict[str, Any]:
    """What a folder in this layout says of itself.

    Raises:
        CheckpointError: it is damaged, or written by a newer version.
    """
    file = folder / CARD
    card = read_json(file)
    if card.get("format") != FORMAT:
        raise CheckpointError(
            f"{file}: format {card.get('format')!r} isn't known; this version reads {FORMAT}"
        )
    unknown = sorted(set(card) - KEYS)
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {', '.join(unknown)}")
    kinds = {"name": str, "licence": str | None, "lm": dict, "extra": dict | None}
    for key, kind in kinds.items():
        if not isinstance(card.get(key), kind):
            raise CheckpointError(f"{file}: {key} is missing, or of the wrong kind")
    return card


def card_config(card: Mapping[str, Any], folder: Path) -> LmConfig:
    """The language model that a card describes.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    try:
        return LmConfig.from_dict(card["lm"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CARD}: {error}") from error


def _part(card: Mapping[str, Any], key: str, folder: Path) -> Path:
    """Where a part of the checkpoint lies: a folder in its own."""
    name = card.get(key, key)
    if name is None:
        argument = {"text": "text_encoder", "codec": "codec"}[key]
        known = {"text": "t5-base", "codec": "encodec_32khz"}[key]
        raise CheckpointError(
            f"{folder} comes without its {key}: give {argument}=, such as {known}"
        )
    if not isinstance(name, str) or Path(name).name != name:
        raise CheckpointError(f"{folder / CARD}: {key} isn't the name of a folder beside it")
    return folder / name


def save_own(
    folder: Path,
    *,
    name: str,
    lm: LanguageModel,
    codec: Encodec | LappedCodec,
    text: TextEncoder | None = None,
    diffusion: MultiBandDiffusion | None = None,
    licence: str | None = None,
    extra: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = torch.float16,
    parts_dtype: torch.dtype | None = torch.float16,
    file_bytes: int | None = None,
) -> None:
    """Write a model into `folder`, which is made if it doesn't exist.

    Args:
        name: for people.
        lm: of any dtype.
        text: None = a model that takes text has to be given a text encoder when it is loaded.
        diffusion: written in float32.
        licence: of the weights, as an SPDX identifier.
        extra: JSON values of the model's own.
        dtype: of the language model's matrices on disk; None = the smallest that loses nothing.
        parts_dtype: the same for codec and text encoder, which are run in float32.
        file_bytes: about the largest size of the language model's files; None = it is one file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = lm.state_dict()
    dtype = narrowest(weights.values()) if dtype is None else dtype
    write_in_parts(folder, "lm", weights, dtype, file_bytes or sys.maxsize)
    _save_codec(folder / "codec", codec, parts_dtype)
    if text is not None:
        _save_text(folder / "text", text, parts_dtype)
    if diffusion is not None:
        save_diffusion(folder / DIFFUSION, diffusion)
    card = {
        "format": FORMAT,
        "name": name,
        "licence": licence,
        "lm": lm.config.to_dict(),
        "codec": "codec",
        "text": "text" if text is not None else None,
        "extra": dict(extra or {}),
    }
    write_json(folder / CARD, card)  # at last: without it the folder is nothing


def _save_codec(folder: Path, codec: Encodec | LappedCodec, dtype: torch.dtype | None) -> None:
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", codec_values(codec.config))
    _write(folder / "model.safetensors", codec.state_dict(), dtype)


def _save_text(folder: Path, text: TextEncoder, dtype: torch.dtype | None) -> None:
    folder.mkdir(exist_ok=True)
    write_json(folder / "config.json", t5_values(text.model.config))
    _write(folder / "model.safetensors", text.model.state_dict(), dtype)
    text.tokenizer.save(str(folder / "tokenizer.json"))


def _write(file: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> None:
    write_tensors(file, tensors, narrowest(tensors.values()) if dtype is None else dtype)
