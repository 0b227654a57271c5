"""Facts: what a model is and what it takes, found out without reading its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.lapped import MODEL_TYPE as LAPPED
from fanfare.nn.lm import LanguageModel
from fanfare.weights.audiocraft_codec import CODEC_STATE, CODECS, best_weights
from fanfare.weights.audiocraft_config import (
    CODEC_KEYS,
    LM_KEYS,
    codec_config,
    lm_config,
    text_encoder_name,
)
from fanfare.weights.audiocraft_layout import CONDITIONER, TEXT_ENCODERS, find_checkpoint
from fanfare.weights.codec import empty_codec
from fanfare.weights.diffusion import CARD as DIFFUSION_CARD
from fanfare.weights.diffusion import FOLDER as DIFFUSION
from fanfare.weights.hub import HubModel, layouts
from fanfare.weights.known import BY_HUB_ID, BY_NAME
from fanfare.weights.own_layout import CARD, card_config, read_card
from fanfare.weights.registry import find_here, identity, place_of
from fanfare.weights.skeleton import skeleton
from fanfare.weights.stored import StoredTensor
from fanfare.weights.tensors import (
    TensorSource,
    open_safetensors,
    open_tensors,
    read_json,
    stored_tensors,
)
from fanfare.weights.text import empty_text_encoder, t5_config
from fanfare.weights.transformers_layout import lm_config as transformers_config
from fanfare.weights.unpickle import open_pickle, read_config

HELD, GIVEN = "held", "to be given"
TEXT, CODEC, MBD = "text encoder", "codec", "diffusion"


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Attributes:
        source: "held" with the model, "to be given" when it is loaded, or the hub's name of it.
        n_parameters: None = not known.
    """

    source: str
    n_parameters: int | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether `source` is what to find it by."""
        return self.source not in (HELD, GIVEN)


@dataclass(frozen=True)
class File:
    """A file of a checkpoint; `name` is its path within it."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class Facts:
    """What is known of a model, or of a part of one.

    Attributes:
        name: for people.
        path: where it lies; None = it isn't on this machine.
        layout: whose files they are.
        licence: an SPDX identifier; None = the files don't say.
        config: of the language model; None = there is none, these are parts.
        n_parameters: of the language model, projections of conditions included.
        dtypes: of the language model's weights on disk, most of them in the first.
        parts: what else is needed for music, by kind.
        files: those that are read.
    """

    name: str
    path: Path | None
    layout: str
    licence: str | None = None
    config: LmConfig | None = None
    n_parameters: int | None = None
    dtypes: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    files: tuple[File, ...] = ()


def describe(source: str | Path) -> Facts:
    """The facts of what `source` names; nothing is fetched.

    Raises:
        CheckpointError: it is damaged, or not on this machine and not known by heart.
    """
    path = find_here(source)
    if path is None:
        return _by_heart(str(source))
    facts = _of_folder(path) if path.is_dir() else _of_file(path)
    known = identity(path)
    return replace(
        facts,
        name=known.name or facts.name,
        licence=facts.licence or known.licence,
        files=_files(path, known.name or ""),
    )


def _by_heart(source: str) -> Facts:
    """Of published weights that aren't on this machine."""
    from fanfare.weights.published import PUBLISHED

    place = place_of(source)
    known = BY_HUB_ID.get(place.hub_id) if isinstance(place, HubModel) else None
    if known is None:
        raise CheckpointError(f"{source} isn't on this machine: fanfare models pull {source}")
    facts = Facts(known.hub_id, None, "", known.licence)
    if known.part is not None:
        return replace(facts, parts={known.part: Part(HELD, known.n_parameters)})
    parts = {
        TEXT: Part(HELD, BY_NAME["t5-base"].n_parameters),
        CODEC: Part(HELD, BY_NAME["encodec_32khz"].n_parameters),
    }
    config = PUBLISHED[known.name]
    return replace(facts, config=config, n_parameters=count_lm(config), parts=parts)


def _of_folder(path: Path) -> Facts:
    if (path / CARD).is_file():
        return _own(path)
    if (path / DIFFUSION_CARD).is_file():
        return Facts(path.name, path, "fanfare", parts={MBD: Part(HELD, None)})
    file = find_checkpoint(path)
    if (path / "config.json").is_file():
        return _transformers(path)
    if file is None:
        raise CheckpointError(f"{path}: no checkpoint of a known layout")
    return replace(_of_file(file), name=path.resolve().name, path=path)


def _own(path: Path) -> Facts:
    card = read_card(path)
    config = card_config(card, path)
    parts = {CODEC: Part(HELD, _count_codec(read_json(path / "codec" / "config.json"), str(path)))}
    if config.text_dim is not None and card.get("text", "text") is None:
        parts[TEXT] = Part(GIVEN)
    elif config.text_dim is not None:
        parts[TEXT] = Part(HELD, _count_text(read_json(path / "text" / "config.json"), str(path)))
    if (path / DIFFUSION).is_dir():
        parts[MBD] = Part(HELD)
    return Facts(
        card["name"],
        path,
        "fanfare",
        card.get("licence"),
        config,
        count_lm(config),
        _dtypes(open_safetensors(path, "lm")),
        parts,
    )


def _transformers(path: Path) -> Facts:
    values, what = read_json(path / "config.json"), str(path)
    facts = Facts(path.resolve().name, path, "transformers")
    if values.get("model_type") in ("encodec", LAPPED):
        return replace(facts, parts={CODEC: Part(HELD, _count_codec(values, what))})
    if values.get("model_type") == "t5":
        return replace(facts, parts={TEXT: Part(HELD, _count_text(values, what))})
    config = transformers_config(values, what)
    source = open_tensors(path)
    own = {k: v for k, v in source.items() if not k.startswith(("text_encoder.", "audio_encoder."))}
    return replace(
        facts,
        config=config,
        n_parameters=count_lm(config),
        dtypes=_dtypes(own),
        parts={
            TEXT: Part(HELD, _count_text(values["text_encoder"], what)),
            CODEC: Part(HELD, _count_codec(values["audio_encoder"], what)),
        },
    )


def _of_file(file: Path) -> Facts:
    values, what = open_pickle(file), str(file)
    facts = Facts(file.stem, file, "audiocraft")
    if "n_bands" in values:
        return replace(facts, parts={MBD: Part(HELD)})
    tensors = best_weights(values)
    if tensors is None or "xp.cfg" not in values:
        raise CheckpointError(f"{file}: not a checkpoint of audiocraft's")
    settings = read_config(values["xp.cfg"], what, LM_KEYS | CODEC_KEYS)
    if "transformer_lm" not in settings:
        codec = _count_codec(codec_config(settings, what), what)
        return replace(facts, parts={CODEC: Part(HELD, codec)})
    source = stored_tensors(tensors, file)
    projection = source.get(f"{CONDITIONER}description.output_proj.weight")
    if projection is None or len(projection.shape) != 2:
        raise CheckpointError(f"{file}: no text condition; such models aren't supported")
    config = lm_config(settings, text_dim=projection.shape[1], what=what)
    text = text_encoder_name(settings, what)
    return replace(
        facts,
        config=config,
        n_parameters=count_lm(config),
        dtypes=_dtypes(source),
        parts={
            TEXT: _named(TEXT_ENCODERS[text]) if text in TEXT_ENCODERS else Part(GIVEN),
            CODEC: _codec_of(file, settings),
        },
    )


def _codec_of(file: Path, settings: Mapping[str, Any]) -> Part:
    """Of an audiocraft checkpoint: beside it, or named there or in its configuration."""
    name = str(settings.get("compression_model_checkpoint")).removeprefix("//pretrained/")
    beside = file.parent / CODEC_STATE
    if beside.is_file():
        values = open_pickle(beside)
        if "pretrained" not in values:
            return _of_file(beside).parts[CODEC]
        name = str(values["pretrained"])
    return _named(CODECS[name]) if name in CODECS else Part(GIVEN)


def _named(hub_id: str) -> Part:
    known = BY_HUB_ID.get(hub_id)
    return Part(hub_id, known.n_parameters if known else None)


def count_lm(config: LmConfig) -> int:
    """Parameters of a language model."""
    with skeleton():
        return sum(weight.numel() for weight in LanguageModel(config).parameters())


def _count_text(values: Mapping[str, Any], what: str) -> int:
    model = empty_text_encoder(t5_config(values, what))
    return sum(weight.numel() for weight in model.parameters())


def _count_codec(values: Mapping[str, Any], what: str) -> int:
    model = empty_codec(values, what)
    return sum(weight.numel() for weight in model.state_dict().values())  # codebooks, too


def _dtypes(source: TensorSource) -> tuple[str, ...]:
    """What the weights are on disk, by size."""
    sizes: Counter[str] = Counter()
    for tensor in source.values():
        if isinstance(tensor, StoredTensor) and tensor.dtype.is_floating_point:
            sizes[str(tensor.dtype).removeprefix("torch.")] += tensor.n_bytes
    return tuple(name for name, _ in sizes.most_common())


def _files(path: Path, hub_id: str) -> tuple[File, ...]:
    if path.is_file():
        return (File(path.name, path.stat().st_size),)
    names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    read = next(layouts(names, hub_id), names)
    return tuple(File(name, (path / name).stat().st_size) for name in sorted(read))
