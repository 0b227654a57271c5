"""EnCodec in audiocraft's layout, and the door to codecs of either layout.

compression_state_dict.bin  {"best_state": tensors, "xp.cfg": YAML}, or {"pretrained": name}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.weights.audiocraft_config import CODEC_KEYS, codec_config
from fanfare.weights.codec import build_codec, load_codec_folder
from fanfare.weights.registry import find
from fanfare.weights.tensors import Rename, stored_tensors
from fanfare.weights.unpickle import open_pickle, read_config

CODEC_STATE = "compression_state_dict.bin"

RENAMES = (
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

TRAINING_ONLY = r"quantizer\.vq\.layers\.\d+\._codebook\.(embed_avg|cluster_size|inited)"

# Names that checkpoints refer to, and where they are on the hub.
CODECS = {"facebook/encodec_32khz": "facebook/encodec_32khz"}


def load_codec(path: Path, *, channels: int, n_codebooks: int, device: torch.device | str) -> Codec:
    """The codec at `path`: a folder in either layout, or a file in audiocraft's.

    Raises:
        CheckpointError: it is damaged, or of a kind that isn't known.
    """
    file = path / CODEC_STATE if path.is_dir() else path
    if path.is_dir() and ((path / "config.json").is_file() or not file.is_file()):
        return load_codec_folder(path, channels=channels, n_codebooks=n_codebooks, device=device)
    values = open_pickle(file)
    if "pretrained" in values:
        folder = follow(str(values["pretrained"]), CODECS, "codec", file)
        return load_codec_folder(folder, channels=channels, n_codebooks=n_codebooks, device=device)
    return _build(values, file, channels=channels, n_codebooks=n_codebooks, device=device)


def _build(
    values: dict[str, Any],
    file: Path,
    *,
    channels: int,
    n_codebooks: int,
    device: torch.device | str,
) -> Codec:
    """A codec from what a file holds."""
    tensors = best_weights(values)
    if tensors is None or "xp.cfg" not in values:
        raise CheckpointError(f"{file}: neither a codec nor the name of one")
    encodec = codec_config(read_config(values["xp.cfg"], str(file), CODEC_KEYS), str(file))
    per_ratio = 2 + encodec["num_residual_layers"]
    last = 3 + per_ratio * len(encodec["upsampling_ratios"])
    renames = tuple(Rename(row.ours.replace("{last}", str(last)), row.theirs) for row in RENAMES)
    return build_codec(
        encodec,
        stored_tensors(tensors, file),
        what=str(file),
        channels=channels,
        n_codebooks=n_codebooks,
        device=device,
        renames=renames,
        ignored=TRAINING_ONLY,
    )


def best_weights(values: dict[str, Any]) -> object:
    """The weights of an audiocraft file that are meant to be used; None = it holds none.

    Published files hold the best ones as they are; a training's own checkpoint holds them under
    "best_state", averaged where the training averages, beside the last ones under "model".
    """
    best = values.get("best_state")
    if isinstance(best, dict) and isinstance(best.get("model"), dict):
        best = best["model"]
    return best or values.get("model")


def follow(name: str, known: dict[str, str], argument: str, file: Path) -> Path:
    """Where a part that a checkpoint names is; only known names are followed.

    Raises:
        CheckpointError: it isn't known; `argument` is what to give instead.
    """
    if name not in known:
        raise CheckpointError(
            f"{file} names {name[:80]!r}, which isn't known; give its folder as {argument}="
        )
    return find(known[name])
