"""The environment."""

from __future__ import annotations

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
