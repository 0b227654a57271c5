"""T5 on disk, in transformers' layout: `config.json`, tokenizer and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import T5Config, T5EncoderModel

from fanfare.errors import CheckpointError
from fanfare.nn.text import TextEncoder
from fanfare.weights.tensors import TensorSource, fill, open_safetensors, read_json

TIED = r"encoder\.embed_tokens\.weight"
DECODER = r"decoder\..*|lm_head\..*"


def load_text_folder(folder: Path, *, device: torch.device | str) -> TextEncoder:
    """The text encoder in `folder`, such as one of t5-base."""
    return build_text_encoder(
        read_json(folder / "config.json"),
        open_safetensors(folder),
        load_tokenizer(folder),
        what=str(folder),
        device=device,
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in `folder`.

    Raises:
        CheckpointError: `tokenizer.json` is missing or damaged.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{file}: not a tokenizer: {error}") from error


def build_text_encoder(
    values: Mapping[str, Any],
    source: TensorSource,
    tokenizer: Tokenizer,
    *,
    what: str,
    device: torch.device | str,
) -> TextEncoder:
    """A text encoder in float32, as the published code runs it.

    Args:
        values: transformers' T5Config as JSON values.
        source: its tensors; those of a T5 decoder are left out.
        what: names the file in errors.

    Raises:
        CheckpointError: the tensors don't fit, or it isn't a T5.
    """
    if values.get("model_type", "t5") != "t5":
        raise CheckpointError(f"{what}: text encoder of unknown kind {values['model_type']!r}")
    config = T5Config.from_dict(dict(values))
    with torch.device("meta"):
        model = T5EncoderModel(config)
    # The table may be saved under either of its two names.
    if "shared.weight" not in source and "encoder.embed_tokens.weight" in source:
        source = {**source, "shared.weight": source["encoder.embed_tokens.weight"]}
    fill(
        model,
        source,
        (),
        what=what,
        ignored=f"{TIED}|{DECODER}",
        tied=TIED,
        dtype=torch.float32,
        device=device,
    )
    model.set_input_embeddings(model.shared)
    model.requires_grad_(False)
    return TextEncoder(model, tokenizer)
