"""The lapped transform loses nothing; the codec's configuration is read or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.nn.lapped import LappedCodec, LappedConfig, basis, transformed, untransformed
from fanfare.weights.codec import codec_values, lapped_config, load_codec_folder
from fanfare.weights.write import write_json, write_tensors

SMALL = LappedConfig(32000, 640, 3, card=32, width=16, encoder_blocks=2, decoder_blocks=2)


@pytest.mark.parametrize("h", [2, 10, 320])
def test_the_transform_and_its_inverse_lose_nothing(h: int) -> None:
    x = torch.randn(2, 20 * h, generator=torch.Generator().manual_seed(h))
    again = untransformed(transformed(x, h))
    edge = h // 2
    torch.testing.assert_close(again[:, edge:-edge], x[:, edge:-edge], atol=1e-5, rtol=0)


def test_the_transform_is_the_cosine_transform_by_its_formula() -> None:
    h, n = 6, np.arange(12)
    window = np.sin(np.pi * (n + 0.5) / 12)
    for k in range(h):
        row = window * np.cos(np.pi / h * (n + 0.5 + h / 2) * (k + 0.5)) * np.sqrt(2 / h)
        np.testing.assert_allclose(basis(h, torch.device("cpu"))[:, k], row, atol=1e-6)


@pytest.mark.parametrize("n", [1, 639, 640, 5000])
def test_any_length_gives_whole_frames(n: int) -> None:
    model = LappedCodec(SMALL).eval()
    codes = Codec(model).encode(torch.randn(2, 1, n))
    frames = -(-n // 640)
    assert codes.shape == (2, 3, frames)
    assert Codec(model).decode(codes).shape == (2, 1, 640 * frames)


def test_a_codec_is_written_and_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LappedCodec(SMALL).eval()
    for codebook in model.quantizer.codebooks():
        torch.nn.init.normal_(codebook.embed)
    write_json(tmp_path / "config.json", codec_values(SMALL))
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), torch.float32)
    codec = load_codec_folder(tmp_path, channels=1, n_codebooks=3, device="cpu")
    assert codec.model.config == SMALL
    wav = torch.randn(1, 1, 6400)
    codes = Codec(model).encode(wav)
    assert torch.equal(codec.encode(wav), codes)
    assert torch.equal(codec.decode(codes), Codec(model).decode(codes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hop": 641}, "hop"),
        ({"hop": 0}, "hop"),
        ({"n_transforms": 3}, "n_transforms"),
        ({"lookahead": 7}, "lookahead"),
        ({"width": "wide"}, "width"),
        ({"decoder_blocks": 10**9}, "decoder_blocks"),
        ({"card": None}, "card"),
        ({"model_type": "other"}, "model_type"),
    ],
)
def test_values_that_no_codec_has_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    values = {**codec_values(SMALL), **changes}
    with pytest.raises(CheckpointError, match=named):
        lapped_config(values, "this")
