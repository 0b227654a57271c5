"""Checkpoints in transformers' layout: musicgen and musicgen_melody folders.

One `config.json` with the parts nested, one set of tensors with the parts' names prefixed: in
safetensors or, as older versions saved them, in `pytorch_model.bin`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LAYERS, LanguageModel
from fanfare.weights.audiocraft_codec import load_codec
from fanfare.weights.bundle import Bundle
from fanfare.weights.codec import build_codec, check_codec, encodec_config
from fanfare.weights.parts import Parts
from fanfare.weights.skeleton import skeleton
from fanfare.weights.tensors import (
    Left,
    Rename,
    TensorSource,
    fill,
    open_tensors,
    read_json,
    with_prefix,
)
from fanfare.weights.text import (
    build_text_encoder,
    check_text,
    load_text_folder,
    load_tokenizer,
    t5_config,
)
from fanfare.weights.values import Values

LAYER = r"decoder.model.decoder.layers.\1."

RENAMES = (
    Rename(r"emb\.(\d+)\.weight", (r"decoder.model.decoder.embed_tokens.\1.weight",)),
    Rename(r"heads\.(\d+)\.weight", (r"decoder.lm_heads.\1.weight",)),
    Rename(r"out_norm\.(weight|bias)", (r"decoder.model.decoder.layer_norm.\1",)),
    Rename(
        r"layers\.(\d+)\.self_attn\.in_proj\.weight",
        tuple(rf"{LAYER}self_attn.{part}_proj.weight" for part in "qkv"),
    ),
    Rename(
        r"layers\.(\d+)\.cross_attn\.in_proj\.weight",
        tuple(rf"{LAYER}encoder_attn.{part}_proj.weight" for part in "qkv"),
    ),
    Rename(r"layers\.(\d+)\.self_attn\.(out_proj\.weight)", (rf"{LAYER}self_attn.\2",)),
    Rename(r"layers\.(\d+)\.cross_attn\.(out_proj\.weight)", (rf"{LAYER}encoder_attn.\2",)),
    Rename(r"layers\.(\d+)\.norm1\.(weight|bias)", (rf"{LAYER}self_attn_layer_norm.\2",)),
    Rename(r"layers\.(\d+)\.norm_cross\.(weight|bias)", (rf"{LAYER}encoder_attn_layer_norm.\2",)),
    Rename(r"layers\.(\d+)\.norm2\.(weight|bias)", (rf"{LAYER}final_layer_norm.\2",)),
    Rename(r"layers\.(\d+)\.linear([12])\.weight", (rf"{LAYER}fc\2.weight",)),
    Rename(r"text_proj\.(weight|bias)", (r"enc_to_dec_proj.\1",)),
    Rename(r"chroma_proj\.(weight|bias)", (r"audio_enc_to_dec_proj.\1",)),
)

# Position tables that older versions saved; they follow from the configuration.
IGNORED = r"decoder\.model\.decoder\.embed_positions\.weights"

KINDS = {"musicgen": "musicgen_decoder", "musicgen_melody": "musicgen_melody_decoder"}

# What the decoder must say, or not say at all; any other value makes another architecture.
REQUIRED: dict[str, object] = {
    "activation_function": "gelu",
    "scale_embedding": False,
    "tie_word_embeddings": False,
    "cross_attention_hidden_size": None,
}


def load_transformers(
    folder: Path,
    parts: Parts,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    leave_layers: bool = False,
) -> Bundle:
    """The checkpoint in `folder`.

    Raises:
        CheckpointError: it is damaged, or of a kind that isn't known.
    """
    values = read_json(folder / "config.json")
    what = str(folder)
    config = lm_config(values, what)
    source = open_tensors(folder)
    lm, left = _load_lm(config, source, what, leave_layers=leave_layers, device=device, dtype=dtype)
    if parts.codec is not None:
        codec = load_codec(
            parts.codec, channels=config.channels, n_codebooks=config.n_codebooks, device=device
        )
    else:
        own = with_prefix(source, "audio_encoder.")
        codec = build_codec(
            values["audio_encoder"],
            own,
            what=what,
            channels=config.channels,
            n_codebooks=config.n_codebooks,
            device=device,
        )
    check_codec(codec, config, what)
    if parts.text_encoder is not None:
        text = load_text_folder(parts.text_encoder, device=device)
    else:
        text = build_text_encoder(
            values["text_encoder"],
            with_prefix(source, "text_encoder."),
            load_tokenizer(folder),
            what=what,
            device=device,
        )
    check_text(text, config, what)
    return Bundle(
        name=folder.resolve().name, source=folder, lm=lm, codec=codec, text=text, left=left
    )


def lm_config(given: Mapping[str, Any], what: str) -> LmConfig:
    """The language model that transformers' configuration describes.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    values = Values(given, what)
    kind = values.choice("model_type", tuple(KINDS))
    decoder = values.part("decoder")
    values.require({"tie_word_embeddings": False})
    decoder.require({**REQUIRED, "model_type": KINDS[kind]})
    card = decoder.whole("vocab_size")
    # The special token isn't named: it is what the delayed books are padded with.
    decoder.require({"pad_token_id": card, "bos_token_id": card})
    channels = decoder.whole("audio_channels", 1, high=2)
    n_codebooks = decoder.whole("num_codebooks", high=64)
    if n_codebooks % channels:
        raise decoder.refused("num_codebooks", f"for {channels} channels")
    is_melody = kind == "musicgen_melody"
    codec = encodec_config(values.part("audio_encoder").values, what)
    text = t5_config(values.part("text_encoder").values, what)
    try:
        return LmConfig(
            n_codebooks=n_codebooks,
            card=card,
            dim=decoder.whole("hidden_size"),
            n_heads=decoder.whole("num_attention_heads"),
            n_layers=decoder.whole("num_hidden_layers"),
            ffn_dim=decoder.whole("ffn_dim"),
            delays=tuple(k // channels for k in range(n_codebooks)),
            text_dim=text.dim,
            text_fusion="prefix" if is_melody else "cross",
            n_chroma=values.whole("num_chroma", 12) if is_melody else None,
            chroma_length=values.whole("chroma_length", 235) if is_melody else None,
            channels=channels,
            frame_rate_hz=codec.frame_rate_hz,
            sample_rate_hz=codec.sample_rate_hz,
        )
    except ValueError as error:
        raise CheckpointError(f"{what}: {error}") from error


def _load_lm(
    config: LmConfig,
    source: TensorSource,
    what: str,
    *,
    leave_layers: bool,
    device: torch.device | str,
    dtype: torch.dtype,
) -> tuple[LanguageModel, dict[str, Left]]:
    """The model, and those of its weights that stayed in their files."""
    own = {
        name: read
        for name, read in source.items()
        if not name.startswith(("audio_encoder.", "text_encoder."))
    }
    with skeleton():
        lm = LanguageModel(config)
    left = fill(
        lm, own, RENAMES, what=what, ignored=IGNORED,
        leave=LAYERS if leave_layers else None, dtype=dtype, device=device,
    )  # fmt: skip
    return lm.eval().requires_grad_(False), left
