"""EnCodec on disk, in transformers' layout: `config.json` beside `model.safetensors`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from transformers import EncodecConfig, EncodecModel

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.weights.tensors import (
    Rename,
    TensorSource,
    fill,
    fuse_weight_norm,
    open_safetensors,
    read_json,
)

TRAINING_ONLY = r"quantizer\.layers\.\d+\.codebook\.(embed_avg|cluster_size|inited)"

REQUIRED: dict[str, object] = {
    "model_type": "encodec",
    "audio_channels": 1,
    "normalize": False,
    "chunk_length_s": None,
    "norm_type": "weight_norm",
}


def load_codec_folder(
    folder: Path, *, channels: int, n_codebooks: int, device: torch.device | str
) -> Codec:
    """The codec in `folder`; see `build_codec`."""
    config = read_json(folder / "config.json")
    return build_codec(
        config,
        open_safetensors(folder),
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
    for key, value in REQUIRED.items():
        if values.get(key, value) != value:
            raise CheckpointError(
                f"{what}: a codec with {key} = {values[key]!r} isn't supported;"
                f" it must be {value!r}"
            )
    if values.get("pad_mode", "reflect") not in ("reflect", "constant"):
        raise CheckpointError(f"{what}: unknown pad_mode {values['pad_mode']!r}")
    config = EncodecConfig.from_dict(dict(values))
    with torch.device("meta"):
        model = EncodecModel(config)
    plain_weights(model)
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
