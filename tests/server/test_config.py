"""What a server is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanfare.errors import InputError
from fanfare.server.config import ServeConfig
from fanfare.settings import read_server_settings, read_settings


def configured() -> ServeConfig:
    return ServeConfig.from_settings(read_server_settings(), read_settings())


@pytest.fixture(autouse=True)
def _a_bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "HOST", "PORT", "TOKENS", "MODELS", "WEIGHTS", "PUBLIC_URL"):
        monkeypatch.delenv(f"FANFARE_{name}", raising=False)


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    config = configured()
    assert config.home == Path("/data/fanfare")
    assert (config.host, config.port, config.tokens) == ("127.0.0.1", 8000, ())
    assert config.models == ("epic-mini",)
    assert config.is_loopback
    assert config.base_url == "http://127.0.0.1:8000"
    assert config.retention_h is None


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": "/srv/fanfare",
        "PUBLIC_URL": "https://music.example/",
        "TOKENS": " r8_one, r8_two ,",
        "MODELS": "epic-mini,facebook/musicgen-small",
        "RETENTION_H": "1.5",
        "MAX_DURATION_S": "30",
        "DEVICE": "cpu",
        "ALLOW_PRIVATE_URLS": "true",
    }.items():
        monkeypatch.setenv(f"FANFARE_{name}", value)
    config = configured()
    assert config.home == Path("/srv/fanfare")
    assert config.base_url == "https://music.example"
    assert config.tokens == ("r8_one", "r8_two")
    assert config.models == ("epic-mini", "facebook/musicgen-small")
    assert (config.retention_h, config.max_duration_s, config.device) == (1.5, 30, "cpu")
    assert config.allow_private_urls
    assert "r8_" not in repr(config)


def test_weights_are_what_is_served_when_no_models_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FANFARE_WEIGHTS", "/models/mine")
    assert configured().models == ("/models/mine",)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("DATA_URIS", "maybe"), ("RETENTION_H", "-1"), ("MAX_QUEUE", "0")],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FANFARE_{name}", value)
    with pytest.raises(InputError) as caught:
        read_server_settings()
    assert caught.value.field == f"FANFARE_{name}"


def test_a_wrong_token_isn_t_shown() -> None:
    with pytest.raises(InputError) as caught:
        ServeConfig(Path("/x"), tokens=("hush hush",))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "music.example",
        "ftp://a.example",
        "https://",
        "https://u:p@a.example",
        "https://a.example/?x",
        "https://a.example:x",
    ],
)
def test_wrong_public_urls(url: str) -> None:
    with pytest.raises(InputError):
        ServeConfig(Path("/x"), public_url=url)


@pytest.mark.parametrize(
    ("changes", "returned"),
    [
        ({}, True),
        ({"public_url": "http://music.example"}, True),
        ({"public_url": "https://music.example"}, False),
        ({"public_url": "https://music.example", "data_uris": "always"}, True),
        ({"data_uris": "never"}, False),
    ],
)
def test_music_is_returned_whole_where_clients_make_no_file_of_a_url(
    changes: dict[str, str], returned: bool
) -> None:
    assert ServeConfig(Path("/x"), **changes).returns_data_uris is returned  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "is_loopback", "base_url"),
    [
        ("localhost", True, "http://localhost:8000"),
        ("::1", True, "http://[::1]:8000"),
        ("0.0.0.0", False, "http://127.0.0.1:8000"),
        ("::", False, "http://127.0.0.1:8000"),
        ("192.168.1.5", False, "http://192.168.1.5:8000"),
        ("music.example", False, "http://music.example:8000"),
    ],
)
def test_hosts(host: str, is_loopback: bool, base_url: str) -> None:
    config = ServeConfig(Path("/x"), host=host)
    assert config.is_loopback is is_loopback
    assert config.base_url == base_url
    assert base_url in config.base_urls


def test_what_the_worker_is_told(tmp_path: Path) -> None:
    config = ServeConfig(tmp_path, tokens=("hush",), models=("a", "b"), retention_h=2.5)
    told = config.to_json()
    assert "hush" not in told
    again = ServeConfig.from_json(told)
    assert again == ServeConfig(tmp_path, models=("a", "b"), retention_h=2.5)
