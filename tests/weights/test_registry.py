"""Names of models become paths; only those of the hub and of the web touch the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from fake_hub import COMMITS, Hub, fake_hub
from fanfare.errors import CheckpointError
from fanfare.weights import registry
from fanfare.weights.fetch import WebFile
from fanfare.weights.hub import HubModel
from fanfare.weights.registry import BUILTIN, find, find_here, identity, place_of
from web import Answer

FILES = {"config.json": b"{}", "model.safetensors": b"s", "README.md": b"---\nlicense: mit\n---\n"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, empty caches, and an empty current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FANFARE_CACHE_DIR", str(tmp_path / "fanfare"))
    with fake_hub(tmp_path / "hub", monkeypatch) as hub:
        yield hub


def test_a_path_wins_over_everything(hub: Hub) -> None:
    for name in ("owner/model", "small", "epic-mini"):
        Path(name).mkdir(parents=True)
        assert find(name) == Path(name)
        assert find(Path(name).absolute()) == Path(name).absolute()
    assert hub.asked() == []


def test_built_in_models_are_found_by_name(hub: Hub) -> None:
    assert find("epic-mini") == BUILTIN / "epic-mini"
    assert registry.builtin() == ["epic-mini"]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("small", HubModel("facebook/musicgen-small")),
        ("stereo-melody-large", HubModel("facebook/musicgen-stereo-melody-large")),
        ("melody@refs/pr/3", HubModel("facebook/musicgen-melody", "refs/pr/3")),
        ("mbd", HubModel("facebook/multiband-diffusion")),
        ("t5-base", HubModel("google-t5/t5-base")),
        ("encodec_32khz", HubModel("facebook/encodec_32khz")),
        ("owner/model", HubModel("owner/model")),
        ("owner/model@v1.0", HubModel("owner/model", "v1.0")),
        ("https://huggingface.co/owner/model", HubModel("owner/model")),
        ("https://a.example/b/trained_model.tar", WebFile("https://a.example/b/trained_model.tar")),
        (f"https://a.example/b?c#sha256={'a' * 64}", WebFile("https://a.example/b?c", "a" * 64)),
    ],
)
def test_places(hub: Hub, name: str, place: object) -> None:
    assert place_of(name) == place
    assert find_here(name) is None
    assert hub.asked() == []


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("../etc", "there is no such path$"),
        ("a/b/c", "there is no such path$"),
        ("./owner/model", "there is no such path$"),
        ("/no/such/folder", "there is no such path$"),
        (Path("small"), "there is no such path"),
        ("http://x/y", "http://x/y isn't fetched: only https is"),
        ("file:///etc/passwd", "only https is"),
        ("smal", "did you mean 'small'"),
        ("drums", "the names are epic-mini, small, medium, .* htdemucs$"),
        ("small@", "there is no such path"),
        ("https://a.example/" + "x" * 5000 + "#", None),
        ("x" * 5000, "there is no such path"),
    ],
)
def test_what_is_no_name_is_never_looked_up(
    hub: Hub, name: str | Path, complaint: str | None
) -> None:
    if complaint is None:
        assert isinstance(place_of(name), WebFile)
    else:
        with pytest.raises(CheckpointError, match=complaint):
            find(name)
    assert hub.asked() == []


def test_a_short_name_is_a_hub_model(hub: Hub) -> None:
    hub.publish("facebook/musicgen-stereo-small", FILES)
    folder = find("stereo-small")
    assert find("facebook/musicgen-stereo-small") == folder == find_here("stereo-small")
    assert folder.name == COMMITS[0]
    assert identity(folder).name == "facebook/musicgen-stereo-small"
    assert identity(folder).licence == "CC-BY-NC-4.0"
    hub.asked()
    hub.publish("facebook/musicgen-stereo-small", FILES, commit=COMMITS[1])
    assert find("stereo-small") == folder
    assert find("stereo-small", newest=True).name == COMMITS[1]


def test_a_url_is_a_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.web.answers["/pbxt/Ab1"] = Answer(b"weights")
    url = f"{hub.web.url}/pbxt/Ab1"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"OFFLINE is set; .* fanfare models pull http"):
        find(url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    path = find(url)
    assert (path.name, path.read_bytes()) == ("Ab1", b"weights")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find(url) == path == find_here(url)
    assert identity(path).licence is None


def test_the_limit_of_the_settings(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.web.answers["/a"] = Answer(b"weights")
    monkeypatch.setenv("FANFARE_MAX_WEIGHTS_BYTES", "6")
    with pytest.raises(CheckpointError, match="larger than 6 bytes"):
        find(f"{hub.web.url}/a")
