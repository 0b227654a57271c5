"""Published weights carry their name and licence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fake_hub import fake_hub
from fanfare.weights.load import load_bundle
from layouts import Shape, write_transformers

GOLDEN = Path(__file__).parent.parent / "golden"


def test_name_and_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_transformers(tmp_path / "hf", Shape())
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        hub.publish("facebook/musicgen-small", {f.name: f.read_bytes() for f in folder.iterdir()})
        bundle = load_bundle("small")
    assert (bundle.name, bundle.licence) == ("facebook/musicgen-small", "CC-BY-NC-4.0")
    assert load_bundle(folder).name == "hf"
    assert load_bundle("epic-mini").licence == "Apache-2.0"


def test_a_folder_with_audiocrafts_weights_alone_is_audiocrafts(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "audiocraft-stereo", tmp_path / "half")
    (tmp_path / "half" / "config.json").write_text("{}")  # fetched, its weights not
    parts = {"text_encoder": GOLDEN / "t5-base", "codec": GOLDEN / "encodec_32khz"}
    assert load_bundle(tmp_path / "half", **parts).config.n_codebooks == 8
