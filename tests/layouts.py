"""Tiny random checkpoints of any shape, written in each of the layouts that people have."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import yaml  # type: ignore[import-untyped]
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

WORDS = ["<pad>", "</s>", "<unk>", "epic", "brass", "calm", "piano", "taiko", "choir"]


@dataclass(frozen=True)
class Shape:
    """What a checkpoint is of; `books` are the language model's, of all channels together."""

    dim: int = 16
    heads: int = 2
    layers: int = 1
    scale: int = 2
    card: int = 32
    books: int = 2
    channels: int = 1
    delays: tuple[int, ...] | None = None
    n_chroma: int | None = None
    max_period: int = 10000
    segment_s: float = 30.0
    text_dim: int = 8
    gated: bool = False
    codec_books: int = 2
    latent: int = 8
    filters: int = 2
    ratios: tuple[int, ...] = (4, 2)
    sample_rate: int = 1600
    residual_layers: int = 1
    lstm: int = 1

    @property
    def chroma_length(self) -> int:
        return 1 + int(self.segment_s * self.sample_rate) // 4096

    def all_delays(self) -> list[int]:
        return list(self.delays or (book // self.channels for book in range(self.books)))


SMALLEST = Shape(dim=8, card=8, books=1, codec_books=1, latent=4, text_dim=4)


def language_model(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under audiocraft's names."""
    generator = torch.Generator().manual_seed(seed)
    d = shape.dim

    def random(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator) * 0.5

    tensors = {f"emb.{k}.weight": random(shape.card + 1, d) for k in range(shape.books)}
    tensors |= {f"linears.{k}.weight": random(shape.card, d) for k in range(shape.books)}
    names = ["norm1", "norm2"] if shape.n_chroma else ["norm1", "norm_cross", "norm2"]
    norms = [f"transformer.layers.{i}.{norm}" for i in range(shape.layers) for norm in names]
    for norm in ["out_norm", *norms]:
        tensors[f"{norm}.weight"], tensors[f"{norm}.bias"] = 1 + random(d) / 4, random(d) / 4
    for i in range(shape.layers):
        stem = f"transformer.layers.{i}."
        for part in ["self_attn"] if shape.n_chroma else ["self_attn", "cross_attention"]:
            tensors[f"{stem}{part}.in_proj_weight"] = random(3 * d, d)
            tensors[f"{stem}{part}.out_proj.weight"] = random(d, d)
        tensors[f"{stem}linear1.weight"] = random(shape.scale * d, d)
        tensors[f"{stem}linear2.weight"] = random(d, shape.scale * d)
    conditioners = {"description": shape.text_dim}
    if shape.n_chroma:
        conditioners["self_wav"] = shape.n_chroma
        tensors["condition_provider.conditioners.self_wav.chroma.spec.window"] = random(16384)
    for name, width in conditioners.items():
        stem = f"condition_provider.conditioners.{name}.output_proj."
        tensors[f"{stem}weight"], tensors[f"{stem}bias"] = random(d, width), random(d)
    return tensors


def codec(shape: Shape) -> EncodecModel:
    """A random codec."""
    torch.manual_seed(3)
    bits = shape.card.bit_length() - 1
    rate = shape.sample_rate // prod(shape.ratios)
    model = EncodecModel(
        EncodecConfig(
            sampling_rate=shape.sample_rate, hidden_size=shape.latent, num_filters=shape.filters,
            upsampling_ratios=list(shape.ratios), codebook_size=shape.card,
            target_bandwidths=[(shape.codec_books + 0.01) * bits * rate / 1000],
            num_residual_layers=shape.residual_layers, num_lstm_layers=shape.lstm,
            use_causal_conv=False, use_conv_shortcut=False, normalize=False,
        )
    )  # fmt: skip
    for layer in model.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    return model


def text_encoder(shape: Shape) -> T5EncoderModel:
    """A random T5."""
    torch.manual_seed(4)
    return T5EncoderModel(
        T5Config(
            vocab_size=len(WORDS), d_model=shape.text_dim, d_kv=4, d_ff=12, num_layers=1,
            num_heads=2, feed_forward_proj="gated-gelu" if shape.gated else "relu",
        )
    )  # fmt: skip


def write_tokenizer(folder: Path) -> None:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def write_text_folder(folder: Path, shape: Shape) -> Path:
    """A T5 in transformers' layout."""
    text_encoder(shape).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_codec_folder(folder: Path, shape: Shape) -> Path:
    """An EnCodec in transformers' layout."""
    codec(shape).save_pretrained(folder)
    return folder


def training_config(shape: Shape) -> dict[str, Any]:
    """audiocraft's configuration of a language model."""
    conditioners: dict[str, Any] = {
        "args": {"merge_text_conditions_p": 0.25},
        "description": {"model": "t5", "t5": {"name": "t5-base", "normalize_text": False}},
    }
    fuser: dict[str, list[str]] = {"sum": [], "prepend": [], "cross": ["description"]}
    if shape.n_chroma:
        chroma = {"n_chroma": shape.n_chroma, "radix2_exp": 14, "argmax": True}
        conditioners["self_wav"] = {"model": "chroma_stem", "chroma_stem": chroma}
        fuser = {"sum": [], "prepend": ["self_wav", "description"], "cross": []}
    return {
        "solver": "musicgen",
        "sample_rate": shape.sample_rate,
        "channels": shape.channels,
        "lm_model": "transformer_lm",
        "compression_model_checkpoint": "//pretrained/facebook/encodec_32khz",
        "dataset": {"segment_duration": shape.segment_s, "channels": "${channels}"},
        "transformer_lm": {
            "dim": shape.dim, "num_heads": shape.heads, "num_layers": shape.layers,
            "hidden_scale": shape.scale, "n_q": shape.books, "card": shape.card,
            "norm_first": True, "activation": "gelu", "positional_embedding": "sin",
            "max_period": shape.max_period,
        },
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {"delays": shape.all_delays(), "flatten_first": 0, "empty_initial": 0},
        },
        "interleave_stereo_codebooks": {"use": shape.channels == 2, "per_timestep": False},
        "conditioners": conditioners,
        "fuser": fuser,
    }  # fmt: skip


def codec_config(shape: Shape) -> dict[str, Any]:
    """audiocraft's configuration of a codec."""
    return {
        "sample_rate": shape.sample_rate,
        "encodec": {
            "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": "${sample_rate}",
            "channels": 1, "causal": False, "renormalize": False,
        },
        "seanet": {
            "dimension": shape.latent, "n_filters": shape.filters, "ratios": list(shape.ratios),
            "n_residual_layers": shape.residual_layers, "activation": "ELU",
            "activation_params": {"alpha": 1.0}, "norm": "weight_norm", "kernel_size": 7,
            "residual_kernel_size": 3, "last_kernel_size": 7, "dilation_base": 2,
            "pad_mode": "reflect", "true_skip": True, "compress": 2, "lstm": shape.lstm,
            "decoder": {"trim_right_ratio": 1.0, "final_activation": None},
        },
        "rvq": {"n_q": shape.codec_books, "bins": shape.card},
    }  # fmt: skip


def write_audiocraft(folder: Path, shape: Shape, *, infix: str = "") -> Path:
    """A folder as on the hub, with a whole codec; `infix` "mha." as torch's attention has it."""
    folder.mkdir()
    tensors = {
        name.replace("attn.", f"attn.{infix}").replace("attention.", f"attention.{infix}"): tensor
        for name, tensor in language_model(shape).items()
    }
    config = yaml.safe_dump(training_config(shape))
    torch.save({"best_state": tensors, "xp.cfg": config}, folder / "state_dict.bin")
    compressed = {
        "best_state": audiocraft_codec(shape),
        "xp.cfg": yaml.safe_dump(codec_config(shape)),
    }
    torch.save(compressed, folder / "compression_state_dict.bin")
    return folder


def audiocraft_codec(shape: Shape) -> dict[str, Tensor]:
    """The codec's weights under audiocraft's names."""
    model = codec(shape)
    transposed = {
        f"decoder.layers.{index}."
        for index, layer in enumerate(model.decoder.layers)
        if type(layer).__name__ == "EncodecConvTranspose1d"
    }
    renamed = {}
    for name, tensor in model.state_dict().items():
        side, _, rest = name.partition(".layers.")
        rest = rest.replace("parametrizations.weight.original0", "weight_g")
        rest = rest.replace("parametrizations.weight.original1", "weight_v")
        if side == "quantizer":
            new = f"quantizer.vq.layers.{rest.replace('codebook', '_codebook')}"
        else:
            is_transposed = any(name.startswith(stem) for stem in transposed)
            kind = "convtr.convtr." if is_transposed else "conv.conv."
            new = f"{side}.model.{rest.replace('conv.', kind, 1)}"
        renamed[new] = tensor.detach().clone()
    return renamed


def write_export(file: Path, shape: Shape) -> Path:
    """What the fine-tuner on Replicate exports, its configuration pickled."""
    with omegaconf() as wrapped:
        values = {"xp.cfg": wrapped(training_config(shape)), "model": language_model(shape)}
        torch.save(values, file)
    return file


def write_training(file: Path, shape: Shape, *, legacy: bool = False) -> Path:
    """The checkpoint of a training: best weights beside the last ones and the optimizer's."""
    best, last = language_model(shape), language_model(shape, seed=1)
    state = {i: {"exp_avg": torch.zeros_like(t)} for i, t in enumerate(last.values())}
    with omegaconf() as wrapped:
        values = {
            "model": last,
            "optimizer": {"state": state, "param_groups": [{"lr": 1.0, "betas": (0.9, 0.95)}]},
            "ema": {"state": {"model": last}, "count": 3.5},
            "best_state": {"model": best},
            "fsdp_best_state": {},
            "history": [{"train": {"loss": 3.25}}],
            "xp.cfg": wrapped(training_config(shape)),
            "xp.sig": "0123abcd",
        }
        torch.save(values, file, _use_new_zipfile_serialization=not legacy)
    return file


def write_transformers(
    folder: Path, shape: Shape, *, pickled: bool = False, shards: int = 1
) -> Path:
    """A folder as transformers writes it; `pickled` as older versions did."""
    folder.mkdir()
    tensors = transformers_tensors(shape)
    (folder / "config.json").write_text(json.dumps(transformers_config(shape)))
    write_tokenizer(folder)
    stem, suffix = ("pytorch_model", "bin") if pickled else ("model", "safetensors")
    names = sorted(tensors)
    weight_map = {}
    for shard in range(shards):
        part = {name: tensors[name] for name in names[shard::shards]}
        name = f"{stem}.{suffix}" if shards == 1 else f"{stem}-{shard + 1}-of-{shards}.{suffix}"
        weight_map |= dict.fromkeys(part, name)
        if pickled:
            torch.save(part, folder / name)
        else:
            save_file(part, folder / name)
    if shards > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return folder


def transformers_config(shape: Shape) -> dict[str, Any]:
    """The `config.json` of a whole model."""
    kind = "musicgen_melody" if shape.n_chroma else "musicgen"
    config = {
        "model_type": kind,
        "text_encoder": text_encoder(shape).config.to_dict(),
        "audio_encoder": codec(shape).config.to_dict(),
        "decoder": {
            "model_type": f"{kind}_decoder", "vocab_size": shape.card, "hidden_size": shape.dim,
            "ffn_dim": shape.scale * shape.dim, "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads, "num_codebooks": shape.books,
            "audio_channels": shape.channels, "pad_token_id": shape.card,
            "bos_token_id": shape.card,
        },
    }  # fmt: skip
    if shape.n_chroma:
        config |= {"num_chroma": shape.n_chroma, "chroma_length": shape.chroma_length}
    return config


def transformers_tensors(shape: Shape) -> dict[str, Tensor]:
    """All weights under transformers' names."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in language_model(shape).items():
        new = transformers_name(name)
        if new.endswith("in_proj_weight"):
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                renamed[new.replace("in_proj_weight", f"{part}_proj.weight")] = rows.clone()
        elif "spec.window" not in new:
            renamed[new] = tensor
    for prefix, model in (("audio_encoder", codec(shape)), ("text_encoder", text_encoder(shape))):
        for name, tensor in model.state_dict().items():
            if not name.endswith("embed_tokens.weight"):
                renamed[f"{prefix}.{name}"] = tensor.detach().clone().contiguous()
    return renamed


def transformers_name(name: str) -> str:
    """audiocraft's name of a tensor to transformers'."""
    for theirs, new in (
        ("condition_provider.conditioners.description.output_proj", "enc_to_dec_proj"),
        ("condition_provider.conditioners.self_wav.output_proj", "audio_enc_to_dec_proj"),
        ("transformer.layers", "decoder.model.decoder.layers"),
        ("cross_attention", "encoder_attn"),
        ("norm1", "self_attn_layer_norm"),
        ("norm_cross", "encoder_attn_layer_norm"),
        ("norm2", "final_layer_norm"),
        ("linear1", "fc1"),
        ("linear2", "fc2"),
        ("out_norm", "decoder.model.decoder.layer_norm"),
        ("linears", "decoder.lm_heads"),
    ):
        name = name.replace(theirs, new)
    return "decoder.model.decoder.embed_tokens" + name[3:] if name.startswith("emb.") else name


@contextmanager
def omegaconf() -> Iterator[Any]:
    """Makes values as omegaconf pickles them: classes by its names, with the attributes of its own.

    Only while this lasts can they be pickled.
    """

    def stand_in(module: str, name: str) -> type:
        made = type(name, (), {"__module__": module})
        sys.modules.setdefault(module, ModuleType(module))
        setattr(sys.modules[module], name, made)
        return made

    modules = ["omegaconf", "omegaconf.dictconfig", "omegaconf.listconfig", "omegaconf.nodes",
               "omegaconf.base"]  # fmt: skip
    before = {name: sys.modules.pop(name, None) for name in modules}
    sys.modules["omegaconf"] = ModuleType("omegaconf")
    dictionary = stand_in("omegaconf.dictconfig", "DictConfig")
    listing = stand_in("omegaconf.listconfig", "ListConfig")
    node = stand_in("omegaconf.nodes", "AnyNode")
    metadata = stand_in("omegaconf.base", "ContainerMetadata")

    def wrapped(value: Any, parent: Any = None) -> Any:
        kind = {dict: dictionary, list: listing}.get(type(value), node)
        made = kind()
        made._metadata, made._parent = metadata(), parent
        made._metadata.ref_type, made._metadata.object_type = Any, type(value)
        if isinstance(value, dict):
            made._content = {key: wrapped(item, made) for key, item in value.items()}
        elif isinstance(value, list):
            made._content = [wrapped(item, made) for item in value]
        else:
            made._val = value
        return made

    try:
        yield wrapped
    finally:
        for name in modules:
            sys.modules.pop(name, None)
            if before[name] is not None:
                sys.modules[name] = before[name]  # type: ignore[assignment]
