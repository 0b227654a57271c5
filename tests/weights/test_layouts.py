"""Checkpoints of any dimensions, in every layout, are read: and the same weights say the same."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import torch
import yaml  # type: ignore[import-untyped]
from torch import Tensor

from fanfare.engine.job import Job, Result
from fanfare.engine.torch_engine import generate
from fanfare.errors import CheckpointError
from fanfare.nn.sampling import SamplingSettings
from fanfare.weights.audiocraft_layout import load_audiocraft
from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle
from fanfare.weights.parts import Parts
from fanfare.weights.stored import StoredTensor
from layouts import (
    Shape,
    language_model,
    training_config,
    write_audiocraft,
    write_codec_folder,
    write_export,
    write_text_folder,
    write_training,
    write_transformers,
)

SHAPES = {
    "one codebook, wide heads": Shape(dim=24, heads=1, layers=2, books=1, card=64, text_dim=12),
    "eight codebooks, narrow heads": Shape(
        dim=40, heads=10, books=8, codec_books=8, scale=3, ratios=(5, 4, 2)
    ),
    "a codec of more codebooks": Shape(
        card=2048, books=4, codec_books=6, latent=12, filters=3, ratios=(2, 3, 2),
        sample_rate=2400, lstm=2,
    ),
    "stereo": Shape(books=4, channels=2, card=128, layers=3, codec_books=3),
    "melody of 24 classes": Shape(n_chroma=24, segment_s=12.5, sample_rate=8000, gated=True),
    "a codec of more layers": Shape(residual_layers=2, ratios=(3,), sample_rate=1500, latent=5),
}  # fmt: skip


def say(bundle: Bundle, n_frames: int = 12) -> Tensor:
    """What a model says to a prompt: codes [K, T], drawn with one seed."""
    conditions, null = bundle.conditions("epic brass")
    job = Job(n_frames, conditions, null, SamplingSettings(top_k=0, temperature=3.0), 5)
    *_, result = generate(bundle.lm, [job])
    assert isinstance(result, Result)
    assert result.codes[0] is not None
    return result.codes[0]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_layout_gives_the_same(tmp_path: Path, shape: Shape) -> None:
    parts = {
        "text_encoder": write_text_folder(tmp_path / "t5", shape),
        "codec": write_codec_folder(tmp_path / "codec", shape),
    }
    hub = write_audiocraft(tmp_path / "hub", shape)
    plain = load_bundle(hub, text_encoder=parts["text_encoder"])
    bundles = [
        load_bundle(write_audiocraft(tmp_path / "mha", shape, infix="mha."), **parts),
        load_bundle(write_export(tmp_path / "trained_model.tar", shape), **parts),
        load_bundle(write_training(tmp_path / "a.th", shape), **parts),
        load_bundle(write_training(tmp_path / "b.pt", shape, legacy=True), **parts),
        load_bundle(write_transformers(tmp_path / "hf", shape)),
        load_bundle(write_transformers(tmp_path / "bin", shape, pickled=True)),
        load_bundle(write_transformers(tmp_path / "shards", shape, pickled=True, shards=3)),
    ]
    config, codes = plain.config, say(plain)
    wav = plain.codec.decode(codes[None])
    assert codes.shape == (shape.books, 12)
    assert codes.unique().numel() > 5, "the comparison would prove nothing"
    assert wav.shape == (1, shape.channels, 12 * plain.codec.hop)
    assert (config.dim, config.n_heads, config.n_layers) == (shape.dim, shape.heads, shape.layers)
    assert (config.card, config.n_codebooks) == (shape.card, shape.books)
    assert config.frame_rate_hz * plain.codec.hop == shape.sample_rate
    assert plain.codec.encode(wav).shape == (1, shape.books, 12)
    for bundle in bundles:
        # Only audiocraft's files say how long the pieces were that a model was trained on.
        assert replace(bundle.config, max_duration_s=config.max_duration_s) == config
        assert torch.equal(say(bundle), codes)
        torch.testing.assert_close(bundle.codec.decode(codes[None]), wav)


def test_delays_and_periods_of_ones_own(tmp_path: Path) -> None:
    text = write_text_folder(tmp_path / "t5", Shape())
    shape = Shape(books=3, codec_books=3, delays=(0, 4, 1), max_period=500)
    bundle = load_bundle(write_audiocraft(tmp_path / "a", shape), text_encoder=text)
    assert bundle.config.delays == (0, 4, 1)
    assert bundle.config.max_period == 500
    usual = load_bundle(
        write_audiocraft(tmp_path / "b", replace(shape, delays=None, max_period=10000)),
        text_encoder=text,
    )
    assert not torch.equal(say(bundle, 40), say(usual, 40))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_training_gives_its_best_weights_by_any_name(tmp_path: Path, legacy: bool) -> None:
    shape = Shape()
    folder = tmp_path / "training"
    folder.mkdir()
    file = write_training(folder / "checkpoint.th", shape, legacy=legacy)
    parts = Parts(
        write_text_folder(tmp_path / "t5", shape), write_codec_folder(tmp_path / "codec", shape)
    )
    best = language_model(shape)["transformer.layers.0.linear1.weight"]
    for path in (folder, file, *(shutil.copyfile(file, tmp_path / n) for n in ("x.bin", "model"))):
        bundle = load_audiocraft(path, parts, device="cpu", dtype=torch.float32)
        assert torch.equal(bundle.lm.layers[0].linear1.weight, best)
    # A training that was never evaluated has no best weights yet; its settings may be YAML.
    last, config = language_model(shape, seed=1), yaml.safe_dump(training_config(shape))
    values = {"best_state": {"model": {}}, "model": last, "xp.cfg": config}
    torch.save(values, tmp_path / "young.th", _use_new_zipfile_serialization=not legacy)
    bundle = load_audiocraft(tmp_path / "young.th", parts, device="cpu", dtype=torch.float32)
    name = "transformer.layers.0.linear1.weight"
    assert torch.equal(bundle.lm.layers[0].linear1.weight, last[name])


def test_of_a_training_only_the_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_training(tmp_path / "checkpoint.th", Shape())
    parts = Parts(
        write_text_folder(tmp_path / "t5", Shape()), write_codec_folder(tmp_path / "codec", Shape())
    )
    n_read = 0
    read = StoredTensor._read

    def counted(self: StoredTensor, source: IO[bytes], part: Tensor) -> None:
        nonlocal n_read
        n_read += part.nbytes if self.file == file else 0
        read(self, source, part)

    monkeypatch.setattr(StoredTensor, "_read", counted)
    load_audiocraft(file, parts, device="cpu", dtype=torch.float32)
    assert n_read == sum(tensor.nbytes for tensor in language_model(Shape()).values())
    assert n_read < file.stat().st_size / 4


def test_a_codec_of_audiocrafts_as_a_part(tmp_path: Path) -> None:
    shape = Shape()
    hub = write_audiocraft(tmp_path / "hub", shape)
    text = write_text_folder(tmp_path / "t5", shape)
    file = write_export(tmp_path / "trained_model.tar", shape)
    expected = load_bundle(hub, text_encoder=text)
    codes = say(expected)[None]
    for codec in (hub, hub / "compression_state_dict.bin"):
        bundle = load_bundle(file, text_encoder=text, codec=codec)
        assert torch.equal(bundle.codec.decode(codes), expected.codec.decode(codes))


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (Shape(text_dim=12), "a text encoder of width 12 for a language model that takes 8"),
        (Shape(card=64), "codes per codebook 64 for a language model with 32"),
        (Shape(sample_rate=3200), "sample rate 3200 for a language model with 1600"),
        (Shape(codec_books=1), "a codec of 1 codebooks doesn't fit"),
    ],
)
def test_parts_of_other_models_are_refused(tmp_path: Path, other: Shape, complaint: str) -> None:
    parts = {
        "text_encoder": write_text_folder(tmp_path / "t5", other),
        "codec": write_codec_folder(tmp_path / "codec", other),
    }
    for checkpoint in (
        write_export(tmp_path / "trained_model.tar", Shape()),
        write_transformers(tmp_path / "hf", Shape()),
    ):
        with pytest.raises(CheckpointError, match=complaint):
            load_bundle(checkpoint, **parts)


def test_another_frame_rate(tmp_path: Path) -> None:
    """audiocraft's settings don't hold it; transformers' do, by way of their own codec."""
    other = Shape(ratios=(5, 4))
    codec = write_codec_folder(tmp_path / "codec", other)
    text = write_text_folder(tmp_path / "t5", Shape())
    export = write_export(tmp_path / "trained_model.tar", Shape())
    assert load_bundle(export, text_encoder=text, codec=codec).config.frame_rate_hz == 80
    folder = write_transformers(tmp_path / "hf", Shape())
    with pytest.raises(CheckpointError, match="frame rate 80 for a language model with 200"):
        load_bundle(folder, codec=codec)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("conditioners.description.t5.finetune", True, "finetune = True isn't supported"),
        ("fuser.sum", ["description"], "fuser.sum = "),
        ("compression_model_n_q", 4, "compression_model_n_q = 4 isn't supported; it must be 2"),
        ("interleave_stereo_codebooks.per_timestep", True, "loaded"),  # of no account in mono
        ("compression_model_n_q", 2, "loaded"),
        ("transformer_lm.positional_scale", 0.5, "positional_scale = 0.5"),
        ("transformer_lm.q_modeling", "flat", "loaded"),  # only the first release read it
        ("codebooks_pattern.modeling", None, "loaded"),
        ("lm_model", "transformer_lm_magnet", "lm_model = 'transformer_lm_magnet'"),
    ],
)
def test_settings(tmp_path: Path, path: str, value: object, complaint: str) -> None:
    config = training_config(Shape())
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    values = {"best_state": language_model(Shape()), "xp.cfg": yaml.safe_dump(config)}
    torch.save(values, tmp_path / "x")
    parts = {
        "text_encoder": write_text_folder(tmp_path / "t5", Shape()),
        "codec": write_codec_folder(tmp_path / "codec", Shape()),
    }
    if complaint == "loaded":
        assert load_bundle(tmp_path / "x", **parts).config.delays == (0, 1)
    else:
        with pytest.raises(CheckpointError, match=complaint):
            load_bundle(tmp_path / "x", **parts)
