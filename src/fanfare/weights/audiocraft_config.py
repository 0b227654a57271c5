"""audiocraft's training configurations, as far as they fix the shape of a model.

Unknown values of what they fix are refused: they would load, and play something else.
"""

from __future__ import annotations

from math import prod
from typing import Any, Literal

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.melody import HOP
from fanfare.weights.values import Values

LM_KEYS = {
    "lm_model", "transformer_lm", "sample_rate", "channels", "dataset", "codebooks_pattern",
    "interleave_stereo_codebooks", "fuser", "conditioners", "compression_model_checkpoint",
    "compression_model_n_q",
}  # fmt: skip
"""Entries of a language model's configuration that are read."""

CODEC_KEYS = {"encodec", "seanet", "rvq"}
"""Entries of a codec's configuration that are read."""

# Of `transformer_lm`; a key that is absent has this value.
LM_REQUIRED: dict[str, object] = {
    "norm_first": True,
    "norm": "layer_norm",
    "bias_ff": False,
    "bias_attn": False,
    "bias_proj": False,
    "activation": "gelu",
    "causal": True,
    "layer_scale": None,
    "positional_embedding": "sin",
    "positional_scale": 1,
    "past_context": None,
    "xpos": False,
    "qk_layer_norm": False,
    "qk_layer_norm_cross": False,
    "kv_repeat": 1,
}

FUSER_REQUIRED: dict[str, object] = {"cross_attention_pos_emb": False}

CHROMA_REQUIRED: dict[str, object] = {"radix2_exp": 14, "winhop": None, "argmax": True}

ENCODEC_REQUIRED: dict[str, object] = {
    "autoencoder": "seanet",
    "quantizer": "rvq",
    "causal": False,
    "renormalize": False,
    "channels": 1,
}

SEANET_REQUIRED: dict[str, object] = {
    "channels": 1,
    "causal": False,
    "activation": "ELU",
    "norm": "weight_norm",
    "disable_norm_outer_blocks": 0,
    "true_skip": True,
}

DECODER_REQUIRED: dict[str, object] = {"final_activation": None, "trim_right_ratio": 1}


def lm_config(config: dict[str, Any], *, text_dim: int, what: str) -> LmConfig:
    """The language model that a MusicGen configuration describes.

    The number of frames per second, which follows from the codec, is the usual one.

    Args:
        config: plain values, interpolations resolved.
        text_dim: width of the text encoder's output, which the configuration doesn't hold.
        what: names the file in errors.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    values = Values(config, what)
    values.require({"lm_model": "transformer_lm"})
    lm = values.part("transformer_lm")
    lm.require(LM_REQUIRED)
    dim = lm.whole("dim")
    n_codebooks = lm.whole("n_q", high=64)
    n_channels = _n_channels(values)
    if values.get("compression_model_n_q", None) is not None:
        values.require({"compression_model_n_q": n_codebooks // n_channels})
    fusion = _text_fusion(values)
    chroma = _chroma(values)
    duration_s = values.part("dataset", or_empty=True).number(
        "segment_duration", 30, low=0.1, high=3600
    )
    sample_rate_hz = values.whole("sample_rate")
    try:
        return LmConfig(
            n_codebooks=n_codebooks,
            card=lm.whole("card"),
            dim=dim,
            n_heads=lm.whole("num_heads"),
            n_layers=lm.whole("num_layers"),
            ffn_dim=int(lm.number("hidden_scale", low=0, high=1024) * dim),
            delays=_delays(values, n_codebooks),
            max_period=lm.number("max_period", 10000, low=1, high=1e9),
            text_dim=text_dim,
            text_fusion=fusion,
            n_chroma=None if chroma is None else chroma.whole("n_chroma", 12),
            chroma_length=None if chroma is None else 1 + int(duration_s * sample_rate_hz) // HOP,
            channels=n_channels,
            sample_rate_hz=sample_rate_hz,
            max_duration_s=duration_s,
        )
    except ValueError as error:
        raise CheckpointError(f"{what}: {error}") from error


def codec_config(config: dict[str, Any], what: str) -> dict[str, Any]:
    """The codec that an EnCodec configuration describes, as transformers' EncodecConfig values.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    values = Values(config, what)
    encodec, seanet, rvq = (values.part(name) for name in ("encodec", "seanet", "rvq"))
    decoder = seanet.part("decoder", or_empty=True)
    encodec.require(ENCODEC_REQUIRED)
    seanet.require(SEANET_REQUIRED)
    seanet.part("activation_params", or_empty=True).require({"alpha": 1})
    decoder.require(DECODER_REQUIRED)
    ratios = seanet.wholes("ratios", high=1024, most=8)
    sample_rate_hz = encodec.whole("sample_rate")
    bits = (rvq.whole("bins", low=2) - 1).bit_length()
    # transformers counts codebooks in kilobits per second.
    bandwidth = rvq.whole("n_q", high=64) * bits * -(-sample_rate_hz // prod(ratios)) / 1000
    return {
        "model_type": "encodec",
        "sampling_rate": sample_rate_hz,
        "audio_channels": 1,
        "normalize": False,
        "chunk_length_s": None,
        "hidden_size": seanet.whole("dimension"),
        "num_filters": seanet.whole("n_filters"),
        "num_residual_layers": seanet.whole("n_residual_layers", low=0, high=8),
        "upsampling_ratios": list(ratios),
        "norm_type": "weight_norm",
        "kernel_size": seanet.whole("kernel_size"),
        "last_kernel_size": seanet.whole("last_kernel_size"),
        "residual_kernel_size": seanet.whole("residual_kernel_size"),
        "dilation_growth_rate": seanet.whole("dilation_base"),
        "use_causal_conv": False,
        "pad_mode": seanet.get("pad_mode"),
        "compress": seanet.whole("compress"),
        "num_lstm_layers": seanet.whole("lstm"),
        "trim_right_ratio": 1.0,
        "codebook_size": rvq.get("bins"),
        "use_conv_shortcut": False,
        "target_bandwidths": [bandwidth + 1e-9],  # rounded down when it is read
    }


def text_encoder_name(config: dict[str, Any], what: str) -> str:
    """What a MusicGen configuration calls its T5."""
    description = Values(config, what).part("conditioners").part("description")
    return str(description.part("t5").get("name"))


def _delays(values: Values, n_codebooks: int) -> tuple[int, ...]:
    pattern = values.part("codebooks_pattern", or_empty=True)
    if pattern.get("modeling", None) is None:  # the first release
        values.part("transformer_lm").require({"q_modeling": "delay"})
        return tuple(range(n_codebooks))
    pattern.require({"modeling": "delay"})
    delay = pattern.part("delay")
    delay.require({"flatten_first": 0, "empty_initial": 0})
    if not delay.get("delays", None):
        return tuple(range(n_codebooks))
    return delay.wholes("delays", low=0, high=4096)


def _n_channels(values: Values) -> int:
    interleave = values.part("interleave_stereo_codebooks", or_empty=True)
    is_stereo = interleave.flag("use", False)
    if is_stereo:
        interleave.require({"per_timestep": False})
    n_channels = 2 if is_stereo else 1
    values.require({"channels": n_channels})
    if values.part("transformer_lm").whole("n_q") % n_channels:
        raise values.part("transformer_lm").refused("n_q", "is odd, of a stereo model")
    return n_channels


def _text_fusion(values: Values) -> Literal["cross", "prefix"]:
    """How text comes in, after checking that the conditions are those that are known."""
    fuser = values.part("fuser")
    fuser.require(FUSER_REQUIRED)
    for way in ("sum", "input_interpolate"):
        if fuser.get(way, None):
            raise fuser.refused(way, "isn't supported; it must be []")
    conditioners = values.part("conditioners")
    names = sorted(str(name) for name in conditioners.values if name != "args")
    cross, prefix = (_names(fuser, way) for way in ("cross", "prepend"))
    if sorted(cross + prefix) != names or (cross, prefix) not in (
        (["description"], []),
        ([], ["description"]),
        ([], ["description", "self_wav"]),
    ):
        raise CheckpointError(
            f"{values.what}: conditions {', '.join(names)}, fused by cross-attention ({cross})"
            f" and as a prefix ({prefix}), aren't supported"
        )
    text = conditioners.part("description")
    text.require({"model": "t5"})
    text.part("t5").require({"normalize_text": False, "finetune": False})
    return "cross" if cross else "prefix"


def _names(fuser: Values, way: str) -> list[str]:
    found = fuser.get(way, None) or []
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        raise fuser.refused(way, "must be a list of conditions")
    return sorted(found)


def _chroma(values: Values) -> Values | None:
    if "self_wav" not in values.part("conditioners").values:
        return None
    melody = values.part("conditioners").part("self_wav")
    melody.require({"model": "chroma_stem"})
    chroma = melody.part("chroma_stem")
    chroma.require(CHROMA_REQUIRED)
    return chroma
