"""Checkpoints in transformers' layout: musicgen and musicgen_melody folders.

One `config.json` with the parts nested, one set of safetensors with the parts' names prefixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights.bundle import Bundle
from fanfare.weights.codec import build_codec, load_codec_folder
from fanfare.weights.parts import Parts
from fanfare.weights.tensors import (
    Rename,
    TensorSource,
    fill,
    open_safetensors,
    read_json,
    with_prefix,
)
from fanfare.weights.text import build_text_encoder, load_text_folder, load_tokenizer

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
    folder: Path, parts: Parts, *, device: torch.device | str, dtype: torch.dtype
) -> Bundle:
    """The checkpoint in `folder`.

    Raises:
        CheckpointError: it is damaged, or of a kind that isn't known.
    """
    values = read_json(folder / "config.json")
    what = str(folder)
    config = lm_config(values, what)
    source = open_safetensors(folder)
    lm = _load_lm(config, source, what, device=device, dtype=dtype)
    if parts.codec is not None:
        codec = load_codec_folder(
            parts.codec, channels=config.channels, n_codebooks=config.n_codebooks, device=device
        )
    else:
        codec = build_codec(
            values["audio_encoder"],
            with_prefix(source, "audio_encoder."),
            what=what,
            channels=config.channels,
            n_codebooks=config.n_codebooks,
            device=device,
        )
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
    return Bundle(name=folder.resolve().name, source=folder, lm=lm, codec=codec, text=text)


def lm_config(values: Mapping[str, Any], what: str) -> LmConfig:
    """The language model that transformers' configuration describes.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    kind = values.get("model_type")
    if kind not in KINDS:
        raise CheckpointError(f"{what}: model_type {kind!r} is none of {', '.join(KINDS)}")
    try:
        decoder, codec, text = values["decoder"], values["audio_encoder"], values["text_encoder"]
        for key, value in {**REQUIRED, "model_type": KINDS[kind]}.items():
            if decoder.get(key, value) != value:
                raise CheckpointError(
                    f"{what}: decoder.{key} = {decoder[key]!r} isn't supported;"
                    f" it must be {value!r}"
                )
        channels = decoder.get("audio_channels", 1)
        n_codebooks = decoder["num_codebooks"]
        if channels not in (1, 2) or n_codebooks % channels:
            raise CheckpointError(f"{what}: {n_codebooks} codebooks for {channels} channels")
        is_melody = kind == "musicgen_melody"
        hop = 1
        for ratio in codec["upsampling_ratios"]:
            hop *= ratio
        return LmConfig(
            n_codebooks=n_codebooks,
            card=decoder["vocab_size"],
            dim=decoder["hidden_size"],
            n_heads=decoder["num_attention_heads"],
            n_layers=decoder["num_hidden_layers"],
            ffn_dim=decoder["ffn_dim"],
            delays=tuple(k // channels for k in range(n_codebooks)),
            text_dim=text["d_model"],
            text_fusion="prefix" if is_melody else "cross",
            n_chroma=values.get("num_chroma", 12) if is_melody else None,
            chroma_length=values.get("chroma_length", 235) if is_melody else None,
            channels=channels,
            frame_rate_hz=codec["sampling_rate"] // hop,
            sample_rate_hz=codec["sampling_rate"],
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{what}: config.json is incomplete: {error}") from error


def _load_lm(
    config: LmConfig,
    source: TensorSource,
    what: str,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
) -> LanguageModel:
    own = {
        name: read
        for name, read in source.items()
        if not name.startswith(("audio_encoder.", "text_encoder."))
    }
    with torch.device("meta"):
        lm = LanguageModel(config)
    fill(lm, own, RENAMES, what=what, ignored=IGNORED, dtype=dtype, device=device)
    return lm.eval().requires_grad_(False)
