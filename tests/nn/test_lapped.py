"""The lapped transform loses nothing; the codec's configuration is read or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fanfare.errors import CheckpointError
from fanfare.nn.codec import Codec
from fanfare.nn.encodec import Encodec, EncodecConfig
from fanfare.nn.lapped import LappedCodec, LappedConfig, basis, transformed, untransformed
from fanfare.nn.partials import PartialsConfig
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


@pytest.mark.parametrize("partials", [None, PartialsConfig(500.0, 12, 40, 16)])
def test_a_codec_is_written_and_read(tmp_path: Path, partials: PartialsConfig | None) -> None:
    torch.manual_seed(0)
    shape = replace(SMALL, partials=partials)
    model = LappedCodec(shape).eval()
    for codebook in model.quantizer.codebooks():
        torch.nn.init.normal_(codebook.embed)
    write_json(tmp_path / "config.json", codec_values(shape))
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), torch.float32)
    codec = load_codec_folder(tmp_path, channels=1, n_codebooks=3, device="cpu")
    assert codec.model.config == shape
    wav = torch.randn(1, 1, 6400)
    codes = Codec(model).encode(wav)
    assert torch.equal(codec.encode(wav), codes)
    assert torch.equal(codec.decode(codes), Codec(model).decode(codes))


def listening(**changes: Any) -> LappedConfig:
    """A codec of our own that listens through an EnCodec."""
    encodec = EncodecConfig(32000, (8, 5, 4, 4), 3, card=32, n_filters=2, n_lstm_layers=1)
    return replace(SMALL, encodec=replace(encodec, **changes))


def test_codes_of_an_encodec_are_played_by_another_decoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = listening()
    assert config.encodec is not None
    theirs, model = Encodec(config.encodec).eval(), LappedCodec(config).eval()
    for codebook in theirs.quantizer.codebooks():
        torch.nn.init.normal_(codebook.embed)
    model.encoder.load_state_dict(theirs.encoder.state_dict())
    model.quantizer.load_state_dict(theirs.quantizer.state_dict())
    write_json(tmp_path / "config.json", codec_values(config))
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), torch.float32)
    codec = load_codec_folder(tmp_path, channels=1, n_codebooks=3, device="cpu")
    assert codec.model.config == config
    codes = codec.encode(torch.randn(1, 1, 6400))
    torch.manual_seed(1)
    assert torch.equal(codec.encode(wav := torch.randn(1, 1, 6400)), Codec(theirs).encode(wav))
    assert torch.equal(codec.decode(codes), Codec(model).decode(codes))


@pytest.mark.parametrize(
    "changes",
    [{"sample_rate_hz": 16000}, {"latent_dim": 64}, {"card": 64}, {"ratios": (8, 5, 4)}],
)
def test_an_encodec_of_other_codes_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="encodec"):
        lapped_config(codec_values(listening(**changes)), "this")


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
        ({"partials": [1]}, "partials"),
        ({"partials": {"lowest_hz": 100.0, "per_octave": 12, "hidden": 8}}, "partials.n"),
        ({"partials": {"lowest_hz": 1e3, "per_octave": 12, "n": 49, "hidden": 8}}, "partials.n"),
        ({"partials": {"lowest_hz": 0.0, "per_octave": 12, "n": 4, "hidden": 8}}, "lowest_hz"),
        ({"encodec": "encodec_32khz"}, "encodec"),
        ({"encodec": {"model_type": "encodec"}}, "upsampling_ratios"),
    ],
)
def test_values_that_no_codec_has_are_refused_by_name(changes: dict[str, Any], named: str) -> None:
    values = {**codec_values(SMALL), **changes}
    with pytest.raises(CheckpointError, match=named):
        lapped_config(values, "this")
