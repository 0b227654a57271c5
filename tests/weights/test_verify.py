"""A trial finds what is wrong with a model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from fake_hub import fake_hub
from fanfare.weights.fetch import fetch, parse_url
from fanfare.weights.hub import HubModel, find_on_hub
from fanfare.weights.load import load_bundle
from fanfare.weights.verify import Hashed, hashes, try_out
from layouts import Shape, write_transformers
from web import Answer, serving


@pytest.mark.parametrize("shape", [Shape(), Shape(n_chroma=12), Shape(books=4, channels=2)])
def test_a_good_model(tmp_path: Path, shape: Shape) -> None:
    bundle = load_bundle(write_transformers(tmp_path / "hf", shape))
    verdict = try_out(bundle)
    assert verdict.problems == ()
    assert verdict.n_parameters["language model"] == sum(p.numel() for p in bundle.lm.parameters())
    assert list(verdict.n_parameters) == ["language model", "codec", "text encoder"]


def test_the_built_in_model() -> None:
    assert try_out(load_bundle("epic-mini")).problems == ()


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    bundle = load_bundle(write_transformers(tmp_path / "hf", Shape()))
    bundle.lm.heads[0].weight.data[0, 0] = torch.nan
    bundle.codec.model.decoder.layers[0].conv.bias.data[0] = torch.inf
    problems = try_out(bundle).problems
    assert problems[0] == "language model: heads.0.weight isn't finite"
    assert "codec: decoder.layers.0.conv.bias isn't finite" in problems
    assert "language model: its logits aren't finite" in problems
    assert "codec: its sound isn't finite" in problems


def test_hashes_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"a")
    sha256 = hashlib.sha256(b"a").hexdigest()
    assert list(hashes(tmp_path)) == [Hashed("sub/a", sha256, None)]
    assert list(hashes(tmp_path / "sub" / "a")) == [Hashed("a", sha256, None)]


def test_hashes_of_what_was_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        files = {"config.json": b"{}", "model.safetensors": b"weights"}
        hub.publish("owner/model", files, large=("model.safetensors",))
        folder = find_on_hub(HubModel("owner/model"))
    assert [(file.name, file.is_right) for file in hashes(folder)] == [
        ("config.json", True), ("model.safetensors", True),
    ]  # fmt: skip
    for name in files:
        (folder / name).resolve().write_bytes(b"changed")
    assert [file.is_right for file in hashes(folder)] == [False, False]


def test_hashes_of_a_file_of_the_web(tmp_path: Path) -> None:
    with serving() as web:
        web.answers["/a.tar"] = Answer(b"weights")
        path = fetch(parse_url(f"{web.url}/a.tar"), tmp_path, max_bytes=100)
    assert [file.is_right for file in hashes(path)] == [True]
    path.write_bytes(b"weighty")
    assert [file.is_right for file in hashes(path)] == [False]
