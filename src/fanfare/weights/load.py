"""load_bundle: a checkpoint of any known layout, ready to run."""

from __future__ import annotations

from pathlib import Path

import torch

from fanfare.errors import CheckpointError
from fanfare.weights.bundle import Bundle
from fanfare.weights.own_layout import CARD, load_own
from fanfare.weights.registry import find
from fanfare.weights.transformers_layout import Parts, load_transformers


def load_bundle(
    source: str | Path,
    *,
    text_encoder: str | Path | None = None,
    codec: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Bundle:
    """Load a model with everything it needs.

    Args:
        source: a built-in model's name, a folder, or an "owner/name" on the Hugging Face hub.
        text_encoder: where a T5 lies, in place of the checkpoint's own; as `source`.
        codec: where an EnCodec lies, in place of the checkpoint's own; as `source`.
        device: where the weights go.
        dtype: of the language model; text encoder and codec stay float32.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of an unknown kind.
    """
    folder = find(source)
    parts = Parts(
        text_encoder=None if text_encoder is None else find(text_encoder),
        codec=None if codec is None else find(codec),
    )
    if (folder / CARD).is_file():
        return load_own(folder, parts, device=device, dtype=dtype)
    if (folder / "config.json").is_file():
        return load_transformers(folder, parts, device=device, dtype=dtype)
    raise CheckpointError(
        f"{folder}: no checkpoint of a known layout; expected {CARD} (Fanfare's own)"
        " or config.json (transformers)"
    )
