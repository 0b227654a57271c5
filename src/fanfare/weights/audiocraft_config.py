"""audiocraft's training configurations, as far as they fix the shape of a model.

Unknown values of what they fix are refused: they would load, and play something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.melody import HOP

Config = Mapping[str, Any]

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

FUSER_REQUIRED: dict[str, object] = {
    "sum": [],
    "input_interpolate": [],
    "cross_attention_pos_emb": False,
}

CHROMA_REQUIRED: dict[str, object] = {"radix2_exp": 14, "winhop": None, "argmax": True}

CODEC_REQUIRED: dict[str, object] = {
    "encodec.autoencoder": "seanet",
    "encodec.quantizer": "rvq",
    "encodec.causal": False,
    "encodec.renormalize": False,
    "encodec.channels": 1,
    "seanet.channels": 1,
    "seanet.causal": False,
    "seanet.activation": "ELU",
    "seanet.norm": "weight_norm",
    "seanet.disable_norm_outer_blocks": 0,
    "seanet.true_skip": True,
    "seanet.decoder.final_activation": None,
}


def lm_config(config: Config, *, text_dim: int | None, what: str) -> LmConfig:
    """The language model that a MusicGen configuration describes.

    Args:
        config: plain values, interpolations resolved.
        text_dim: width of the text encoder's output, which the configuration doesn't hold.
        what: names the file in errors.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    try:
        require(config, {"lm_model": "transformer_lm"}, what)
        lm = config["transformer_lm"]
        require(lm, LM_REQUIRED, what, "transformer_lm.")
        n_codebooks = lm["n_q"]
        fusion = _text_fusion(config, what)
        chroma = _chroma(config, what)
        duration_s = float(config.get("dataset", {}).get("segment_duration", 30))
        sample_rate_hz = int(config["sample_rate"])
        return LmConfig(
            n_codebooks=n_codebooks,
            card=lm["card"],
            dim=lm["dim"],
            n_heads=lm["num_heads"],
            n_layers=lm["num_layers"],
            ffn_dim=int(lm["hidden_scale"] * lm["dim"]),
            delays=_delays(config, n_codebooks, what),
            max_period=float(lm.get("max_period", 10000)),
            text_dim=text_dim,
            text_fusion=fusion,
            n_chroma=None if chroma is None else chroma.get("n_chroma", 12),
            chroma_length=None if chroma is None else 1 + int(duration_s * sample_rate_hz) // HOP,
            channels=_channels(config, what),
            sample_rate_hz=sample_rate_hz,
            max_duration_s=duration_s,
        )
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{what}: xp.cfg is incomplete: {error!r}") from error


def codec_config(config: Config, what: str) -> dict[str, Any]:
    """The codec that an EnCodec configuration describes, as transformers' EncodecConfig values.

    Raises:
        CheckpointError: a value is missing, or not one that is known.
    """
    try:
        flat = {f"{part}.{k}": v for part in ("encodec", "seanet") for k, v in config[part].items()}
        flat |= {f"seanet.decoder.{k}": v for k, v in (config["seanet"]["decoder"] or {}).items()}
        require(flat, CODEC_REQUIRED, what)
        seanet, rvq = config["seanet"], config["rvq"]
        hop = 1
        for ratio in seanet["ratios"]:
            hop *= ratio
        sample_rate_hz = config["encodec"]["sample_rate"]
        bits = int(rvq["bins"]).bit_length() - 1
        # transformers counts codebooks in kilobits per second.
        bandwidth = rvq["n_q"] * bits * -(-sample_rate_hz // hop) / 1000
        return {
            "model_type": "encodec",
            "sampling_rate": sample_rate_hz,
            "audio_channels": 1,
            "normalize": False,
            "chunk_length_s": None,
            "hidden_size": seanet["dimension"],
            "num_filters": seanet["n_filters"],
            "num_residual_layers": seanet["n_residual_layers"],
            "upsampling_ratios": list(seanet["ratios"]),
            "norm_type": "weight_norm",
            "kernel_size": seanet["kernel_size"],
            "last_kernel_size": seanet["last_kernel_size"],
            "residual_kernel_size": seanet["residual_kernel_size"],
            "dilation_growth_rate": seanet["dilation_base"],
            "use_causal_conv": False,
            "pad_mode": seanet["pad_mode"],
            "compress": seanet["compress"],
            "num_lstm_layers": seanet["lstm"],
            "trim_right_ratio": 1.0,
            "codebook_size": rvq["bins"],
            "codebook_dim": seanet["dimension"],
            "use_conv_shortcut": False,
            "target_bandwidths": [bandwidth + 1e-9],  # rounded down when it is read
        }
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{what}: the codec's xp.cfg is incomplete: {error!r}") from error


def require(config: Config, required: Mapping[str, object], what: str, prefix: str = "") -> None:
    """Refuse a configuration in which one of the keys has another value."""
    for key, value in required.items():
        if config.get(key, value) != value:
            raise CheckpointError(
                f"{what}: {prefix}{key} = {config[key]!r} isn't supported; it must be {value!r}"
            )


def _delays(config: Config, n_codebooks: int, what: str) -> tuple[int, ...]:
    pattern = config.get("codebooks_pattern") or {}
    modeling = pattern.get("modeling")
    if modeling is None:  # the first release
        require(config["transformer_lm"], {"q_modeling": "delay"}, what, "transformer_lm.")
        return tuple(range(n_codebooks))
    require(pattern, {"modeling": "delay"}, what, "codebooks_pattern.")
    delay = pattern["delay"]
    require(delay, {"flatten_first": 0, "empty_initial": 0}, what, "codebooks_pattern.delay.")
    return tuple(delay.get("delays") or range(n_codebooks))


def _channels(config: Config, what: str) -> int:
    interleave = config.get("interleave_stereo_codebooks") or {}
    is_stereo = bool(interleave.get("use", False))
    if is_stereo:
        require(interleave, {"per_timestep": False}, what, "interleave_stereo_codebooks.")
    require(config, {"channels": 2 if is_stereo else 1}, what)
    return 2 if is_stereo else 1


def _text_fusion(config: Config, what: str) -> Any:
    """ "cross" or "prefix", after checking that the conditions are those that are known."""
    fuser = config["fuser"]
    require(fuser, FUSER_REQUIRED, what, "fuser.")
    cross, prepend = sorted(fuser.get("cross") or []), sorted(fuser.get("prepend") or [])
    names = sorted(name for name in config["conditioners"] if name != "args")
    if sorted(cross + prepend) != names or (cross, prepend) not in (
        (["description"], []),
        ([], ["description"]),
        ([], ["description", "self_wav"]),
    ):
        raise CheckpointError(
            f"{what}: conditions {', '.join(names)}, fused by cross-attention ({cross})"
            f" and as a prefix ({prepend}), aren't supported"
        )
    text = config["conditioners"]["description"]
    require(text, {"model": "t5"}, what, "conditioners.description.")
    require(text["t5"], {"normalize_text": False}, what, "conditioners.description.t5.")
    return "cross" if cross else "prefix"


def _chroma(config: Config, what: str) -> Config | None:
    melody = config["conditioners"].get("self_wav")
    if melody is None:
        return None
    require(melody, {"model": "chroma_stem"}, what, "conditioners.self_wav.")
    chroma: Config = melody["chroma_stem"]
    require(chroma, CHROMA_REQUIRED, what, "conditioners.self_wav.chroma_stem.")
    return chroma
