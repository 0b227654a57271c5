"""The separator's file: both layouts, and whatever else lies under their names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fake_hub import fake_hub
from fanfare.errors import CheckpointError, InputError, MissingExtraError
from fanfare.weights import separator as module
from fanfare.weights.separator import CACHED_PICKLE, find_separator, load_separator
from stems import STEMS, write_separator

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    load_separator.cache_clear()
    module._published.cache_clear()


def test_both_layouts_make_the_same_separator(tmp_path: Path) -> None:
    files = [
        write_separator(tmp_path / f"tiny.{layout}", layout) for layout in ("safetensors", "th")
    ]
    first, second = (load_separator(file, CPU) for file in files)
    for loaded in (first, second):
        assert (loaded.stems, loaded.sample_rate_hz) == (tuple(STEMS), 44100)
        assert loaded.window_s == 0.5
        assert not loaded.network.training
    states = first.network.state_dict(), second.network.state_dict()
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert value.dtype == torch.float32, key
        assert torch.equal(value, states[1][key]), key


def test_is_kept_for_the_next_request(tmp_path: Path) -> None:
    file = write_separator(tmp_path / "tiny.th", "th")
    assert load_separator(file, CPU) is load_separator(file, CPU)


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.file),)


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file = write_separator(tmp_path / "bad.th", "th", training_args=Malice(trace))
    with pytest.raises(CheckpointError, match="more than an HTDemucs"):
        load_separator(file, CPU)
    assert not trace.exists()


@pytest.mark.parametrize(("layout", "changes", "words"), [
    ("th", {"klass": "HTDemucs"}, "not an HTDemucs"),
    ("th", {"kwargs": {"channels": 8}}, "doesn't make an HTDemucs"),
    ("th", {"args": (["a", "b", "c", "d"],)}, "not voices"),
    ("th", {"state": {}}, "doesn't make an HTDemucs"),
    ("safetensors", {"klass": "os.system"}, "not an HTDemucs"),
    ("safetensors", {"args": "["}, "damaged"),
    ("safetensors", {"args": json.dumps([STEMS, 3])}, "doesn't make an HTDemucs"),
])  # fmt: skip
def test_other_networks_are_refused(
    tmp_path: Path, layout: Any, changes: dict[str, Any], words: str
) -> None:
    file = write_separator(tmp_path / f"other.{layout}", layout, **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_separator(file, CPU)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("ending", ["th", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(3000), b"\x80\x02}."])
def test_damaged_files_are_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    file = tmp_path / f"bad.{ending}"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=file.name):
        load_separator(file, CPU)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    for layout in ("th", "safetensors"):
        file = write_separator(tmp_path / f"cut.{layout}", layout)  # type: ignore[arg-type]
        file.write_bytes(file.read_bytes()[:-500])
        with pytest.raises(CheckpointError, match=file.name):
            load_separator(file, CPU)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    file = write_separator(tmp_path / "mine.th", "th")
    assert find_separator(str(file)) == file
    with pytest.raises(InputError, match="FANFARE_SEPARATOR"):
        find_separator(str(tmp_path / "none.th"))


def test_what_earlier_tools_fetched_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = write_separator(folder / CACHED_PICKLE, "th")
    assert find_separator() == file


def test_the_published_file_comes_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    made = write_separator(tmp_path / "made.safetensors", "safetensors")
    files = {"README.md": b"", "htdemucs.yaml": b"", "955717e8.safetensors": made.read_bytes()}
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        hub.publish("adefossez/HTDemucs", files)
        found = find_separator()
        assert hub.fetched() == ["955717e8.safetensors"]
    assert load_separator(found, CPU).stems == tuple(STEMS)


def test_the_hub_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def find(source: str) -> Path:
        asked.append(source)
        raise CheckpointError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(module, "find", find)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="no network"):
            find_separator()
    assert asked == ["adefossez/HTDemucs"]


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fanfare-music\[melody\]'"):
        find_separator()
