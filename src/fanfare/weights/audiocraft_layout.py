"""Checkpoints in audiocraft's layout, and what its fine-tuners export.

    state_dict.bin              {"best_state": tensors, "xp.cfg": YAML}: the language model
    compression_state_dict.bin  the same of a codec, or {"pretrained": name}
    trained_model.tar           {"model": tensors, "xp.cfg": omegaconf}: a fine-tune, no tar at all

Text encoder and codec are mostly named, not held; only the names below are followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights.audiocraft_config import codec_config, lm_config
from fanfare.weights.bundle import Bundle
from fanfare.weights.codec import build_codec, load_codec_folder
from fanfare.weights.parts import Parts
from fanfare.weights.registry import find
from fanfare.weights.tensors import Rename, TensorSource, fill, stored_tensors
from fanfare.weights.text import load_text_folder
from fanfare.weights.unpickle import open_pickle, read_config

STATE = "state_dict.bin"
CODEC_STATE = "compression_state_dict.bin"
EXPORT = "trained_model.tar"

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

CODEC_RENAMES = (
    Rename(r"(encoder|decoder)\.layers\.(\d+)\.lstm\.(.*)", (r"\1.model.\2.lstm.\3",)),
    Rename(
        r"(encoder|decoder)\.layers\.(\d+\.block\.\d+)\.conv\.(.*)", (r"\1.model.\2.conv.conv.\3",)
    ),
    Rename(r"encoder\.layers\.(\d+)\.conv\.(.*)", (r"encoder.model.\1.conv.conv.\2",)),
    # The decoder's first and last convolutions are plain, the others transposed.
    Rename(r"decoder\.layers\.(0|{last})\.conv\.(.*)", (r"decoder.model.\1.conv.conv.\2",)),
    Rename(r"decoder\.layers\.(\d+)\.conv\.(.*)", (r"decoder.model.\1.convtr.convtr.\2",)),
    Rename(
        r"quantizer\.layers\.(\d+)\.codebook\.embed", (r"quantizer.vq.layers.\1._codebook.embed",)
    ),
)

CODEC_TRAINING_ONLY = r"quantizer\.vq\.layers\.\d+\._codebook\.(embed_avg|cluster_size|inited)"

# Names that checkpoints refer to, and where they are on the hub.
CODECS = {"facebook/encodec_32khz": "facebook/encodec_32khz"}
TEXT_ENCODERS = {"t5-base": "google-t5/t5-base"}


def load_audiocraft(
    path: Path, parts: Parts, *, device: torch.device | str, dtype: torch.dtype
) -> Bundle:
    """The checkpoint at `path`: a folder as on the hub, or an exported file.

    Raises:
        CheckpointError: it is damaged, or of a kind that isn't known.
    """
    if path.is_dir():
        file = next(path / name for name in (STATE, EXPORT) if (path / name).is_file())
    else:
        file = path
    values = open_pickle(file)
    tensors = values.get("best_state", values.get("model"))
    if not isinstance(tensors, dict) or "xp.cfg" not in values:
        raise CheckpointError(f"{file}: neither a {STATE} nor a {EXPORT} of audiocraft's")
    settings = read_config(values["xp.cfg"], str(file))
    source = _source(tensors, file)
    lm = _load_lm(settings, source, file, device=device, dtype=dtype)
    return Bundle(
        name=path.resolve().name if path.is_dir() else path.stem,
        source=path,
        lm=lm,
        codec=_load_codec(file, settings, lm.config, parts, device),
        text=load_text_folder(
            parts.text_encoder
            or _follow(_text_name(settings), TEXT_ENCODERS, "text_encoder", file),
            device=device,
        ),
    )


def _load_lm(
    settings: dict[str, Any],
    source: TensorSource,
    file: Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
) -> LanguageModel:
    projection = source.get(f"{CONDITIONER}description.output_proj.weight")
    if projection is None:
        raise CheckpointError(f"{file}: no text condition; such models aren't supported")
    config = lm_config(settings, text_dim=projection().shape[1], what=str(file))
    with torch.device("meta"):
        lm = LanguageModel(config)
    fill(lm, source, RENAMES, what=str(file), ignored=IGNORED, dtype=dtype, device=device)
    return lm.eval().requires_grad_(False)


def _load_codec(
    file: Path,
    settings: dict[str, Any],
    config: LmConfig,
    parts: Parts,
    device: torch.device | str,
) -> Codec:
    """The codec given, else the one beside `file`, else the one that the settings name."""
    shape = {"channels": config.channels, "n_codebooks": config.n_codebooks}
    beside = file.parent / CODEC_STATE
    name = str(settings.get("compression_model_checkpoint")).removeprefix("//pretrained/")
    if parts.codec is None and file.name == STATE and beside.is_file():
        values = open_pickle(beside)
        if "pretrained" not in values:
            return _build_codec(values, beside, device, **shape)
        name = str(values["pretrained"])
    folder = parts.codec or _follow(name, CODECS, "codec", file)
    return load_codec_folder(folder, device=device, **shape)


def _build_codec(
    values: dict[str, Any], file: Path, device: torch.device | str, **shape: int
) -> Codec:
    """A codec from a whole `compression_state_dict.bin`."""
    tensors = values.get("best_state")
    if not isinstance(tensors, dict) or "xp.cfg" not in values:
        raise CheckpointError(f"{file}: neither a codec nor the name of one")
    encodec = codec_config(read_config(values["xp.cfg"], str(file)), str(file))
    last = 3 * (len(encodec["upsampling_ratios"]) + 1)
    renames = tuple(
        Rename(row.ours.replace("{last}", str(last)), row.theirs) for row in CODEC_RENAMES
    )
    return build_codec(
        encodec,
        _source(tensors, file),
        what=str(file),
        channels=shape["channels"],
        n_codebooks=shape["n_codebooks"],
        device=device,
        renames=renames,
        ignored=CODEC_TRAINING_ONLY,
    )


def _source(tensors: dict[str, Any], file: Path) -> TensorSource:
    """Tensors by name; attention of torch's own kind has one more level in its names."""
    return {name.replace(".mha.", "."): t for name, t in stored_tensors(tensors, file).items()}


def _text_name(settings: dict[str, Any]) -> str:
    return str(settings["conditioners"]["description"]["t5"].get("name"))


def _follow(name: str, known: dict[str, str], argument: str, file: Path) -> Path:
    """Where a part that a checkpoint names is; only known names are followed."""
    if name not in known:
        raise CheckpointError(
            f"{file} names {name!r}, which isn't known; give its folder as {argument}="
        )
    return find(known[name])
