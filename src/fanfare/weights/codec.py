"""EnCodec on disk, in transformers' layout: `config.json` beside its tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import EncodecConfig, EncodecModel

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.nn.config import LmConfig
from fanfare.weights.tensors import (
    Rename,
    TensorSource,
    fill,
    fuse_weight_norm,
    open_tensors,
    read_json,
)
from fanfare.weights.values import Values

TRAINING_ONLY = r"quantizer\.layers\.\d+\.codebook\.(embed_avg|cluster_size|inited)"

REQUIRED: dict[str, object] = {
    "model_type": "encodec",
    "audio_channels": 1,
    "normalize": False,
    "chunk_length_s": None,
    "norm_type": "weight_norm",
}
PAD_MODES = ("reflect", "constant", "replicate")

MAX_WIDTH = 2**16
MAX_BOOKS = 128


def load_codec_folder(
    folder: Path, *, channels: int, n_codebooks: int, device: torch.device | str
) -> Codec:
    """The codec in `folder`; see `build_codec`."""
    config = read_json(folder / "config.json")
    return build_codec(
        config,
        open_tensors(folder),
        what=str(folder),
        channels=channels,
        n_codebooks=n_codebooks,
        device=device,
    )


def build_codec(
    values: Mapping[str, Any],
    source: TensorSource,
    *,
    what: str,
    channels: int,
    n_codebooks: int,
    device: torch.device | str,
    renames: Sequence[Rename] = (),
    ignored: str = TRAINING_ONLY,
) -> Codec:
    """A codec of `n_codebooks` for all `channels`, in float32, its weight norm fused.

    Args:
        values: transformers' EncodecConfig as JSON values.
        source: its tensors, weight norm under either naming or fused.
        what: names the file in errors.
        renames: from transformers' names, weight norm fused, to the source's.
        ignored: regular expression for tensors of the source that only training needs.

    Raises:
        CheckpointError: the tensors don't fit, or the codec is of a kind that isn't known.
    """
    model = empty_codec(encodec_config(values, what))
    fill(
        model,
        fuse_weight_norm(source),
        renames,
        what=what,
        ignored=ignored,
        tied=TRAINING_ONLY,
        dtype=torch.float32,
        device=device,
    )
    _fill_unsaved(model, device)
    model.eval().requires_grad_(False)
    books, rest = divmod(n_codebooks, channels)
    if rest or books > len(model.quantizer.layers):
        raise CheckpointError(
            f"{what}: a codec of {len(model.quantizer.layers)} codebooks doesn't fit a language"
            f" model of {n_codebooks} for {channels} channels"
        )
    return Codec(model, channels, books)


def encodec_config(given: Mapping[str, Any], what: str) -> EncodecConfig:
    """transformers' configuration, checked; what is absent has transformers' own default.

    Raises:
        CheckpointError: a value isn't one that a codec can have.
    """
    values = Values(given, f"{what}: the codec")
    values.require(REQUIRED)
    ratios = values.wholes("upsampling_ratios", high=1024, most=8)
    sample_rate_hz = values.whole("sampling_rate", 24000)
    if sample_rate_hz % prod(ratios):
        raise values.refused("upsampling_ratios", f"doesn't divide {sample_rate_hz} Hz")
    size = values.whole("codebook_size", 1024, low=2)
    if size & (size - 1):
        raise values.refused("codebook_size", "must be a power of two")
    bandwidths = values.get("target_bandwidths")
    if not isinstance(bandwidths, list | tuple) or not bandwidths:
        raise values.refused("target_bandwidths", "must be a list of numbers")
    top = Values({"target_bandwidths": bandwidths[-1]}, what)
    is_causal = values.flag("use_causal_conv", True)
    width = values.whole("hidden_size", 128, high=MAX_WIDTH)
    n_filters = values.whole("num_filters", 32, high=MAX_WIDTH >> len(ratios))
    config = EncodecConfig(
        target_bandwidths=[top.number("target_bandwidths", low=1e-3, high=1e5)],
        sampling_rate=sample_rate_hz,
        hidden_size=width,
        num_filters=n_filters,
        num_residual_layers=values.whole("num_residual_layers", 1, low=0, high=8),
        upsampling_ratios=list(ratios),
        kernel_size=values.whole("kernel_size", 7, high=256),
        last_kernel_size=values.whole("last_kernel_size", 7, high=256),
        residual_kernel_size=values.whole("residual_kernel_size", 3, high=256),
        dilation_growth_rate=values.whole("dilation_growth_rate", 2, high=16),
        use_causal_conv=is_causal,
        pad_mode=values.choice("pad_mode", PAD_MODES, "reflect"),
        compress=values.whole("compress", 2, high=n_filters),
        num_lstm_layers=values.whole("num_lstm_layers", 2, high=16),
        trim_right_ratio=values.number(
            "trim_right_ratio", 1, low=0 if is_causal else 1, high=1
        ),
        codebook_size=size,
        use_conv_shortcut=values.flag("use_conv_shortcut", True),
    )  # fmt: skip
    if values.get("codebook_dim", None) not in (None, width):
        raise values.refused("codebook_dim", f"must be hidden_size, {width}")
    if not 1 <= config.num_quantizers <= MAX_BOOKS:
        raise values.refused("target_bandwidths", f"makes {config.num_quantizers} codebooks")
    return config


def empty_codec(config: EncodecConfig) -> EncodecModel:
    """A codec on the meta device, without weight norm."""
    with torch.device("meta"):
        model = EncodecModel(config)
    plain_weights(model)
    return model


def check_codec(codec: Codec, config: LmConfig, what: str) -> None:
    """Refuse a codec that doesn't speak the codes of a language model.

    Raises:
        CheckpointError: naming what differs.
    """
    frame_rate_hz = codec.sample_rate_hz // codec.hop
    for name, theirs, ours in (
        ("codes per codebook", codec.card, config.card),
        ("sample rate", codec.sample_rate_hz, config.sample_rate_hz),
        ("frame rate", frame_rate_hz, config.frame_rate_hz),
    ):
        if theirs != ours:
            raise CheckpointError(
                f"{what}: a codec with {name} {theirs} for a language model with {ours}"
            )


def plain_weights(model: nn.Module) -> None:
    """Replace weight norm by the plain weights that it computes, in place."""
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def _fill_unsaved(model: EncodecModel, device: torch.device | str) -> None:
    """What no file holds and the meta device left empty: sizes of convolutions, training state."""
    for module in model.modules():
        if hasattr(module, "padding_total"):
            conv = module.conv
            kernel = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1
            module.kernel_size = torch.tensor(kernel, device=device)
            module.stride = torch.tensor(conv.stride[0], device=device)
            module.padding_total = torch.tensor(kernel - conv.stride[0], device=device)
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_meta:
                setattr(module, name, torch.zeros(buffer.shape, device=device))
