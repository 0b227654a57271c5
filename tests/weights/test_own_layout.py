"""Our own layout: written, read, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils import parametrize
from transformers import EncodecConfig, EncodecModel, T5EncoderModel

from fanfare.errors import CheckpointError
from fanfare.nn.config import LmConfig
from fanfare.nn.encodec import Encodec
from fanfare.nn.lm import LanguageModel
from fanfare.weights.codec import TRAINING_ONLY, load_codec_folder
from fanfare.weights.convert import convert
from fanfare.weights.load import load_bundle
from fanfare.weights.own_layout import save_own
from fanfare.weights.tensors import matches
from layouts import Shape, write_transformers

CONFIG = LmConfig(
    n_codebooks=2, card=64, dim=32, n_heads=4, n_layers=2, ffn_dim=64, delays=(0, 1),
    positions="rope", past_context=16, plan_features=5,
)  # fmt: skip


@pytest.fixture
def peer() -> EncodecModel:
    """A random codec of transformers'."""
    torch.manual_seed(1)
    codec = EncodecModel(
        EncodecConfig(
            sampling_rate=32000,
            num_filters=2,
            upsampling_ratios=[8, 5, 4, 4],
            hidden_size=8,
            codebook_size=64,
            codebook_dim=8,
            target_bandwidths=[0.6],
            use_causal_conv=False,
            use_conv_shortcut=False,
        )
    )
    for layer in codec.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    return codec.eval()


@pytest.fixture
def parts(peer: EncodecModel, tmp_path: Path) -> tuple[LanguageModel, Encodec]:
    torch.manual_seed(0)
    lm = LanguageModel(CONFIG)
    lm.initialise()
    assert lm.plan is not None
    lm.plan.mean.normal_()
    folder = tmp_path / "peer"
    peer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": "/some/where"}))
    codec = load_codec_folder(folder, channels=1, n_codebooks=2, device="cpu")
    return lm.eval(), codec.model


def test_a_model_survives_the_round_trip(
    parts: tuple[LanguageModel, Encodec], peer: EncodecModel, tmp_path: Path
) -> None:
    lm, codec = parts
    save_own(tmp_path, name="tiny", lm=lm, codec=codec, licence="CC0-1.0", extra={"steps": 3})
    assert "/some/where" not in (tmp_path / "codec" / "config.json").read_text()
    bundle = load_bundle(tmp_path)
    assert (bundle.name, bundle.licence, bundle.extra) == ("tiny", "CC0-1.0", {"steps": 3})
    assert bundle.config == CONFIG
    assert bundle.text is None
    tokens = torch.randint(65, (1, 2, 20))
    torch.testing.assert_close(bundle.lm(tokens), lm(tokens), atol=1e-2, rtol=1e-2)
    assert lm.plan is not None
    assert bundle.lm.plan is not None
    assert torch.equal(bundle.lm.plan.mean, lm.plan.mean)  # statistics aren't rounded
    codes = torch.randint(64, (1, 2, 5))
    expected = peer.decode(codes[None], [None]).audio_values
    torch.testing.assert_close(bundle.codec.decode(codes), expected, atol=1e-2, rtol=1e-2)


def test_a_codec_that_is_plain_already_is_written_alike(
    parts: tuple[LanguageModel, Encodec], tmp_path: Path
) -> None:
    lm, codec = parts
    save_own(tmp_path / "first", name="tiny", lm=lm, codec=codec)
    first = load_bundle(tmp_path / "first")
    save_own(tmp_path / "second", name="tiny", lm=first.lm, codec=first.codec.model)
    for file in ("lm.safetensors", "codec/model.safetensors"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@torch.inference_mode()
def test_transformers_reads_codec_and_text(tmp_path: Path) -> None:
    source = write_transformers(tmp_path / "hf", Shape(gated=True))
    convert(source, tmp_path / "own")
    ours = load_bundle(source)
    assert ours.text is not None
    text = T5EncoderModel.from_pretrained(tmp_path / "own" / "text")
    ids = torch.tensor([[3, 4, 1]])  # "epic brass", the end
    assert torch.equal(text(input_ids=ids).last_hidden_state, ours.text.model(ids))
    config = EncodecConfig.from_pretrained(tmp_path / "own" / "codec")
    codec = EncodecModel(config).eval()
    for module in codec.modules():
        if parametrize.is_parametrized(module, "weight"):  # ours is multiplied out
            parametrize.remove_parametrizations(module, "weight")
    left = codec.load_state_dict(load_file(tmp_path / "own" / "codec" / "model.safetensors"), False)
    assert not left.unexpected_keys
    assert all(matches(TRAINING_ONLY, key) for key in left.missing_keys)
    wav = torch.randn(1, 1, 400)
    found = codec.encode(wav, bandwidth=config.target_bandwidths[-1]).audio_codes[0]
    assert torch.equal(found, ours.codec.encode(wav))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 2}, "format 2 isn't known"),
        ({"colour": "red"}, "unknown keys colour"),
        ({"lm": {**CONFIG.to_dict(), "depth": 1}}, "unknown keys depth"),
        ({"lm": {**CONFIG.to_dict(), "n_codebooks": 4, "delays": [0, 0, 0, 0]}}, "Missing: emb.2"),
    ],
)
def test_a_wrong_card_is_refused(
    parts: tuple[LanguageModel, Encodec],
    tmp_path: Path,
    change: dict[str, object],
    complaint: str,
) -> None:
    save_own(tmp_path, name="tiny", lm=parts[0], codec=parts[1])
    card = json.loads((tmp_path / "fanfare.json").read_text())
    (tmp_path / "fanfare.json").write_text(json.dumps({**card, **change}))
    with pytest.raises(CheckpointError, match=complaint):
        load_bundle(tmp_path)


def test_damaged_and_missing_files_are_named(
    parts: tuple[LanguageModel, Encodec], tmp_path: Path
) -> None:
    save_own(tmp_path, name="tiny", lm=parts[0], codec=parts[1])
    file = tmp_path / "lm.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"lm\.safetensors: damaged"):
        load_bundle(tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"lm\.safetensors is missing"):
        load_bundle(tmp_path)


def test_a_model_in_parts_is_the_same(parts: tuple[LanguageModel, Encodec], tmp_path: Path) -> None:
    lm, codec = parts
    save_own(tmp_path / "whole", name="tiny", lm=lm, codec=codec)
    save_own(tmp_path / "parts", name="tiny", lm=lm, codec=codec, file_bytes=20_000)
    files = sorted((tmp_path / "parts").glob("lm-*.safetensors"))
    assert len(files) > 1
    assert all(file.stat().st_size < 25_000 for file in files)
    assert not (tmp_path / "parts" / "lm.safetensors").exists()
    whole, divided = load_bundle(tmp_path / "whole"), load_bundle(tmp_path / "parts")
    for (name, a), b in zip(
        whole.lm.state_dict().items(), divided.lm.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    (tmp_path / "parts" / files[0].name).unlink()
    with pytest.raises(CheckpointError, match="lm-"):
        load_bundle(tmp_path / "parts")
