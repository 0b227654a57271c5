"""Tiny random models of transformers, saved as the hub has them, and parts to go with others."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    EncodecConfig,
    MusicgenConfig,
    MusicgenDecoderConfig,
    MusicgenForConditionalGeneration,
    MusicgenMelodyConfig,
    MusicgenMelodyDecoderConfig,
    MusicgenMelodyForConditionalGeneration,
    T5Config,
)

from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle
from fanfare.weights.parts import Parts
from layouts import SMALLEST, write_codec_folder, write_text_folder

GOLDEN = Path(__file__).parent.parent / "golden"
MAX_DELAY = 3


@dataclass(frozen=True)
class Pair:
    """A model as transformers runs it, and the same files as we load them."""

    peer: Any
    ours: Bundle
    folder: Path

    def peer_codes(self, n_frames: int, prompt: Tensor | None = None, **inputs: Any) -> Tensor:
        """What the peer's `generate` hands to its codec: [K, T]."""
        given = 0 if prompt is None else prompt.shape[-1]
        if prompt is not None:
            inputs["decoder_input_ids"] = prompt
        seen: list[Tensor] = []
        decode = self.peer.audio_encoder.decode

        def spy(audio_codes: Tensor, *args: Any, **kwargs: Any) -> Any:
            seen.append(audio_codes[0])
            return decode(audio_codes, *args, **kwargs)

        self.peer.audio_encoder.decode = spy
        try:
            self.peer.generate(**inputs, max_new_tokens=n_frames - given + MAX_DELAY)
        finally:
            self.peer.audio_encoder.decode = decode
        if len(seen) == 1:
            return seen[0][0]
        return torch.stack([codes[0] for codes in seen], dim=1).flatten(0, 1)  # left, right

    def text_inputs(self, text: str) -> dict[str, Tensor]:
        """The peer's inputs for a prompt."""
        assert self.ours.text is not None
        ids = torch.tensor([self.ours.text.tokenizer.encode(text).ids])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def make_pair(kind: str, folder: Path, *, shard_size: str = "1GB") -> Pair:
    """A random "text", "melody" or "stereo" model, saved into `folder` and loaded from it."""
    torch.manual_seed(5)
    text = T5Config(
        vocab_size=50,
        d_model=24,
        d_kv=6,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    )
    codec = EncodecConfig(
        sampling_rate=32000, num_filters=2, upsampling_ratios=[8, 5, 4, 4], hidden_size=8,
        codebook_size=64, codebook_dim=8, target_bandwidths=[1.2000000000000002],
        use_causal_conv=False, use_conv_shortcut=False,
    )  # fmt: skip
    channels = 2 if kind == "stereo" else 1
    shape = {
        "vocab_size": 64, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_codebooks": 4 * channels, "audio_channels": channels,
        "pad_token_id": 64, "bos_token_id": 64, "dropout": 0.0, "activation_function": "gelu",
        "initializer_factor": 0.2,
    }  # fmt: skip
    peer: Any
    if kind == "melody":
        peer = MusicgenMelodyForConditionalGeneration(
            MusicgenMelodyConfig(
                text_encoder=text.to_dict(),
                audio_encoder=codec.to_dict(),
                decoder=MusicgenMelodyDecoderConfig(**shape).to_dict(),
                chroma_length=20,
            )
        )
    else:
        peer = MusicgenForConditionalGeneration(
            MusicgenConfig(
                text_encoder=text.to_dict(),
                audio_encoder=codec.to_dict(),
                decoder=MusicgenDecoderConfig(**shape).to_dict(),
            )
        )
    peer.eval()
    for layer in peer.audio_encoder.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    for name, parameter in peer.named_parameters():
        if "enc_to_dec_proj.bias" in name or "layer_norm.bias" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    peer.generation_config.decoder_start_token_id = 64
    peer.generation_config.pad_token_id = 64
    peer.generation_config.bos_token_id = 64
    peer.save_pretrained(folder, max_shard_size=shard_size)
    shutil.copyfile(GOLDEN / "t5-base" / "tokenizer.json", folder / "tokenizer.json")
    return Pair(peer, load_bundle(folder), folder)


@pytest.fixture(scope="session", params=["text", "melody", "stereo"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Each of the kinds."""
    return make_pair(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def text_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A text model in shards."""
    return make_pair("text", tmp_path_factory.mktemp("sharded"), shard_size="50KB")


@pytest.fixture(scope="session")
def melody_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A melody model."""
    return make_pair("melody", tmp_path_factory.mktemp("melody"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """A sound text encoder and codec, for files that hold neither."""
    root = tmp_path_factory.mktemp("parts")
    return Parts(
        text_encoder=write_text_folder(root / "t5", SMALLEST),
        codec=write_codec_folder(root / "codec", SMALLEST),
    )
