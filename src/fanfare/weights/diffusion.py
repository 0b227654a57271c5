"""Multi-Band Diffusion on disk: as published, and in our own layout.

mbd_musicgen_32khz.th    {"sample_rate", "n_bands", 0: {"cfg", "model_state",
                         "processor_state"}, 1: ...}: torch.save, cfg an omegaconf object

diffusion.json           {"format": 1, "diffusion": {DiffusionConfig}}
diffusion.safetensors    all bands, under our module's own names, float32
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanfare.errors import CheckpointError
from fanfare.nn.bands import MultiBandProcessor, ProcessorConfig
from fanfare.nn.codec import Codec
from fanfare.nn.diffusion import (
    MAX_BANDS,
    Band,
    BandConfig,
    DiffusionConfig,
    MultiBandDiffusion,
)
from fanfare.nn.diffusion_schedule import N_STEPS, ScheduleConfig
from fanfare.nn.diffusion_unet import MAX_DEPTH, Bottleneck, UnetConfig
from fanfare.weights.skeleton import skeleton
from fanfare.weights.tensors import (
    Rename,
    TensorSource,
    fill,
    open_safetensors,
    read_json,
    stored_tensors,
)
from fanfare.weights.unpickle import open_pickle, read_config
from fanfare.weights.values import Values
from fanfare.weights.write import write_json, write_tensors

FORMAT = 1
FOLDER = "diffusion"
CARD = "diffusion.json"
STEM = "diffusion"
PUBLISHED = "mbd_musicgen_32khz.th"

UNET_RENAMES = (
    Rename(r"bilstm\.forwards\.(\d+)\.(\w+)_l0", (r"bilstm.lstm.\2_l\1",)),
    Rename(r"bilstm\.backwards\.(\d+)\.(\w+)_l0", (r"bilstm.lstm.\2_l\1_reverse",)),
    Rename(r"(transformer\..*\.self_attn)\.in_proj\.weight", (r"\1.in_proj_weight",)),
    Rename(
        r"(transformer\.layers\.\d+)\.cross_attn\.in_proj\.weight",
        (r"\1.cross_attention.in_proj_weight",),
    ),
    Rename(r"(transformer\.layers\.\d+)\.cross_attn\.(.*)", (r"\1.cross_attention.\2",)),
)
PROCESSOR_RENAMES = (Rename("filters", ("split_bands.lowpass.filters",)),)

# What is read of a published configuration. Of the keys of its parts those in the second lines
# matter to training only; any other is refused, for it could change the sound.
CONFIG_KEYS = {"channels", "diffusion_unet", "schedule", "processor"}
UNET_KEYS = {
    "hidden", "depth", "growth", "max_channels", "kernel", "stride", "res_blocks", "norm_groups",
    "emb_all_layers", "codec_dim", "bilstm", "transformer", "cross_attention",
    "dropout",
}  # fmt: skip
SCHEDULE_KEYS = {
    "beta_t0", "beta_t1", "beta_exp", "num_steps", "clip", "noise_scale", "repartition", "n_bands",
    "variance", "rescale", "variable_step_batch", "alpha_sigmoid",
}  # fmt: skip
PROCESSOR_KEYS = {
    "use", "name", "n_bands", "power_std",
    "num_samples",
}  # fmt: skip


def load_diffusion(path: Path, *, device: torch.device | str) -> MultiBandDiffusion:
    """The diffusion model in a published file, in a folder that holds one, or in our own layout.

    Args:
        path: the file or the folder.
        device: where the weights go; they are float32 everywhere.

    Raises:
        CheckpointError: it is missing, damaged, or of a kind that isn't known.
    """
    if path.is_file():
        mbd = _load_published(path, device)
    elif (path / CARD).is_file():
        mbd = _load_own(path, device)
    elif (path / PUBLISHED).is_file():
        mbd = _load_published(path / PUBLISHED, device)
    else:
        raise CheckpointError(
            f"{path}: no diffusion weights; expected {CARD} (Fanfare's own) or {PUBLISHED}"
        )
    _check_statistics(mbd, path)
    for module in mbd.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()  # assigned one by one, they don't lie side by side
    return mbd.eval().requires_grad_(False)


def save_diffusion(folder: Path, mbd: MultiBandDiffusion) -> None:
    """Write a diffusion model in our own layout into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.float() for name, tensor in mbd.state_dict().items()}
    write_tensors(folder / f"{STEM}.safetensors", tensors, torch.float32)
    write_json(folder / CARD, {"format": FORMAT, "diffusion": mbd.config.to_dict()})


def check_fit(mbd: MultiBandDiffusion, codec: Codec, what: str) -> None:
    """Refuse diffusion weights that were trained for another codec.

    Raises:
        CheckpointError: naming `what`, the place of the diffusion weights.
    """
    for name, theirs, ours in (
        ("sample rate", mbd.config.sample_rate_hz, codec.sample_rate_hz),
        ("latent width", mbd.config.latent_dim, codec.model.config.latent_dim),
    ):
        if theirs != ours:
            raise CheckpointError(
                f"{what}: diffusion weights for a codec with a {name} of {theirs},"
                f" but this model's has {ours}; load it without them"
            )
    hop = max(band.unet.hop for band in mbd.config.bands)
    if hop > 2 * codec.hop:
        raise CheckpointError(
            f"{what}: a network that sees {hop} samples as one would skip over frames of"
            f" {codec.hop} samples"
        )


def _load_own(folder: Path, device: torch.device | str) -> MultiBandDiffusion:
    values = read_json(folder / CARD)
    if values.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder / CARD}: format {values.get('format')!r} isn't known;"
            f" this version reads {FORMAT}"
        )
    try:
        config = DiffusionConfig.from_dict(values["diffusion"])
        mbd = _empty(config)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CARD}: {error}") from error
    source = open_safetensors(folder, STEM)
    fill(mbd, source, (), what=str(folder), dtype=torch.float32, device=device)
    return mbd


def _load_published(file: Path, device: torch.device | str) -> MultiBandDiffusion:
    top = Values(open_pickle(file), str(file))
    sample_rate_hz = top.whole("sample_rate")
    entries = [_entry(top, i, file) for i in range(top.whole("n_bands", high=MAX_BANDS))]
    try:
        mbd = _empty(DiffusionConfig(sample_rate_hz, tuple(map(_band, entries))))
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error
    for band, entry in zip(mbd.bands, entries, strict=True):
        assert isinstance(band, Band)
        where: dict[str, Any] = {"dtype": torch.float32, "device": device}
        source = _source(entry, "model_state", file)
        fill(band.unet, source, UNET_RENAMES, what=f"{entry.what}, model_state", **where)
        if band.processor is not None:
            source = _source(entry, "processor_state", file)
            what = f"{entry.what}, processor_state"
            fill(band.processor, source, PROCESSOR_RENAMES, what=what, **where)
    return mbd


def _entry(top: Values, i: int, file: Path) -> Values:
    """What the file holds of a band."""
    return Values(top.values.get(i), f"{file}, band {i}")  # keys are numbers here


def _source(entry: Values, key: str, file: Path) -> TensorSource:
    """Tensors by name; attention of torch's own kind has one more level in its names."""
    stored = stored_tensors(entry.get(key), file)
    return {name.replace(".mha.", "."): tensor for name, tensor in stored.items()}


def _empty(config: DiffusionConfig) -> MultiBandDiffusion:
    """Without weights."""
    with skeleton():
        return MultiBandDiffusion(config)


def _check_statistics(mbd: MultiBandDiffusion, path: Path) -> None:
    """Refuse statistics that would turn all sound into NaN."""
    for name, module in mbd.named_modules():
        if isinstance(module, MultiBandProcessor):
            levels = torch.cat([module.gain, module.mean])
            if not levels.isfinite().all():
                raise CheckpointError(f"{path}: {name} holds levels that are no numbers")


# From a published configuration to ours.


def _band(entry: Values) -> BandConfig:
    """The band that its training configuration describes."""
    config = read_config(entry.get("cfg"), entry.what, CONFIG_KEYS)
    top = Values(config, entry.what)
    top.require({"channels": 1})
    return BandConfig(
        unet=_unet(_section(top, "diffusion_unet", UNET_KEYS)),
        schedule=_schedule(_section(top, "schedule", SCHEDULE_KEYS)),
        processor=_processor(_section(top, "processor", PROCESSOR_KEYS)),
    )


def _section(top: Values, name: str, known: set[str]) -> Values:
    """A part of the configuration; keys that aren't known could change the sound."""
    section = top.part(name)
    unknown = sorted(str(key) for key in set(section.values) - known)
    if unknown:
        raise CheckpointError(f"{top.what}: {name}.{unknown[0]} isn't known")
    return section


def _unet(values: Values) -> UnetConfig:
    bilstm, transformer, cross = (
        values.flag(name, False) for name in ("bilstm", "transformer", "cross_attention")
    )
    if bilstm and transformer:
        raise values.refused("bilstm", "beside a transformer isn't supported")
    bottleneck: Bottleneck = "bilstm" if bilstm else "nothing"
    if transformer:
        bottleneck = "cross_attention" if cross else "transformer"
    if values.get("codec_dim", None) is None:
        raise values.refused("codec_dim", "isn't supported: it would take no latent")
    return UnetConfig(
        latent_dim=values.whole("codec_dim"),
        hidden=values.whole("hidden", 24),
        depth=values.whole("depth", 3, high=MAX_DEPTH),
        growth=values.number("growth", 2, low=0.01, high=100),
        max_channels=values.whole("max_channels", 10_000),
        kernel=values.whole("kernel", 4, high=1024),
        stride=values.whole("stride", 2, high=1024),
        res_blocks=values.whole("res_blocks", 1, low=0, high=MAX_DEPTH),
        norm_groups=values.whole("norm_groups", 4),
        emb_all_layers=values.flag("emb_all_layers", False),
        bottleneck=bottleneck,
    )


def _schedule(values: Values) -> ScheduleConfig:
    values.require({"repartition": "power", "n_bands": None, "num_steps": N_STEPS})
    clip = values.get("clip", 5.0)
    return ScheduleConfig(
        beta_first=values.number("beta_t0", 1e-4, low=0, high=1),
        beta_last=values.number("beta_t1", 0.02, low=0, high=1),
        exponent=values.number("beta_exp", 1, low=0.01, high=100),
        clip=values.number("clip", 5.0, low=0, high=1e6) if clip else None,
        noise_scale=values.number("noise_scale", 1.0, low=0, high=1e6),
    )


def _processor(values: Values) -> ProcessorConfig | None:
    if not values.flag("use", False):
        return None
    values.require({"name": "multi_band_processor"})
    n_bands = values.whole("n_bands", 8)
    power = values.get("power_std", 1.0)
    if isinstance(power, list):
        each = Values(dict(enumerate(power)), values.what, f"{values.path}power_std.")
        return ProcessorConfig(
            n_bands, tuple(each.number(i, low=-10, high=10) for i in each.values)
        )
    return ProcessorConfig(n_bands, values.number("power_std", 1.0, low=-10, high=10))
