"""Tiny random checkpoints in Fanfare's own layout, complete with codec, text encoder, tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

from fanfare.epic.plan import N_FEATURES
from fanfare.nn.bands import ProcessorConfig
from fanfare.nn.config import LmConfig
from fanfare.nn.diffusion import BandConfig, DiffusionConfig, MultiBandDiffusion
from fanfare.nn.diffusion_schedule import ScheduleConfig
from fanfare.nn.diffusion_unet import UnetConfig
from fanfare.nn.encodec import EncodecConfig as EncodecShape
from fanfare.nn.lapped import LappedCodec, LappedConfig
from fanfare.nn.lm import LanguageModel
from fanfare.nn.partials import PartialsConfig
from fanfare.weights.codec import codec_values
from fanfare.weights.diffusion import save_diffusion
from fanfare.weights.write import write_json

CARD, BOOKS, LATENT_DIM = 32, 4, 8
WORDS = ["</s>", "<unk>", "epic", "brass", "calm", "piano", "taiko", "choir", "slow", "fast"]

Kind = Literal["text", "melody", "stereo", "plan"]


def write_checkpoint(folder: Path, kind: Kind) -> Path:
    """A model that takes text; "melody" also follows one, "plan" takes no text but
    the plan that is made from it, and has rotary positions, which know no limit of length."""
    torch.manual_seed(2)
    channels = 2 if kind == "stereo" else 1
    takes_plan = kind == "plan"
    config = LmConfig(
        n_codebooks=BOOKS * channels,
        card=CARD,
        dim=32,
        n_heads=2,
        n_layers=2,
        ffn_dim=64,
        delays=tuple(q for q in range(BOOKS) for _ in range(channels)),
        positions="rope" if takes_plan else "sin",
        past_context=64 if takes_plan else None,
        text_dim=16 if not takes_plan else None,
        text_fusion=("prefix" if kind == "melody" else "cross") if not takes_plan else None,
        n_chroma=12 if kind == "melody" else None,
        chroma_length=20 if kind == "melody" else None,
        plan_features=N_FEATURES if takes_plan else None,
        channels=channels,
    )
    lm = LanguageModel(config)
    for parameter in lm.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    folder.mkdir()
    save_file(lm.state_dict(), folder / "lm.safetensors")
    card = {"format": 1, "name": f"tiny-{kind}", "licence": "Apache-2.0", "lm": config.to_dict()}
    (folder / "fanfare.json").write_text(json.dumps(card))
    _write_codec(folder / "codec")
    _write_text_encoder(folder / "text")
    return folder


def _write_codec(folder: Path) -> None:
    config = EncodecConfig(
        target_bandwidths=[BOOKS * 50 * 5 / 1000],  # kbit/s: 50 frames, 5 bits a code
        sampling_rate=32000,
        audio_channels=1,
        normalize=False,
        num_filters=2,
        upsampling_ratios=[8, 5, 4, 4],
        num_lstm_layers=1,
        hidden_size=LATENT_DIM,
        codebook_size=CARD,
        codebook_dim=LATENT_DIM,
        use_causal_conv=False,
        use_conv_shortcut=False,
    )
    codec = EncodecModel(config)
    for layer in codec.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    for name, parameter in codec.decoder.named_parameters():
        if "bias" in name:
            torch.nn.init.zeros_(parameter)  # biases would add a constant to the sound
    codec.save_pretrained(folder)


def _write_text_encoder(folder: Path) -> None:
    config = T5Config(
        vocab_size=len(WORDS),
        d_model=16,
        d_kv=4,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        eos_token_id=0,
        pad_token_id=1,
    )
    encoder = T5EncoderModel(config)
    torch.nn.init.normal_(encoder.shared.weight, std=3.0)
    encoder.save_pretrained(folder)
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def write_lapped(
    folder: Path, encodec: EncodecShape | None = None, partials: PartialsConfig | None = None
) -> Path:
    """A codec of our own of one book; with `encodec`, one that listens as that does."""
    torch.manual_seed(4)
    fits = {"sample_rate_hz": 32000, "hop": 640, "card": 8, "latent_dim": 4}
    if encodec is not None:
        fits = {name: getattr(encodec, name) for name in fits}
    config = LappedConfig(
        **fits, n_codebooks=1, n_bands=4, width=8, encoder_blocks=1, decoder_blocks=1,
        encoder_hidden=8, decoder_hidden=8, encodec=encodec, partials=partials,
    )  # fmt: skip
    folder.mkdir()
    write_json(folder / "config.json", codec_values(config))
    save_file(LappedCodec(config).state_dict(), folder / "model.safetensors")
    return folder


def write_diffusion(
    folder: Path, latent_dim: int = LATENT_DIM, sample_rate_hz: int = 32000
) -> Path:
    """Diffusion weights of two bands for the codec of these checkpoints."""
    torch.manual_seed(3)
    unet = UnetConfig(
        latent_dim=latent_dim,
        hidden=4,
        depth=2,
        growth=2,
        max_channels=10_000,
        kernel=8,
        stride=4,
        res_blocks=1,
        norm_groups=2,
        emb_all_layers=True,
    )
    schedule = ScheduleConfig(beta_first=1e-5, beta_last=2.9e-2, exponent=7.5)
    bands = tuple(BandConfig(unet, schedule, way) for way in (None, ProcessorConfig(4, 0.4)))
    mbd = MultiBandDiffusion(DiffusionConfig(sample_rate_hz, bands))
    for name, buffer in mbd.named_buffers():
        if name.endswith("filters"):
            torch.nn.init.normal_(buffer, std=0.05)
    save_diffusion(folder, mbd)
    return folder
