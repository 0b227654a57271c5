"""load_bundle: a checkpoint of any known layout, ready to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.weights.audiocraft_layout import (
    EXPORT,
    STATE,
    TRAINING,
    find_checkpoint,
    load_audiocraft,
)
from fanfare.weights.bundle import Bundle
from fanfare.weights.diffusion import CARD as DIFFUSION_CARD
from fanfare.weights.diffusion import FOLDER, check_fit, load_diffusion
from fanfare.weights.own_layout import CARD, load_own
from fanfare.weights.parts import Parts
from fanfare.weights.registry import find, identity
from fanfare.weights.transformers_layout import load_transformers


def load_bundle(
    source: str | Path,
    *,
    text_encoder: str | Path | None = None,
    codec: str | Path | None = None,
    diffusion: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    leave_layers: bool = False,
) -> Bundle:
    """Load a model with everything it needs.

    Args:
        source: a built-in model's name, a folder, a fine-tune's exported file, or an
            "owner/name" on the Hugging Face hub.
        text_encoder: where a T5 lies, in place of the checkpoint's own; as `source`.
        codec: where an EnCodec lies, in place of the checkpoint's own; as `source`.
        diffusion: where the weights of Multi-Band Diffusion lie, in place of the checkpoint's
            own; as `source`, or a file.
        device: where the weights go.
        dtype: of the language model; everything else stays float32.
        leave_layers: whether to leave the language model's layers and heads in their files, for
            an engine that keeps them otherwise: `Bundle.left` reads them.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of an unknown kind.
    """
    path = find(source)
    parts = Parts(
        text_encoder=None if text_encoder is None else find(text_encoder),
        codec=None if codec is None else find(codec),
        diffusion=None if diffusion is None else find(diffusion),
    )
    bundle = _identified(_load(path, parts, device, dtype, leave_layers), path)
    beside = path / FOLDER  # only our own layout has one
    place = parts.diffusion or (beside if (path / CARD).is_file() and beside.is_dir() else None)
    if place is None:
        return bundle
    if bundle.config.plan_features is not None and not (place / DIFFUSION_CARD).is_file():
        raise CheckpointError(
            f"{place}: {bundle.name} has a codec of its own, for which published diffusion weights"
            " weren't trained; load it without them"
        )
    mbd = load_diffusion(place, device=device)
    check_fit(mbd, bundle.codec, str(place))
    return replace(bundle, diffusion=mbd)


def _identified(bundle: Bundle, path: Path) -> Bundle:
    """With the name and licence that it was published under, where its files don't tell."""
    known = identity(path)
    return replace(bundle, name=known.name or bundle.name, licence=bundle.licence or known.licence)


def _is_partly_fetched(folder: Path) -> bool:
    """Whether only audiocraft's files are there, of a repository that holds both layouts."""
    theirs = (*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin*"))
    return not theirs and find_checkpoint(folder) is not None


def _load(
    path: Path, parts: Parts, device: torch.device | str, dtype: torch.dtype, leave_layers: bool
) -> Bundle:
    """The checkpoint at `path`, without its diffusion weights."""
    how: dict[str, Any] = {"device": device, "dtype": dtype, "leave_layers": leave_layers}
    if (path / CARD).is_file():
        return load_own(path, parts, **how)
    if (path / "config.json").is_file() and not _is_partly_fetched(path):
        return load_transformers(path, parts, **how)
    if path.is_file() or find_checkpoint(path) is not None:
        return load_audiocraft(path, parts, **how)
    raise CheckpointError(
        f"{path}: no checkpoint of a known layout; expected {CARD} (Fanfare's own), config.json"
        f" (transformers), {STATE} (audiocraft), {EXPORT} (a fine-tune) or {TRAINING} (a training)"
    )
