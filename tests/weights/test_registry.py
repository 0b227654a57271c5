"""Names of models become folders; only hub models touch the network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from fanfare.errors import CheckpointError
from fanfare.weights import registry
from fanfare.weights.registry import find


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """A hub whose every repository is `tmp_path / "hub"`, and what it is asked for."""
    calls: list[tuple[str, list[str]]] = []
    (tmp_path / "hub").mkdir()

    def snapshot_download(hub_id: str, allow_patterns: list[str]) -> str:
        calls.append((hub_id, allow_patterns))
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_a_path_wins_over_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[object]
) -> None:
    (tmp_path / "owner" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find("owner/model") == Path("owner/model")
    assert find(tmp_path) == tmp_path
    assert asked == []


def test_built_in_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "fanfare.json").write_text("{}")
    monkeypatch.setattr(registry, "BUILTIN", tmp_path)
    assert find("inside") == tmp_path / "inside"
    with pytest.raises(CheckpointError, match="built-in inside"):
        find("outside")


@pytest.mark.parametrize("has_config", [True, False])
def test_hub_weights_are_fetched_in_one_format_only(
    tmp_path: Path, asked: list[tuple[str, list[str]]], has_config: bool
) -> None:
    if has_config:
        (tmp_path / "hub" / "config.json").write_text("{}")
    assert find("owner/model") == tmp_path / "hub"
    patterns = asked[-1][1]
    assert ("*.safetensors" in patterns) == has_config
    assert ("state_dict.bin" in patterns) != has_config


def test_a_hub_out_of_reach_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise FileNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(CheckpointError, match="couldn't be had from the hub: no connection"):
        find("owner/model")


@pytest.mark.parametrize("name", ["../etc", "a/b/c", "http://x/y", "/no/such/folder"])
def test_what_is_no_name_is_never_looked_up(name: str, asked: list[object]) -> None:
    with pytest.raises(CheckpointError):
        find(name)
    assert asked == []
