"""Converted models say what they said before, and appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fanfare.engine.job import Job, Result
from fanfare.engine.torch_engine import generate
from fanfare.errors import CheckpointError, InputError, OutputError
from fanfare.nn.sampling import SamplingSettings
from fanfare.weights import convert as converting
from fanfare.weights.bundle import Bundle
from fanfare.weights.convert import convert
from fanfare.weights.diffusion import load_diffusion
from fanfare.weights.load import load_bundle
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
PARTS = {"text_encoder": GOLDEN / "t5-base", "codec": GOLDEN / "encodec_32khz"}
BATTLE = "epic orchestral battle music with taiko drums"
SOURCES = {
    "text": GOLDEN / "audiocraft-text",
    "stereo": GOLDEN / "audiocraft-stereo",
    "melody": GOLDEN / "audiocraft-melody" / "cog_trained_model.tar",
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def codes(bundle: Bundle, text: str, melody: Tensor | None = None, n_frames: int = 100) -> Tensor:
    """The likeliest codes [K, T]."""
    conditions, null = bundle.conditions(text, melody)
    job = Job(n_frames, conditions, null, SamplingSettings(temperature=0), 0)
    *_, result = generate(bundle.lm, [job])
    assert isinstance(result, Result)
    assert result.codes[0] is not None
    return result.codes[0]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def on_disk(folder: Path) -> set[torch.dtype]:
    """The types of the language model's matrices."""
    tensors = load_file(folder / "lm.safetensors").values()
    return {tensor.dtype for tensor in tensors if tensor.dim() > 1}


@pytest.mark.parametrize("kind", SOURCES)
def test_golden_codes_survive(tmp_path: Path, kind: str) -> None:
    with np.load(GOLDEN / f"audiocraft-{kind}" / "expected.npz") as arrays:
        expected = dict(arrays)
    folder = convert(SOURCES[kind], tmp_path / "own", **PARTS)
    assert on_disk(folder) == {torch.float16}  # as audiocraft keeps them, and nothing is lost
    bundle = load_bundle(folder)
    got = codes(bundle, BATTLE)
    assert torch.equal(got, torch.from_numpy(expected["text_greedy_codes"].astype(np.int64)))
    if kind == "melody":
        with np.load(GOLDEN / "melody.npz") as arrays:
            melody = torch.from_numpy(arrays["wav"])[None]
        want = expected["melody_noseparation_greedy_codes"].astype(np.int64)
        assert torch.equal(codes(bundle, BATTLE, melody), torch.from_numpy(want))
    before = load_bundle(SOURCES[kind], **PARTS)
    for ours, theirs in (
        (bundle.lm, before.lm),
        (bundle.codec.model, before.codec.model),
        (bundle.text.model, before.text.model),  # type: ignore[union-attr]
    ):
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], tensor), name
    assert (bundle.codec.channels, bundle.codec.card) == (before.codec.channels, 64)


def test_every_layout(tmp_path: Path) -> None:
    shape = Shape(layers=2, books=2)
    parts = {
        "text_encoder": write_text_folder(tmp_path / "t5", shape),
        "codec": write_codec_folder(tmp_path / "codec", shape),
    }
    sources = [
        write_audiocraft(tmp_path / "hub", shape),
        write_export(tmp_path / "trained_model.tar", shape),
        write_training(tmp_path / "checkpoint.th", shape),
        write_transformers(tmp_path / "hf", shape),
        write_transformers(tmp_path / "bin", shape, pickled=True, shards=2),
    ]
    expected = codes(load_bundle(sources[0], **parts), "epic brass", n_frames=20)
    for source in [*sources, tmp_path / "own-hub"]:
        folder = convert(source, tmp_path / f"own-{source.name}", **parts)
        assert on_disk(folder) == {torch.float32}  # halves would lose something
        assert torch.equal(codes(load_bundle(folder), "epic brass", n_frames=20), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_type_on_demand(tmp_path: Path, dtype: str) -> None:
    shape = Shape()
    source = write_transformers(tmp_path / "hf", shape)
    folder = convert(source, tmp_path / "own", dtype=dtype)
    assert on_disk(folder) == {DTYPES[dtype]}
    before, after = load_bundle(source), load_bundle(folder)
    for name, tensor in before.lm.state_dict().items():
        rounded = tensor.to(DTYPES[dtype]).float() if tensor.dim() > 1 else tensor
        assert torch.equal(after.lm.state_dict()[name], rounded), name
    assert before.text is not None
    assert after.text is not None
    for name, tensor in before.text.model.state_dict().items():
        assert torch.equal(after.text.model.state_dict()[name], tensor), name
    # From one half precision to another, and to none.
    again = convert(folder, tmp_path / "again", dtype="bfloat16")
    assert on_disk(again) == {torch.bfloat16}


def test_names_and_licences_are_kept(tmp_path: Path) -> None:
    source = write_transformers(tmp_path / "my-model", Shape())
    (source / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    bundle = load_bundle(convert(source, tmp_path / "own"))
    assert (bundle.name, bundle.licence) == ("my-model", "CC-BY-NC-4.0")
    card = json.loads((tmp_path / "own" / "fanfare.json").read_text())
    assert str(tmp_path) not in json.dumps(card)
    again = load_bundle(convert(tmp_path / "own", tmp_path / "again", name="other"))
    assert (again.name, again.licence) == ("other", "CC-BY-NC-4.0")


def test_without_its_text_encoder(tmp_path: Path) -> None:
    shape = Shape()
    source = write_transformers(tmp_path / "hf", shape)
    folder = convert(source, tmp_path / "own", with_text_encoder=False)
    assert not (folder / "text").exists()
    with pytest.raises(CheckpointError, match="without its text: give text_encoder=, such as t5"):
        load_bundle(folder)
    with_text = load_bundle(folder, text_encoder=write_text_folder(tmp_path / "t5", shape))
    expected = codes(load_bundle(source), "epic brass", n_frames=20)
    assert torch.equal(codes(with_text, "epic brass", n_frames=20), expected)


def test_diffusion_goes_along(tmp_path: Path) -> None:
    published = GOLDEN / "diffusion" / "mbd_musicgen_32khz.th"
    folder = convert(SOURCES["text"], tmp_path / "own", **PARTS, diffusion=published)
    bundle = load_bundle(convert(folder, tmp_path / "again"))
    expected = load_diffusion(published, device="cpu")
    assert bundle.diffusion is not None
    assert bundle.diffusion.config == expected.config
    for name, tensor in expected.state_dict().items():
        assert torch.equal(bundle.diffusion.state_dict()[name], tensor), name


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_transformers(tmp_path / "hf", Shape())
    folder = convert(source, tmp_path / "own")
    before = (folder / "fanfare.json").read_bytes()

    def interrupted(folder: Path, **_: object) -> None:
        folder.mkdir()
        (folder / "lm.safetensors").write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(converting, "save_own", interrupted)
    for target in (tmp_path / "other", folder):
        with pytest.raises(OutputError, match="No space left"):
            convert(source, target, force=True)
    assert (folder / "fanfare.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "own"]


def test_what_is_there_is_replaced_on_purpose_only(tmp_path: Path) -> None:
    source = write_transformers(tmp_path / "hf", Shape())
    other = write_transformers(tmp_path / "hf2", Shape(layers=2))
    folder = convert(source, tmp_path / "own")
    expected = files(folder)
    with pytest.raises(InputError, match="exists: name another folder"):
        convert(other, folder)
    assert load_bundle(folder).config.n_layers == 1
    convert(other, folder, force=True)
    assert load_bundle(folder).config.n_layers == 2
    assert files(folder) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf", "hf2", "own"]


def test_a_model_can_replace_itself(tmp_path: Path) -> None:
    folder = convert(write_transformers(tmp_path / "hf", Shape()), tmp_path / "own")
    convert(folder, folder, dtype="float16", force=True)
    assert on_disk(folder) == {torch.float16}


@pytest.mark.parametrize("force", [True, False])
def test_folders_that_hold_something_else(tmp_path: Path, force: bool) -> None:
    source = write_transformers(tmp_path / "hf", Shape())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    for target in (tmp_path / "photos", tmp_path / "file", tmp_path / "none" / "own"):
        with pytest.raises(InputError, match="dest: "):
            convert(source, target, force=force)
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"mine"
    (tmp_path / "empty").mkdir()
    assert load_bundle(convert(source, tmp_path / "empty", force=force)).name == "hf"
