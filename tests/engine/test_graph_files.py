"""Graphs are made once, kept whole or not at all, and never used for other weights."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

import fanfare
from fanfare.engine import graph_files, onnx_graph
from fanfare.engine.graph_files import CARD, PARTIAL, STALE_S, STEP, WEIGHTS, with_graphs
from fanfare.engine.onnx_runner import OnnxModel
from fanfare.errors import OutputError
from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle
from tiny import write_checkpoint

REQUEST = {"prompt": "epic brass", "duration": 2, "seed": 3}


@pytest.fixture
def weights(tmp_path: Path, text_folder: Path) -> Path:
    """A checkpoint that a test may change."""
    return Path(shutil.copytree(text_folder, tmp_path / "weights"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def left(weights: Path) -> Bundle:
    return load_bundle(weights, leave_layers=True)


def opened(weights: Path, cache: Path | None, precision: str = "int8") -> OnnxModel:
    bundle = left(weights)
    return OnnxModel(bundle.lm, precision, bundle.left, cache)


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "graphs").iterdir())


def refuse(*_: object) -> None:
    raise AssertionError("graphs were made again")


def test_layers_stay_on_disk(weights: Path) -> None:
    bundle = left(weights)
    on_meta = {name for name, p in bundle.lm.named_parameters() if p.is_meta}
    assert on_meta == set(bundle.left)
    assert {name.split(".")[0] for name in on_meta} == {"layers", "heads", "out_norm"}
    whole = load_bundle(weights).lm
    for name, read in bundle.left.items():
        assert torch.equal(read(), whole.get_parameter(name)), name
    assert bundle.lm.device == torch.device("cpu")


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
def test_the_second_time_nothing_is_made(
    weights: Path, cache: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(weights, cache, precision)
    (folder,) = kept(cache)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.name != CARD}
    assert set(before) == {STEP, "cross.onnx", WEIGHTS}
    monkeypatch.setattr(onnx_graph, "write_graphs", refuse)
    opened(weights, cache, precision)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_what_is_kept_is_what_is_made_of_loaded_weights(
    weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same music by a model that is made in memory, made on disk, and opened again."""
    monkeypatch.setenv("FANFARE_CACHE_DIR", str(cache))
    first = fanfare.load(weights, device="cpu", dtype="int8").generate(**REQUEST).codes
    again = fanfare.load(weights, device="cpu", dtype="int8").generate(**REQUEST).codes
    assert len(kept(cache)) == 1
    model = fanfare.load(weights, device="cpu", dtype="int8")
    inner = OnnxModel(load_bundle(weights).lm, "int8")
    model.engine.model = inner
    assert (first == again).all()
    assert (model.generate(**REQUEST).codes == first).all()


def test_other_weights_are_other_graphs(weights: Path, cache: Path, tmp_path: Path) -> None:
    opened(weights, cache)
    opened(weights, cache, "int4")
    assert len(kept(cache)) == 2
    other = write_checkpoint(tmp_path / "other", "melody")
    opened(other, cache)
    assert len(kept(cache)) == 3
    # A file that is written again means other weights, and the graphs of the old ones go.
    file = weights / "lm.safetensors"
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1))
    opened(weights, cache)
    assert len(kept(cache)) == 2
    shutil.rmtree(other)
    opened(weights, cache, "float32")
    assert len(kept(cache)) == 2


@pytest.mark.parametrize("name", [STEP, WEIGHTS, CARD])
@pytest.mark.parametrize("damage", ["cut", "gone", "rubbish"])
def test_damaged_graphs_are_made_again(
    weights: Path, cache: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened(weights, cache)
    (folder,) = kept(cache)
    content = (folder / name).read_bytes()
    if damage == "gone":
        (folder / name).unlink()
    else:
        rubbish = bytes(len(content)) if name != WEIGHTS else b""  # any bytes are weights
        (folder / name).write_bytes(content[:-1] if damage == "cut" else rubbish)
    opened(weights, cache)
    if name != CARD:
        assert (folder / name).read_bytes() == content
    assert kept(cache) == [folder]
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == (name == STEP and damage == "rubbish")


def test_without_a_place_to_keep_them(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    occupied = tmp_path / "a file"
    occupied.write_text("")
    model = opened(weights, occupied)
    assert model.session is not None
    assert "can't be kept" in caplog.text
    caplog.clear()
    assert opened(weights, None).session is not None
    assert not caplog.text


def test_no_room_anywhere(weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_graph, "write_graphs", full)
    with pytest.raises(OutputError, match="No space left"):
        opened(weights, cache)
    assert kept(cache) == []


def test_nothing_half_written_stays(
    weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(folder: Path, *_: object) -> None:
        (folder / WEIGHTS).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(onnx_graph, "write_graphs", die)
    with pytest.raises(KeyboardInterrupt):
        opened(weights, cache)
    assert kept(cache) == []
    monkeypatch.undo()
    # What a killed process left behind is removed a day later.
    old, new = (cache / "graphs" / f"{name}{PARTIAL}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir()
    then = old.stat().st_mtime - STALE_S - 60
    os.utime(old, (then, then))
    opened(weights, cache)
    assert not old.exists()
    assert new.exists()


def test_two_who_make_the_same_at_once(
    weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = onnx_graph.write_graphs
    bundle = left(weights)

    def overtaken(folder: Path, *args: object) -> None:
        monkeypatch.setattr(onnx_graph, "write_graphs", write)
        opened(weights, cache)
        write(folder, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_graph, "write_graphs", overtaken)
    names = with_graphs(lambda f: sorted(os.listdir(f)), bundle.lm, "int8", bundle.left, cache)
    assert STEP in names
    assert len(kept(cache)) == 1


def test_what_was_used_longest_ago_goes_first(
    weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, precision in ((30, "int8"), (20, "int4")):
        opened(weights, cache, precision)
        newest = max(kept(cache), key=lambda folder: (folder / CARD).stat().st_mtime)
        then = (newest / CARD).stat().st_mtime - age
        os.utime(newest / CARD, (then, then))
    opened(weights, cache, "int8")  # used again: now int4 is the oldest
    size = sum(file.stat().st_size for folder in kept(cache) for file in folder.iterdir())
    monkeypatch.setattr(graph_files, "MAX_BYTES", size + 10_000)
    opened(weights, cache, "float32")
    told = [(folder / CARD).read_text() for folder in kept(cache)]
    assert sorted(("float32" in card, "int8" in card) for card in told) == [
        (False, True),
        (True, False),
    ]
