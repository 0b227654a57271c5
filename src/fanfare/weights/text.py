"""T5 on disk, in transformers' layout: `config.json`, tokenizer and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.t5 import T5Config, T5Encoder
from fanfare.nn.text import TextEncoder
from fanfare.weights.skeleton import skeleton
from fanfare.weights.tensors import TensorSource, fill, open_tensors, read_json
from fanfare.weights.values import Values

TIED = r"encoder\.embed_tokens\.weight"
DECODER = r"decoder\..*|lm_head\..*"
MAX_WIDTH = 2**16
MAX_TOKENIZER_BYTES = 64 * 1024 * 1024

# Kinds of feed-forward part, with the two values that say the same in newer files.
FEED_FORWARD = {"relu": ("relu", False), "gated-gelu": ("gelu_new", True)}


def load_text_folder(folder: Path, *, device: torch.device | str) -> TextEncoder:
    """The text encoder in `folder`, such as one of t5-base."""
    return build_text_encoder(
        read_json(folder / "config.json"),
        open_tensors(folder),
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
    if file.stat().st_size > MAX_TOKENIZER_BYTES:
        raise CheckpointError(f"{file}: larger than any tokenizer")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(f"{file}: not a tokenizer: {str(error)[:200]}") from error


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
    config = t5_config(values, what)
    last = max(tokenizer.get_vocab().values(), default=0)
    if last >= config.vocab_size:
        raise CheckpointError(
            f"{what}: the tokenizer knows token {last}, the text encoder only {config.vocab_size}"
        )
    model = empty_text_encoder(config)
    # The table may be saved under either of its two names.
    if "shared.weight" not in source and "encoder.embed_tokens.weight" in source:
        source = {**source, "shared.weight": source["encoder.embed_tokens.weight"]}
    fill(
        model,
        source,
        (),
        what=what,
        ignored=f"{TIED}|{DECODER}",
        dtype=torch.float32,
        device=device,
    )
    model.requires_grad_(False)
    return TextEncoder(model, tokenizer)


def t5_config(given: Mapping[str, Any], what: str) -> T5Config:
    """What transformers' configuration says; what is absent has transformers' own default.

    Raises:
        CheckpointError: a value isn't one that a T5 can have.
    """
    values = Values(given, f"{what}: the text encoder")
    values.require({"model_type": "t5"})
    feed_forward = values.choice("feed_forward_proj", tuple(FEED_FORWARD), "relu")
    activation, is_gated = FEED_FORWARD[feed_forward]
    values.require({"dense_act_fn": activation, "is_gated_act": is_gated})
    vocab_size = values.whole("vocab_size", 32128)
    n_buckets = values.whole("relative_attention_num_buckets", 32, low=4)
    return T5Config(
        vocab_size=vocab_size,
        dim=values.whole("d_model", 512, high=MAX_WIDTH),
        head_dim=values.whole("d_kv", 64, high=MAX_WIDTH),
        ffn_dim=values.whole("d_ff", 2048, high=MAX_WIDTH),
        n_layers=values.whole("num_layers", 6, high=256),
        n_heads=values.whole("num_heads", 8, high=1024),
        n_buckets=n_buckets,
        max_distance=values.whole(
            "relative_attention_max_distance", 128, low=max(4, n_buckets // 4 + 1)
        ),
        norm_eps=values.number("layer_norm_epsilon", 1e-6, low=0, high=1),
        is_gated=is_gated,
        eos_token=values.whole("eos_token_id", 1, low=0, high=vocab_size - 1),
    )


def t5_values(config: T5Config) -> dict[str, Any]:
    """The same as transformers' configuration, as JSON values."""
    kinds = {is_gated: (name, act) for name, (act, is_gated) in FEED_FORWARD.items()}
    feed_forward, activation = kinds[config.is_gated]
    return {
        "model_type": "t5",
        "architectures": ["T5EncoderModel"],
        "vocab_size": config.vocab_size,
        "d_model": config.dim,
        "d_kv": config.head_dim,
        "d_ff": config.ffn_dim,
        "num_layers": config.n_layers,
        "num_heads": config.n_heads,
        "relative_attention_num_buckets": config.n_buckets,
        "relative_attention_max_distance": config.max_distance,
        "layer_norm_epsilon": config.norm_eps,
        "feed_forward_proj": feed_forward,
        "dense_act_fn": activation,
        "is_gated_act": config.is_gated,
        "eos_token_id": config.eos_token,
        "is_encoder_decoder": False,
        "use_cache": False,
    }


def empty_text_encoder(config: T5Config) -> T5Encoder:
    """A text encoder on the meta device."""
    with skeleton():
        return T5Encoder(config)


def check_text(text: TextEncoder, config: LmConfig, what: str) -> None:
    """Refuse a text encoder that doesn't fit a language model.

    Raises:
        CheckpointError: its vectors are of another width.
    """
    if text.dim != config.text_dim:
        raise CheckpointError(
            f"{what}: a text encoder of width {text.dim} for a language model that takes"
            f" {config.text_dim}"
        )
