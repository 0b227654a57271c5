"""The environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanfare.errors import InputError
from fanfare.settings import read_settings


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEIGHTS", "DEVICE", "MAX_DURATION_S"):
        monkeypatch.delenv(f"FANFARE_{name}", raising=False)
    settings = read_settings()
    assert settings.weights == "epic-mini"
    assert settings.device == "auto"
    assert settings.max_duration_s == 600


def test_variables_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANFARE_WEIGHTS", "/models/mine")
    monkeypatch.setenv("FANFARE_MAX_DURATION_S", "45")
    assert read_settings().weights == "/models/mine"
    assert read_settings().max_duration_s == 45
    monkeypatch.delenv("FANFARE_WEIGHTS")
    assert read_settings().weights == "epic-mini"


@pytest.mark.parametrize("value", ["", "x", "0", "-4", "1.5"])
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FANFARE_MAX_DURATION_S", value)
    with pytest.raises(InputError) as caught:
        read_settings()
    assert caught.value.field == "FANFARE_MAX_DURATION_S"


def test_the_cache_goes_where_caches_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FANFARE_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert read_settings().cache_dir == tmp_path / "fanfare"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert read_settings().cache_dir == tmp_path / "home" / ".cache" / "fanfare"
    monkeypatch.setenv("FANFARE_CACHE_DIR", str(tmp_path / "mine"))
    assert read_settings().cache_dir == tmp_path / "mine"
