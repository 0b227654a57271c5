"""load_bundle: a checkpoint of any known layout, ready to run."""

from __future__ import annotations

from pathlib import Path

import torch

from fanfare.errors import CheckpointError
from fanfare.weights.audiocraft_layout import EXPORT, STATE, load_audiocraft
from fanfare.weights.bundle import Bundle
from fanfare.weights.own_layout import CARD, load_own
from fanfare.weights.parts import Parts
from fanfare.weights.registry import find
from fanfare.weights.transformers_layout import load_transformers


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
        source: a built-in model's name, a folder, a fine-tune's exported file, or an
            "owner/name" on the Hugging Face hub.
        text_encoder: where a T5 lies, in place of the checkpoint's own; as `source`.
        codec: where an EnCodec lies, in place of the checkpoint's own; as `source`.
        device: where the weights go.
        dtype: of the language model; text encoder and codec stay float32.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of an unknown kind.
    """
    path = find(source)
    parts = Parts(
        text_encoder=None if text_encoder is None else find(text_encoder),
        codec=None if codec is None else find(codec),
    )
    if (path / CARD).is_file():
        return load_own(path, parts, device=device, dtype=dtype)
    if (path / "config.json").is_file():
        return load_transformers(path, parts, device=device, dtype=dtype)
    if path.is_file() or (path / STATE).is_file() or (path / EXPORT).is_file():
        return load_audiocraft(path, parts, device=device, dtype=dtype)
    raise CheckpointError(
        f"{path}: no checkpoint of a known layout; expected {CARD} (Fanfare's own), config.json"
        f" (transformers), {STATE} (audiocraft) or {EXPORT} (a fine-tune)"
    )
