"""What the environment says: the only reader of `FANFARE_*` variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fanfare.errors import InputError

S = TypeVar("S", bound=BaseSettings)


def _cache_dir() -> Path:
    """Where caches go by custom."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fanfare"


def _data_dir() -> Path:
    """Where programs keep what isn't theirs to throw away, by each platform's custom."""
    if sys.platform == "darwin":
        return Path("~/Library/Application Support/fanfare").expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser() / "fanfare"
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "fanfare"


class Settings(BaseSettings):
    """Defaults of a machine; an argument or a flag wins over each of them."""

    model_config = SettingsConfigDict(env_prefix="FANFARE_", frozen=True, extra="ignore")

    weights: str = Field(
        default="epic-mini", description="Model to load: a built-in name, folder or hub id"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps …")
    engine: str = Field(default="auto", description="auto, torch, onnxruntime")
    dtype: str = Field(default="auto", description="auto, float32, bfloat16, float16, int8, int4")
    max_duration_s: int = Field(
        default=600, ge=1, description="Longest `duration` a request may ask for"
    )
    max_audio_s: int = Field(default=600, ge=1, description="Most seconds read from an audio input")
    max_audio_bytes: int = Field(default=256 * 2**20, ge=1, description="Largest audio input")
    cache_dir: Path = Field(
        default_factory=_cache_dir,
        description="Where weights fetched by URL are kept, and graphs made of weights",
    )
    max_weights_bytes: int = Field(
        default=64 * 2**30, ge=1, description="Largest file of weights fetched by URL"
    )
    melody_separation: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Whether melody models hear a recording without drums and bass; auto = if the "
        "separator is at hand",
    )
    separator: str = Field(
        default="htdemucs", description="What separates: htdemucs, or the path of its file"
    )


class ServerSettings(BaseSettings):
    """Defaults of `fanfare serve` beside those of `Settings`; a flag wins over each of them."""

    model_config = SettingsConfigDict(env_prefix="FANFARE_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=_data_dir, description="Where the server keeps its store and its files"
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on")
    public_url: str | None = Field(
        default=None, description="What clients reach the server by, such as https://music.me"
    )
    tokens: SecretStr = Field(
        default=SecretStr(""), description="Tokens that are let in, separated by commas"
    )
    models: str = Field(
        default="", description="Models to serve, separated by commas; empty = `weights`"
    )
    max_prompt_chars: int = Field(default=4000, ge=1, description="Longest `prompt`")
    max_upload_bytes: int = Field(default=64 * 2**20, ge=1, description="Largest uploaded file")
    max_body_bytes: int = Field(default=16 * 2**20, ge=1, description="Largest JSON body")
    max_storage_bytes: int = Field(
        default=64 * 2**30, ge=1, description="Most bytes kept in files, uploads and music together"
    )
    max_queue: int = Field(default=256, ge=1, description="Most predictions that may wait")
    max_tries: int = Field(
        default=2, ge=1, description="Times a prediction is begun before it fails for good"
    )
    retention_h: float | None = Field(
        default=None,
        gt=0,
        description="Hours after which inputs and music go, unless starred; unset = kept",
    )
    url_ttl_s: int = Field(default=24 * 3600, ge=1, description="Seconds that a file's URL holds")
    prediction_timeout_s: int = Field(
        default=1800, ge=1, description="Longest time that a prediction may run"
    )
    memory_budget_bytes: int | None = Field(
        default=None, ge=1, description="Memory that loaded models share; unset = no limit"
    )
    allow_private_urls: bool = Field(
        default=False,
        description="Whether audio is fetched from, and webhooks sent to, private addresses",
    )
    data_uris: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether music is returned as a data: URI; auto = if clients come without TLS",
    )


def read_server_settings() -> ServerSettings:
    """The environment as it is now; InputError names the variable that is wrong."""
    return _read(ServerSettings)


def read_settings() -> Settings:
    """The environment as it is now; InputError names the variable that is wrong."""
    return _read(Settings)


def _read(kind: type[S]) -> S:
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"FANFARE_{str(first['loc'][0]).upper()}"
        got = "a secret" if name == "FANFARE_TOKENS" else first["input"]
        hint = f"the environment variable is wrong: {first['msg']}"
        raise InputError(name, got, hint) from None
