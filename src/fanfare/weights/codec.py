"""Codecs on disk, `config.json` beside tensors: EnCodec in transformers' layout, and our own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any, get_args

import torch

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.nn.config import LmConfig
from fanfare.nn.encodec import Encodec, EncodecConfig, PadMode
from fanfare.nn.lapped import MODEL_TYPE as LAPPED
from fanfare.nn.lapped import LappedCodec, LappedConfig
from fanfare.nn.partials import PartialsConfig
from fanfare.weights.skeleton import skeleton
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
PAD_MODES: tuple[PadMode, ...] = get_args(PadMode)

MAX_WIDTH = 2**16
MAX_BOOKS = 128
MAX_RATE_HZ = 192_000


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
        values: transformers' EncodecConfig as JSON values, or our own codec's.
        source: its tensors, weight norm under either naming or fused.
        what: names the file in errors.
        renames: from transformers' names, weight norm fused, to the source's.
        ignored: regular expression for tensors of the source that only training needs.

    Raises:
        CheckpointError: the tensors don't fit, or the codec is of a kind that isn't known.
    """
    model = empty_codec(values, what)
    fill(
        model,
        fuse_weight_norm(source),
        renames,
        what=what,
        ignored=ignored,
        dtype=torch.float32,
        device=device,
    )
    model.eval().requires_grad_(False)
    books, rest = divmod(n_codebooks, channels)
    if rest or books > model.config.n_codebooks:
        raise CheckpointError(
            f"{what}: a codec of {model.config.n_codebooks} codebooks doesn't fit a language"
            f" model of {n_codebooks} for {channels} channels"
        )
    return Codec(model, channels, books)


def encodec_config(given: Mapping[str, Any], what: str) -> EncodecConfig:
    """What transformers' configuration says; what is absent has transformers' own default.

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
    is_causal = values.flag("use_causal_conv", True)
    latent_dim = values.whole("hidden_size", 128, high=MAX_WIDTH)
    if values.get("codebook_dim", None) not in (None, latent_dim):
        raise values.refused("codebook_dim", f"must be hidden_size, {latent_dim}")
    n_filters = values.whole("num_filters", 32, high=MAX_WIDTH >> len(ratios))
    return EncodecConfig(
        sample_rate_hz=sample_rate_hz,
        ratios=ratios,
        n_codebooks=_n_codebooks(values, size, sample_rate_hz // prod(ratios)),
        card=size,
        latent_dim=latent_dim,
        n_filters=n_filters,
        n_residual_layers=values.whole("num_residual_layers", 1, low=0, high=8),
        kernel=values.whole("kernel_size", 7, high=256),
        last_kernel=values.whole("last_kernel_size", 7, high=256),
        residual_kernel=values.whole("residual_kernel_size", 3, high=256),
        dilation_growth=values.whole("dilation_growth_rate", 2, high=16),
        compress=values.whole("compress", 2, high=n_filters),
        n_lstm_layers=values.whole("num_lstm_layers", 2, high=16),
        is_causal=is_causal,
        trim_right_ratio=values.number(
            "trim_right_ratio", 1, low=0 if is_causal else 1, high=1
        ),
        pad_mode=values.choice("pad_mode", PAD_MODES, "reflect"),
        has_conv_shortcut=values.flag("use_conv_shortcut", True),
    )  # fmt: skip


def _n_codebooks(values: Values, card: int, frame_rate_hz: int) -> int:
    """transformers counts them in kilobits per second."""
    bandwidths = values.get("target_bandwidths")
    if not isinstance(bandwidths, list | tuple) or not bandwidths:
        raise values.refused("target_bandwidths", "must be a list of numbers")
    top = Values({"target_bandwidths": bandwidths[-1]}, values.what)
    bandwidth = top.number("target_bandwidths", low=1e-3, high=1e5)
    count = _held_by(bandwidth, card, frame_rate_hz)
    if not 1 <= count <= MAX_BOOKS:
        raise values.refused("target_bandwidths", f"makes {count} codebooks")
    return count


def _held_by(bandwidth: float, card: int, frame_rate_hz: int) -> int:
    """How many codebooks a bandwidth in kbit/s has room for."""
    return int(1000 * bandwidth // (frame_rate_hz * (card - 1).bit_length()))


def encodec_values(config: EncodecConfig) -> dict[str, Any]:
    """The same as transformers' configuration, as JSON values."""
    bandwidth = config.n_codebooks * (config.card - 1).bit_length() * config.frame_rate_hz / 1000
    if _held_by(bandwidth, config.card, config.frame_rate_hz) < config.n_codebooks:
        bandwidth += 1e-9  # it was rounded down
    return {
        **REQUIRED,
        "architectures": ["EncodecModel"],
        "sampling_rate": config.sample_rate_hz,
        "target_bandwidths": [bandwidth],
        "upsampling_ratios": list(config.ratios),
        "codebook_size": config.card,
        "codebook_dim": config.latent_dim,
        "hidden_size": config.latent_dim,
        "num_filters": config.n_filters,
        "num_residual_layers": config.n_residual_layers,
        "kernel_size": config.kernel,
        "last_kernel_size": config.last_kernel,
        "residual_kernel_size": config.residual_kernel,
        "dilation_growth_rate": config.dilation_growth,
        "compress": config.compress,
        "num_lstm_layers": config.n_lstm_layers,
        "use_causal_conv": config.is_causal,
        "trim_right_ratio": config.trim_right_ratio,
        "pad_mode": config.pad_mode,
        "use_conv_shortcut": config.has_conv_shortcut,
    }


def lapped_config(given: Mapping[str, Any], what: str) -> LappedConfig:
    """What the configuration of our own codec says.

    Raises:
        CheckpointError: a value isn't one that a codec can have.
    """
    values = Values(given, f"{what}: the codec")
    values.require({"model_type": LAPPED})
    config = LappedConfig(
        sample_rate_hz=values.whole("sample_rate_hz", high=MAX_RATE_HZ),
        hop=values.whole("hop", high=MAX_WIDTH),
        n_codebooks=values.whole("n_codebooks", high=MAX_BOOKS),
        n_transforms=values.whole("n_transforms", high=64),
        n_bands=values.whole("n_bands", high=MAX_WIDTH),
        card=values.whole("card", low=2, high=MAX_WIDTH),
        latent_dim=values.whole("latent_dim", high=MAX_WIDTH),
        width=values.whole("width", high=MAX_WIDTH),
        encoder_blocks=values.whole("encoder_blocks", low=0, high=256),
        decoder_blocks=values.whole("decoder_blocks", low=0, high=256),
        encoder_hidden=values.whole("encoder_hidden", high=MAX_WIDTH),
        decoder_hidden=values.whole("decoder_hidden", high=MAX_WIDTH),
        kernel=values.whole("kernel", high=256),
        lookahead=values.whole("lookahead", low=0, high=255),
        encodec=_listening(values, what),
        partials=_partials(values),
    )
    if config.hop % (2 * config.n_transforms):
        raise values.refused("n_transforms", f"must divide half of hop, {config.hop // 2}")
    if config.sample_rate_hz % config.hop:
        raise values.refused("hop", f"doesn't divide {config.sample_rate_hz} Hz")
    if config.lookahead >= config.kernel:
        raise values.refused("lookahead", f"must be less than kernel, {config.kernel}")
    if config.encodec:
        for name in ("sample_rate_hz", "hop", "latent_dim", "n_codebooks", "card"):
            theirs, ours = getattr(config.encodec, name), getattr(config, name)
            if theirs != ours:
                raise values.refused("encodec", f"has {name} {theirs}, its decoder {ours}")
    return config


def _listening(values: Values, what: str) -> EncodecConfig | None:
    """The EnCodec that a codec of our own listens through, if it does."""
    given = values.get("encodec", None)
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise values.refused("encodec", "must be an object, or null")
    return encodec_config(given, what)


def _partials(values: Values) -> PartialsConfig | None:
    """The oscillators of a codec of our own, if it has some."""
    if values.get("partials", None) is None:
        return None
    own = values.part("partials")
    config = PartialsConfig(
        lowest_hz=own.number("lowest_hz", low=1.0, high=MAX_RATE_HZ),
        per_octave=own.whole("per_octave", high=MAX_WIDTH),
        n=own.whole("n", high=MAX_WIDTH),
        hidden=own.whole("hidden", high=MAX_WIDTH),
    )
    limit_hz = values.whole("sample_rate_hz", high=MAX_RATE_HZ) / 2
    # In octaves: the highest frequency itself may be beyond all numbers.
    if (config.n - 1) / config.per_octave >= math.log2(limit_hz / config.lowest_hz):
        raise own.refused("n", f"goes beyond {limit_hz:g} Hz, half the sample rate")
    return config


def codec_values(config: EncodecConfig | LappedConfig) -> dict[str, Any]:
    """A codec's configuration as JSON values."""
    if isinstance(config, LappedConfig):
        listens = encodec_values(config.encodec) if config.encodec else None
        return {"model_type": LAPPED, **asdict(config), "encodec": listens}
    return encodec_values(config)


def empty_codec(values: Mapping[str, Any], what: str) -> Encodec | LappedCodec:
    """The codec of a configuration, on the meta device.

    Raises:
        CheckpointError: a value isn't one that a codec can have.
    """
    if values.get("model_type") == LAPPED:
        lapped = lapped_config(values, what)
        with skeleton():
            return LappedCodec(lapped)
    encodec = encodec_config(values, what)
    with skeleton():
        return Encodec(encodec)


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
