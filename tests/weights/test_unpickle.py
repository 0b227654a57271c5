"""Pickles are read as data: anything that would run is refused, and so is what isn't understood."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # type: ignore[import-untyped]

from fanfare.errors import CheckpointError
from fanfare.weights.load import load_bundle
from fanfare.weights.unpickle import open_pickle, read_config, read_pickle
from layouts import Shape, language_model

GOLDEN = Path(__file__).parent.parent / "golden"


def test_a_training_by_audiocrafts_own_tools_is_read() -> None:
    """Its settings are omegaconf's own objects, of every class that they may be of."""
    values = open_pickle(GOLDEN / "training" / "checkpoint.th")
    assert values["history"][0]["train"] == {"loss": 3.25, "when": 1.5}
    assert values["history"][0]["seen"] == [1, 2]
    assert values["history"][0]["raw"] == b"\xff\x00"
    assert values["scaler"] == {"scale": 65536.0, "growth_tracker": 7}
    config = read_config(values["xp.cfg"], "x")
    assert config["typed"] == {
        "whole": 3, "real": 2.5, "flag": True, "text": "x", "path": "/a/b", "bytes": "<bytes>",
        "any": 1.5, "either": 7, "result": 12,
    }  # fmt: skip
    assert config["dataset"]["channels"] == 1
    assert (config["optim"]["eps"], config["nothing"]) == ("1e-8", None)
    best = values["best_state"]["model"]["linears.0.weight"]
    assert torch.equal(best(), language_model(Shape(dim=8, card=16, books=1))["linears.0.weight"])


class Hostile:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_code_in_a_pickle_never_runs(tmp_path: Path) -> None:
    file = tmp_path / "state_dict.bin"
    torch.save({"best_state": Hostile(tmp_path / "harm"), "xp.cfg": ""}, file)
    with pytest.raises(CheckpointError, match="refused to unpickle"):
        load_bundle(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_an_export_of_omegaconf_objects_becomes_plain_values() -> None:
    values = read_pickle(GOLDEN / "audiocraft-melody" / "cog_trained_model.tar")
    config = read_config(values["xp.cfg"], "x")
    assert config["transformer_lm"]["dim"] == 64
    assert config["codebooks_pattern"]["delay"]["delays"] == [0, 1, 2, 3]
    assert config["conditioners"]["self_wav"]["chroma_stem"]["sample_rate"] == 32000


def test_interpolations_are_followed_and_dead_ends_left() -> None:
    assert read_config("a: {b: 3}\nc: ${a.b}\nd: ['${c}']", "x")["d"] == [3]
    dead = "a: {b: 3}\nc: ${a.z}\nd: ${now:%H}"
    assert read_config(dead, "x", ["c", "d"]) == {"c": "${a.z}", "d": "${now:%H}"}
    with pytest.raises(CheckpointError, match="refers to itself"):
        read_config("a: ${b}\nb: ${a}", "x")
    with pytest.raises(CheckpointError, match="isn't YAML"):
        read_config("a: [", "x")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x80\x02}q\x00."])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.tar"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.tar"):
        load_bundle(file)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("transformer_lm.positional_embedding", "rope", "positional_embedding = 'rope'"),
        ("transformer_lm.norm_first", False, "norm_first = False"),
        ("transformer_lm.past_context", 500, "past_context = 500"),
        ("codebooks_pattern.modeling", "parallel", "modeling = 'parallel'"),
        ("conditioners.description.model", "clap", "model = 'clap'"),
        ("conditioners.description.t5.name", "t5-huge", "names 't5-huge'"),
        ("fuser.cross", [], "aren't supported"),
        ("channels", 2, "channels = 2"),
        ("transformer_lm.num_layers", 4, "Missing: transformer.layers.3"),
        ("compression_model_checkpoint", "/etc/passwd", "names '/etc/passwd'"),
    ],
)
def test_unknown_settings_are_refused(
    tmp_path: Path, path: str, value: object, complaint: str
) -> None:
    values = torch.load(GOLDEN / "audiocraft-text" / "state_dict.bin", weights_only=True)
    config = yaml.safe_load(values["xp.cfg"])
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    torch.save({**values, "xp.cfg": yaml.safe_dump(config)}, tmp_path / "state_dict.bin")
    text = None if "t5" in path else GOLDEN / "t5-base"
    codec = None if last == "compression_model_checkpoint" else GOLDEN / "encodec_32khz"
    with pytest.raises(CheckpointError, match=complaint):
        load_bundle(tmp_path, text_encoder=text, codec=codec)


def test_a_pointer_leads_to_the_known_codec_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("state_dict.bin", "compression_state_dict.bin"):
        shutil.copyfile(GOLDEN / "audiocraft-stereo" / name, tmp_path / name)
    asked: list[object] = []

    def find(name: object) -> Path:
        asked.append(name)
        return GOLDEN / "encodec_32khz"

    monkeypatch.setattr("fanfare.weights.audiocraft_codec.find", find)
    bundle = load_bundle(tmp_path, text_encoder=GOLDEN / "t5-base")
    assert asked == ["facebook/encodec_32khz"]
    assert bundle.codec.channels == 2
