"""What the environment says: the only reader of `FANFARE_*` variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fanfare.errors import InputError


def _cache_dir() -> Path:
    """Where caches go by custom."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fanfare"


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


def read_settings() -> Settings:
    """The environment as it is now; InputError names the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"FANFARE_{str(first['loc'][0]).upper()}"
        hint = f"the environment variable is wrong: {first['msg']}"
        raise InputError(name, first["input"], hint) from None
