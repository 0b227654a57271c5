"""Options of EnCodec: those that are read give what transformers computes; others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import EncodecModel

from fanfare.errors import CheckpointError
from fanfare.weights.codec import load_codec_folder
from layouts import Shape, codec, write_codec_folder

SHAPE = Shape(codec_books=3, books=3)


def load(folder: Path) -> Any:
    return load_codec_folder(folder, channels=1, n_codebooks=3, device="cpu")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_causal_conv": True},
        {"use_causal_conv": True, "trim_right_ratio": 0.5},
        {"use_conv_shortcut": True},
        {"pad_mode": "constant"},
        {"pad_mode": "replicate", "kernel_size": 5, "last_kernel_size": 3},
        {"compress": 1, "dilation_growth_rate": 3, "residual_kernel_size": 5},
    ],
)
@torch.inference_mode()
def test_options_that_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    config = codec(SHAPE).config
    for key, value in options.items():
        setattr(config, key, value)
    torch.manual_seed(1)
    peer = EncodecModel(config).eval()
    for layer in peer.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    peer.save_pretrained(tmp_path)
    ours = load(tmp_path)
    wav = torch.randn(1, 1, 400)
    expected = peer.encode(wav, bandwidth=config.target_bandwidths[-1]).audio_codes[0]
    codes = ours.encode(wav)
    assert torch.equal(codes, expected)
    decoded = peer.decode(expected[None], [None]).audio_values
    torch.testing.assert_close(ours.decode(codes), decoded, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("normalize", True),
        ("norm_type", "time_group_norm"),
        ("chunk_length_s", 1.0),
        ("audio_channels", 2),
        ("pad_mode", "circular"),
        ("trim_right_ratio", 0.5),  # of a codec that isn't causal
        ("codebook_dim", 16),
        ("codebook_size", 33),
        ("upsampling_ratios", [7, 3]),
        ("use_causal_conv", "yes"),
        ("model_type", "dac"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, key: str, value: object) -> None:
    write_codec_folder(tmp_path, SHAPE)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(CheckpointError, match=rf"{key} = "):
        load(tmp_path)


def test_a_codec_of_too_few_books(tmp_path: Path) -> None:
    write_codec_folder(tmp_path, SHAPE)
    with pytest.raises(CheckpointError, match="a codec of 3 codebooks doesn't fit"):
        load_codec_folder(tmp_path, channels=2, n_codebooks=8, device="cpu")
