"""Checkpoints in audiocraft's layout, and what its trainers write.

    state_dict.bin              {"best_state": tensors, "xp.cfg": YAML}: the language model
    compression_state_dict.bin  the same of a codec, or {"pretrained": name}
    trained_model.tar           {"model": tensors, "xp.cfg": omegaconf}: a fine-tune, no tar at all
    checkpoint.th               {"best_state": {"model": tensors}, "model", "optimizer", "xp.cfg",
                                ...}: a training, as it was interrupted or ended

A file is known by what it holds, whatever it is called. Text encoder and codec are mostly named,
not held; only the names below are followed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LAYERS, LanguageModel
from fanfare.weights.audiocraft_codec import (
    CODEC_STATE,
    CODECS,
    best_weights,
    follow,
    load_codec,
)
from fanfare.weights.audiocraft_config import LM_KEYS, lm_config, text_encoder_name
from fanfare.weights.bundle import Bundle
from fanfare.weights.codec import check_codec
from fanfare.weights.parts import Parts
from fanfare.weights.skeleton import skeleton
from fanfare.weights.stored import StoredTensor
from fanfare.weights.tensors import Rename, fill, stored_tensors
from fanfare.weights.text import check_text, load_text_folder
from fanfare.weights.unpickle import open_pickle, read_config

STATE = "state_dict.bin"
EXPORT = "trained_model.tar"
TRAINING = "checkpoint.th"

LAYER = r"transformer.layers.\1."
CONDITIONER = "condition_provider.conditioners."

RENAMES = (
    Rename(r"heads\.(\d+)\.weight", (r"linears.\1.weight",)),
    Rename(r"layers\.(\d+)\.self_attn\.in_proj\.weight", (rf"{LAYER}self_attn.in_proj_weight",)),
    Rename(
        r"layers\.(\d+)\.cross_attn\.in_proj\.weight", (rf"{LAYER}cross_attention.in_proj_weight",)
    ),
    Rename(r"layers\.(\d+)\.cross_attn\.(out_proj\.weight)", (rf"{LAYER}cross_attention.\2",)),
    Rename(r"layers\.(\d+)\.(.*)", (rf"{LAYER}\2",)),
    Rename(r"text_proj\.(weight|bias)", (rf"{CONDITIONER}description.output_proj.\1",)),
    Rename(r"chroma_proj\.(weight|bias)", (rf"{CONDITIONER}self_wav.output_proj.\1",)),
)

# A window that follows from the configuration.
IGNORED = r"condition_provider\.conditioners\.self_wav\.chroma\.spec\.window"

# Names that checkpoints refer to, and where they are on the hub.
TEXT_ENCODERS = {
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
    "google/flan-t5-small": "google/flan-t5-small",
    "google/flan-t5-base": "google/flan-t5-base",
    "google/flan-t5-large": "google/flan-t5-large",
}


def find_checkpoint(folder: Path) -> Path | None:
    """The language model's file in a folder of this layout; None if it is of another."""
    files = (folder / name for name in (STATE, EXPORT, TRAINING))
    return next((file for file in files if file.is_file()), None)


def load_audiocraft(
    path: Path,
    parts: Parts,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    leave_layers: bool = False,
) -> Bundle:
    """The checkpoint at `path`: a folder as on the hub or of a training, or a file by any name.

    Raises:
        CheckpointError: it is damaged, or of a kind that isn't known.
    """
    file = find_checkpoint(path) if path.is_dir() else path
    if file is None:
        raise CheckpointError(f"{path} holds neither {STATE}, {EXPORT} nor {TRAINING}")
    values = open_pickle(file)
    tensors = best_weights(values)
    if tensors is None or "xp.cfg" not in values:
        raise CheckpointError(
            f"{file}: not a checkpoint of audiocraft's, which holds weights and xp.cfg;"
            f" it holds {', '.join(str(key)[:40] for key in list(values)[:5])}"
        )
    settings = read_config(values["xp.cfg"], str(file), LM_KEYS)
    source = _source(tensors, file)
    config = lm_config(settings, text_dim=text_dim(source, file), what=str(file))
    codec = _load_codec(file, settings, config, parts, device)
    config = replace(config, frame_rate_hz=codec.sample_rate_hz // codec.hop)
    check_codec(codec, config, str(file))
    text = load_text_folder(
        parts.text_encoder
        or follow(
            text_encoder_name(settings, str(file)), TEXT_ENCODERS, "text_encoder", file
        ),
        device=device,
    )  # fmt: skip
    check_text(text, config, str(file))
    with skeleton():
        lm = LanguageModel(config)
    left = fill(
        lm, source, RENAMES, what=str(file), ignored=IGNORED,
        leave=LAYERS if leave_layers else None, dtype=dtype, device=device,
    )  # fmt: skip
    return Bundle(
        name=path.resolve().name if path.is_dir() else path.stem,
        source=path,
        lm=lm.eval().requires_grad_(False),
        codec=codec,
        text=text,
        left=left,
    )


def _source(tensors: object, file: Path) -> dict[str, StoredTensor]:
    """Tensors by name; attention of torch's own kind has one more level in its names."""
    source = stored_tensors(tensors, file)
    plain = {name.replace("attn.mha.", "attn.").replace("attention.mha.", "attention."): name
             for name in source}  # fmt: skip
    if len(plain) != len(source):
        raise CheckpointError(f"{file}: holds the same attention under two names")
    return {name: source[theirs] for name, theirs in plain.items()}


def text_dim(source: dict[str, StoredTensor], file: Path) -> int:
    """Width of the text encoder's output.

    Raises:
        CheckpointError: the model takes no text.
    """
    projection = source.get(f"{CONDITIONER}description.output_proj.weight")
    if projection is None or len(projection.shape) != 2:
        raise CheckpointError(f"{file}: no text condition; such models aren't supported")
    return projection.shape[1]


def _load_codec(
    file: Path,
    settings: dict[str, Any],
    config: LmConfig,
    parts: Parts,
    device: torch.device | str,
) -> Codec:
    """The codec given, else the one beside `file`, else the one that the settings name."""
    place = parts.codec
    if place is None and (file.parent / CODEC_STATE).is_file():
        place = file.parent / CODEC_STATE
    if place is None:
        name = str(settings.get("compression_model_checkpoint")).removeprefix("//pretrained/")
        place = follow(name, CODECS, "codec", file)
    return load_codec(
        place, channels=config.channels, n_codebooks=config.n_codebooks, device=device
    )
