"""Models of the published sizes with random weights, and a tiny one to try a benchmark with.

As fast as the real ones, and nothing needs to be fetched. "random-small", "random-medium", … have
a codec of the published size (facebook/encodec_32khz, 57 M parameters) and a text encoder of
t5-base's (110 M); only the tokenizer is tiny, and gives a token a word. All of "random-tiny" is
tiny.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import fanfare
from fanfare.nn.config import LmConfig
from fanfare.weights.published import PUBLISHED
from load import random_weights, small_codec, small_text_encoder, write_tokenizer

PREFIX = "random-"
TINY = replace(PUBLISHED["small"], n_layers=2, dim=128, n_heads=4, ffn_dim=256)
SIZES: dict[str, LmConfig] = {**PUBLISHED, "tiny": TINY}


def config_of(name: str) -> LmConfig:
    """The shape that a name such as random-small means; InputError for an unknown one."""
    size = name.removeprefix(PREFIX)
    if size not in SIZES:
        raise fanfare.InputError("weights", name, f"{PREFIX} goes before {', '.join(SIZES)}")
    return SIZES[size]


def weights_at(name: str, folder: Path) -> str | Path:
    """`name`, or a folder below `folder` with random weights of the size that it names.

    What is made of random weights is kept there, too, by this process and those that it starts.
    """
    if not name.startswith(PREFIX):
        return name
    from transformers.utils import logging

    config = config_of(name)
    os.environ["FANFARE_CACHE_DIR"] = str(folder / "cache")
    folder = folder / name
    if folder.exists():
        return folder
    folder.mkdir()
    save_file(random_weights(config, torch.float16), folder / "lm.safetensors")
    card = {"format": 1, "name": name, "licence": None, "lm": config.to_dict(), "extra": None}
    (folder / "fanfare.json").write_text(json.dumps(card))
    logging.disable_progress_bar()
    codec, text = parts_of(name)
    codec.save_pretrained(folder / "codec")
    text.save_pretrained(folder / "text")
    write_tokenizer(folder / "text")
    return folder


def parts_of(name: str) -> tuple[Any, Any]:
    """transformers' EnCodec and T5 encoder that go with a size, with random weights."""
    torch.manual_seed(0)
    if config_of(name) is TINY:
        return small_codec(), small_text_encoder()
    return published_codec(), published_text_encoder()


def published_codec() -> Any:
    """An EnCodec of the size of facebook/encodec_32khz."""
    from transformers import EncodecConfig, EncodecModel

    return EncodecModel(
        EncodecConfig(
            sampling_rate=32000, num_filters=64, upsampling_ratios=[8, 5, 4, 4], hidden_size=128,
            codebook_size=2048, target_bandwidths=[2.2], use_causal_conv=False,
            use_conv_shortcut=False,
        )
    )  # fmt: skip


def published_text_encoder() -> Any:
    """An encoder of t5-base's size."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=32128, d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
    )
