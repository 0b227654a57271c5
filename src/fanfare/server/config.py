"""ServeConfig: everything that one server is told, checked once."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from fanfare.errors import InputError
from fanfare.settings import ServerSettings, Settings

DataUris = Literal["auto", "always", "never"]

REPLICATE_MODEL = "fofr/musicgen-epic"
"""Offered by every server; its first model answers for it."""
REPLICATE_VERSION = "3c7800f676fca11d742d7589f72db1dd6c8cc65a1274c952e381eaef3a3c9b43"


@dataclass(frozen=True)
class ServeConfig:
    """One server.

    Attributes:
        home: the folder of its store and its files.
        public_url: what clients reach it by; None = `http://host:port`.
        tokens: who is let in; none = everyone, all as one owner.
        models: names, folders or hub ids of what is served; the first is the default.
        max_storage_bytes: uploads and music together.
        max_queue: how many predictions may wait.
        max_tries: how often a prediction is begun before it fails for good.
        retention_h: hours after which inputs and music go, unless starred; None = kept.
        url_ttl_s: how long a file's URL holds.
        prediction_timeout_s: how long a prediction may run.
        memory_budget_bytes: what loaded models share; None = no limit.
        allow_private_urls: whether audio and webhooks may go to private addresses.
        data_uris: whether music is returned inside the answer; auto = where there is no TLS, since
            the clients make files of `https:` and `data:` alone.
        device, engine, dtype: as in `fanfare.load`.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str | None = None
    tokens: tuple[str, ...] = field(default=(), repr=False)
    models: tuple[str, ...] = ("epic-mini",)
    max_duration_s: int = 600
    max_prompt_chars: int = 4000
    max_audio_s: int = 600
    max_upload_bytes: int = 64 * 2**20
    max_body_bytes: int = 16 * 2**20
    max_storage_bytes: int = 64 * 2**30
    max_queue: int = 256
    max_tries: int = 2
    retention_h: float | None = None
    url_ttl_s: int = 24 * 3600
    prediction_timeout_s: int = 1800
    memory_budget_bytes: int | None = None
    allow_private_urls: bool = False
    data_uris: DataUris = "auto"
    device: str = "auto"
    engine: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("models", self.models, "name at least one model")
        for token in self.tokens:
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise InputError("tokens", "a secret", "a token is printable ASCII without spaces")
        if self.public_url is not None:
            object.__setattr__(self, "public_url", _checked_url(self.public_url))

    @property
    def base_url(self) -> str:
        """What every URL that the server hands out begins with; no slash at its end."""
        return self.public_url or f"http://{_in_url(self.host)}:{self.port}"

    @property
    def base_urls(self) -> tuple[str, ...]:
        """All that this server's own URLs may begin with: where clients send them back to it."""
        hosts = dict.fromkeys((_in_url(self.host), "127.0.0.1", "localhost", "[::1]"))
        return (self.base_url, *(f"http://{host}:{self.port}" for host in hosts))

    @property
    def returns_data_uris(self) -> bool:
        """Whether music is returned inside the answer instead of by its URL."""
        if self.data_uris == "auto":
            return not self.base_url.startswith("https://")
        return self.data_uris == "always"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def to_json(self) -> str:
        """All but the tokens, for the worker, which has no use for them."""
        return json.dumps({**asdict(self), "home": str(self.home), "tokens": []})

    @classmethod
    def from_json(cls, text: str) -> ServeConfig:
        """What `to_json` wrote."""
        values = json.loads(text)
        lists = {name: tuple(values[name]) for name in ("tokens", "models")}
        return cls(**{**values, **lists, "home": Path(values["home"])})

    @classmethod
    def from_settings(cls, serve: ServerSettings, settings: Settings) -> ServeConfig:
        """What the environment says; InputError names what is wrong."""
        shared = {name: getattr(settings, name) for name in ("device", "engine", "dtype")}
        own = {
            name: getattr(serve, name)
            for name in ServerSettings.model_fields
            if name not in {"tokens", "models", "home"}
        }
        return cls(
            **own,
            **shared,
            home=serve.home.expanduser(),
            tokens=_split(serve.tokens.get_secret_value()),
            models=_split(serve.models) or (settings.weights,),
            max_duration_s=settings.max_duration_s,
            max_audio_s=settings.max_audio_s,
        )


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _in_url(host: str) -> str:
    """A host as a URL has it; those that stand for every address become this machine."""
    if host in {"0.0.0.0", "::", ""}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or parts.query or parts.fragment or parts.username is not None:
        raise InputError("public_url", url, "give it as https://name, with a port if need be")
    return url.rstrip("/")
