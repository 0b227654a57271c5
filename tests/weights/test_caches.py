"""What is in the caches is listed by name and removed; nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_hub import COMMITS, Hub, fake_hub
from fanfare.errors import CheckpointError, InputError
from fanfare.weights import fetch as fetching
from fanfare.weights.caches import cached_models, removable, remove
from fanfare.weights.registry import find, find_here
from web import Answer

MUSIC = {"config.json": b'{"model_type": "musicgen"}', "model.safetensors": b"s" * 500}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub and a web, and empty caches."""
    monkeypatch.setenv("FANFARE_CACHE_DIR", str(tmp_path / "fanfare"))
    monkeypatch.chdir(tmp_path)
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        yield hub


def test_no_caches(hub: Hub) -> None:
    assert cached_models() == []
    for name in ("small", "owner/model", f"{hub.web.url}/a"):
        with pytest.raises(CheckpointError, match="is in no cache"):
            removable(name)


def test_what_is_listed(hub: Hub) -> None:
    hub.publish("owner/tune", MUSIC)
    hub.publish("owner/audiocraft", {"state_dict.bin": b"a" * 300})
    hub.publish("owner/own", {"fanfare.json": b"{}", "lm.safetensors": b"l" * 100})
    hub.publish("google-t5/t5-base", {"config.json": b'{"model_type": "t5"}',
                                      "model.safetensors": b"t" * 200})  # fmt: skip
    hub.publish("other/words", {"config.json": b'{"model_type": "bert"}',
                                "model.safetensors": b"w"})  # fmt: skip
    hub.publish("other/broken", {"config.json": b"{", "model.safetensors": b"b"})
    for name in ("owner/tune", "owner/audiocraft", "owner/own", "t5-base", "other/words",
                 "other/broken"):  # fmt: skip
        find(name)
    url = f"{hub.web.url}/a/trained_model.tar"
    hub.web.answers["/a/trained_model.tar"] = Answer(b"x" * 50)
    path = find(f"{url}?signed=1")
    cached = {model.name: model for model in cached_models()}
    assert list(cached) == [
        "google-t5/t5-base", "owner/audiocraft", "owner/own", "owner/tune", url,
    ]  # fmt: skip
    assert cached["owner/tune"].size_bytes == sum(map(len, MUSIC.values()))
    assert cached["owner/tune"].revisions == (COMMITS[0],)
    assert (cached[url].path, cached[url].size_bytes) == (path, 50)
    assert cached[url].sha256 is not None


def test_a_model_of_the_hub_is_removed(hub: Hub) -> None:
    hub.publish("facebook/musicgen-small", MUSIC)
    hub.publish("owner/tune", MUSIC)
    find("small")
    find("owner/tune")
    cached = removable("small")
    assert cached.name == "facebook/musicgen-small"
    assert remove(cached) == cached.size_bytes == sum(map(len, MUSIC.values()))
    assert find_here("small") is None
    assert [model.name for model in cached_models()] == ["owner/tune"]


def test_a_revision_is_removed_and_what_others_need_stays(hub: Hub) -> None:
    newer = {**MUSIC, "model.safetensors": b"n" * 100}
    hub.publish("owner/tune", MUSIC)
    hub.publish("owner/tune", newer, commit=COMMITS[1], branch="v2")
    first = find("owner/tune")
    find("owner/tune@v2")
    for revision in (COMMITS[1], "v2"):
        assert removable(f"owner/tune@{revision}").revisions == (COMMITS[1],)
    assert remove(removable("owner/tune@v2")) == 100
    assert find_here("owner/tune") == first
    assert find_here("owner/tune@v2") is None
    with pytest.raises(CheckpointError, match="is in no cache"):
        removable("owner/tune@v2")


@pytest.mark.parametrize("shown", [True, False])
def test_a_file_of_the_web_is_removed(hub: Hub, shown: bool) -> None:
    hub.web.answers["/a"] = Answer(b"x" * 50)
    hub.web.answers["/b"] = Answer(b"y")
    url = f"{hub.web.url}/a"
    path = find(f"{url}?signed=1")
    other = find(f"{hub.web.url}/b")
    remove(removable(url if shown else f"{url}?signed=1"))
    assert not path.parent.exists()
    assert other.is_file()


def test_what_came_in_part_is_listed_and_removed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    hub.web.answers["/a"] = Answer(b"x" * 5000, cuts=[1000])
    with pytest.raises(CheckpointError):
        find(f"{hub.web.url}/a")
    (part,) = cached_models()
    assert (part.name, part.sha256) == (f"{hub.web.url}/a", None)
    assert part.size_bytes > 1000
    remove(removable(f"{hub.web.url}/a"))
    assert cached_models() == []


@pytest.mark.parametrize("name", ["epic-mini", "mine", "owner/model"])
def test_what_is_no_download_is_never_removed(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.publish("owner/model", MUSIC)
    find("owner/model")
    for folder in ("mine", "owner/model"):  # a path wins over the hub's model
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "fanfare.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="is no download"):
        removable(name)
