"""Facts of models, found without reading their weights or asking a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

from fake_hub import Hub, fake_hub
from fanfare.errors import CheckpointError
from fanfare.weights.convert import convert
from fanfare.weights.describe import Part, describe
from fanfare.weights.known import BY_NAME, MODELS
from fanfare.weights.load import load_bundle
from fanfare.weights.memory import memory_bytes
from fanfare.weights.published import PUBLISHED
from fanfare.weights.stored import StoredTensor
from layouts import (
    Shape,
    write_audiocraft,
    write_codec_folder,
    write_export,
    write_text_folder,
    write_training,
    write_transformers,
)

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with nothing on it, and weights that can't be read."""

    def refuse(*_: object) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setenv("FANFARE_CACHE_DIR", str(tmp_path / "fanfare"))
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        monkeypatch.setattr(StoredTensor, "into", refuse)
        yield hub
        assert hub.asked() == []


@pytest.mark.parametrize("shape", [Shape(layers=2), Shape(n_chroma=12), Shape(books=4, channels=2)])
def test_every_layout_tells_the_same(tmp_path: Path, hub: Hub, shape: Shape) -> None:
    folder = write_audiocraft(tmp_path / "hub", shape)
    facts = [
        describe(folder),
        describe(folder / "state_dict.bin"),
        describe(write_export(tmp_path / "a.tar", shape)),
        describe(write_training(tmp_path / "b.th", shape)),
        describe(write_transformers(tmp_path / "hf", shape)),
        describe(write_transformers(tmp_path / "bin", shape, pickled=True, shards=2)),
    ]
    assert [fact.layout for fact in facts] == ["audiocraft"] * 4 + ["transformers"] * 2
    assert [fact.name for fact in facts] == ["hub", "state_dict", "a", "b", "hf", "bin"]
    for fact in facts:
        assert fact.config is not None
        assert fact.config.n_layers == shape.layers
        assert fact.config.channels == shape.channels
        assert fact.config.n_chroma == shape.n_chroma
        assert fact.n_parameters == facts[0].n_parameters
        assert fact.dtypes == ("float32",)
    held = facts[0].parts["codec"]
    assert held.source == "held"
    assert facts[-1].parts["codec"] == facts[-2].parts["codec"] == held
    assert facts[2].parts["codec"] == Part("facebook/encodec_32khz", 57_925_313)
    assert facts[0].parts["text encoder"] == Part("google-t5/t5-base", 109_628_544)
    assert [file.name for file in facts[0].files] == [
        "compression_state_dict.bin", "state_dict.bin",
    ]  # fmt: skip


def test_counts_are_those_of_the_loaded_model(tmp_path: Path) -> None:
    source = write_transformers(tmp_path / "hf", Shape(n_chroma=12))
    bundle, facts = load_bundle(source), describe(source)
    assert bundle.text is not None
    assert facts.config == bundle.config
    assert facts.n_parameters == sum(p.numel() for p in bundle.lm.parameters())
    n_text = sum(p.numel() for p in bundle.text.model.parameters())
    assert facts.parts["text encoder"].n_parameters == n_text
    own = describe(convert(source, tmp_path / "own", dtype="float16"))
    assert (own.layout, own.config, own.n_parameters) == (
        "fanfare",
        facts.config,
        facts.n_parameters,
    )
    assert own.parts == facts.parts
    assert own.dtypes[0] == "float16"
    assert {file.name for file in own.files} == {
        "fanfare.json", "lm.safetensors", "codec/config.json", "codec/model.safetensors",
        "text/config.json", "text/model.safetensors", "text/tokenizer.json",
    }  # fmt: skip
    bare = convert(source, tmp_path / "bare", with_text_encoder=False)
    assert describe(bare).parts["text encoder"] == Part("to be given")


def test_parts_of_models(tmp_path: Path, hub: Hub) -> None:
    shape = Shape()
    text = describe(write_text_folder(tmp_path / "t5", shape))
    assert list(text.parts) == ["text encoder"]
    assert text.config is None
    codec = describe(write_codec_folder(tmp_path / "codec", shape))
    assert list(codec.parts) == ["codec"]
    file = write_audiocraft(tmp_path / "hub", shape) / "compression_state_dict.bin"
    assert describe(file).parts == codec.parts
    assert list(describe(GOLDEN / "diffusion" / "mbd_musicgen_32khz.th").parts) == ["diffusion"]


@pytest.mark.parametrize("name", [known.name for known in MODELS])
def test_published_models_are_known_by_heart(hub: Hub, name: str) -> None:
    facts = describe(name)
    assert facts.path is None
    assert facts.name == f"facebook/musicgen-{name}"
    assert facts.licence == "CC-BY-NC-4.0"
    assert facts.config == PUBLISHED[name]
    assert describe(facts.name) == facts


def test_published_counts() -> None:
    assert describe("small").n_parameters == 420_371_456
    assert describe("melody-large").n_parameters == 2_451_480_576
    with torch.device("meta"):
        text = T5EncoderModel(
            T5Config(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
        )
        codec = EncodecModel(
            EncodecConfig(
                sampling_rate=32000, num_filters=64, upsampling_ratios=[8, 5, 4, 4],
                hidden_size=128, codebook_size=2048, target_bandwidths=[2.2],
                use_causal_conv=False, use_conv_shortcut=False,
            )
        )  # fmt: skip
    n_text = sum(weight.numel() for weight in text.parameters())
    assert BY_NAME["t5-base"].n_parameters == n_text
    # Weight norm's lengths aside, and the codebooks, which are no parameters, added.
    norms = sum(w.numel() for name, w in codec.named_parameters() if name.endswith("original0"))
    n_codec = sum(weight.numel() for weight in codec.parameters()) - norms + 4 * 2048 * 128
    assert BY_NAME["encodec_32khz"].n_parameters == n_codec


def test_memory() -> None:
    small = memory_bytes(describe("small"))
    assert small["float32"] > small["bfloat16"] > small["int8"]
    parts = 4 * (109_628_544 + 57_925_313)
    cache = 2 * 24 * 2 * (1504 + 32) * 1024
    assert small["float32"] == parts + 4 * (420_371_456 + cache)
    assert memory_bytes(describe("large"))["bfloat16"] > 2 * 3_256_956_928


@pytest.mark.parametrize("name", ["owner/model", "https://a.example/x"])
def test_what_isnt_here(hub: Hub, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"isn't on this machine: fanfare models pull {name}"):
        describe(name)


def test_what_is_no_model(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "empty").mkdir()
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.th")
    (tmp_path / "b.th").write_bytes(b"x")
    for path in ("empty", "a.th", "b.th"):
        with pytest.raises(CheckpointError):
            describe(tmp_path / path)
