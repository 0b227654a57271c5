"""fanfare serve."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fanfare.cli.console import reported
from fanfare.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from fanfare.server.config import ServeConfig

COG_PORT = 5000


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0: any free one.", show_default="8000"),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Model to serve, as in generate; give it again for more, the first is the "
            "default.",
            show_default="epic-mini",
        ),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the store and the files.", show_default="the user's data"),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="What clients reach it by, such as https://music.me.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File of tokens that are let in, one a line. Also: FANFARE_TOKENS."),
    ] = None,
    anyone: Annotated[
        bool,
        typer.Option("--open", help="Let everyone in who reaches it, without any token."),
    ] = False,
    cog: Annotated[
        bool, typer.Option("--cog", help="Offer Cog's API, too, on a port of its own.")
    ] = False,
    cog_port: Annotated[int, typer.Option(min=0, max=65535, help="Its port.")] = COG_PORT,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, torch, onnxruntime (CPUs).")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, float16, int8, int4.")
    ] = None,
    memory_gb: Annotated[
        float | None, typer.Option(min=0, help="Memory that all loaded models share.")
    ] = None,
    max_queue: Annotated[
        int | None, typer.Option(min=1, help="Predictions that may wait.", show_default="256")
    ] = None,
    retention_h: Annotated[
        float | None,
        typer.Option(
            min=0, help="Hours after which music goes, unless starred.", show_default="kept"
        ),
    ] = None,
    allow_private_urls: Annotated[
        bool, typer.Option("--allow-private-urls", help="Fetch from, and call, private addresses.")
    ] = False,
    grace_s: Annotated[
        float,
        typer.Option(min=0, help="Seconds for what is played when the server is to stop."),
    ] = 20.0,
) -> None:
    """Serve the API that Replicate's clients know."""
    with reported():
        _check_installed()
        from fanfare.server.config import ServeConfig
        from fanfare.server.logs import configure
        from fanfare.settings import read_server_settings, read_settings

        given = {
            "host": host,
            "port": port,
            "home": home,
            "public_url": public_url,
            "device": device,
            "engine": engine,
            "dtype": dtype,
            "max_queue": max_queue,
            "retention_h": retention_h,
            "models": tuple(weights) if weights else None,
            "tokens": None if token_file is None else _tokens(token_file),
            "memory_budget_bytes": None if memory_gb is None else int(memory_gb * 1e9),
            "allow_private_urls": allow_private_urls or None,
        }
        chosen: dict[str, Any] = {n: value for n, value in given.items() if value is not None}
        config = replace(
            ServeConfig.from_settings(read_server_settings(), read_settings()), **chosen
        )
        _check_open(config, anyone=anyone, cog=cog)
        _check_models(config)
        configure()
        _serve(config, grace_s, cog_port if cog else None)


def _serve(config: ServeConfig, grace_s: float, cog_port: int | None) -> None:
    from fanfare.server.serving import Told, serve

    def listening(told: Told) -> None:
        typer.echo(f"Fanfare listens at {told.url}; music and store lie in {config.home}")
        if told.cog_url is not None:
            typer.echo(f"Cog's API is at {told.cog_url}")

    serve(config, grace_s=grace_s, cog_port=cog_port, listening=listening)


def _check_installed() -> None:
    for package in ("fastapi", "uvicorn", "sqlalchemy", "sse_starlette", "prometheus_client"):
        if find_spec(package) is None:
            command = 'pip install "fanfare-music[server]"'
            raise MissingExtraError(package, "fanfare serve", command)


def _check_open(config: ServeConfig, *, anyone: bool, cog: bool) -> None:
    """Whoever can reach a server without tokens can use it: that must be meant."""
    if config.is_loopback or anyone:
        return
    if cog:
        hint = "Cog's API has no tokens, and others reach this address: say --open if that is meant"
        raise InputError("cog", config.host, hint)
    if config.tokens:
        return
    hint = "others reach this address: set FANFARE_TOKENS or --token-file, or say --open"
    raise InputError("host", config.host, hint)


def _check_models(config: ServeConfig) -> None:
    """A name with a slip in it is better known now than by every prediction."""
    for name in config.models:
        if not name.strip():
            raise InputError("weights", name, "name a model")


def _tokens(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("token-file", str(path), f"can't be read: {error}") from None
    tokens = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not tokens:
        raise InputError("token-file", str(path), "holds no token: write one a line")
    return tokens
