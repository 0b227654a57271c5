"""serve: one server, from its start until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

import uvicorn
from fastapi import FastAPI
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from fanfare.errors import InputError, OutputError
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files
from fanfare.server.hints import Hints
from fanfare.server.store import Store
from fanfare.server.supervisor import Supervisor

log = logging.getLogger(__name__)

LOCK = "serve.lock"
BACKLOG = 2048


@dataclass(frozen=True)
class Told:
    """A server that listens: at which URLs."""

    url: str
    cog_url: str | None = None


def serve(
    config: ServeConfig,
    *,
    grace_s: float = 20.0,
    cog_port: int | None = None,
    listening: Callable[[Told], None] = lambda told: None,
) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP loads the weights anew.

    Args:
        grace_s: given to what is being played when the server is to stop; what isn't done by then
            is played after the next start.
        cog_port: where Cog's API is offered beside Replicate's; None = not at all.
        listening: is called once clients can come.

    Raises InputError when an address can't be had, OutputError when another server has the home.
    """
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(str(config.home / LOCK), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another server uses {config.home}: stop it, or give this one another --home"
        ) from None
    with lock:
        opened = _opened(config.host, config.port)
        config = replace(config, port=int(opened.getsockname()[1]))
        cog = None if cog_port is None else _opened(config.host, cog_port)
        _run(config, opened, cog, grace_s, listening)


def _run(
    config: ServeConfig,
    opened: socket.socket,
    cog: socket.socket | None,
    grace_s: float,
    listening: Callable[[Told], None],
) -> None:
    store = Store(config.home)
    files = Files(config.home, store, max_storage_bytes=config.max_storage_bytes)
    supervisor = Supervisor(config, store)
    supervisor.start()
    try:
        app = _app(config, store, files, supervisor)
        servers = [_Server(app, opened, grace_s)]
        told = Told(config.base_url)
        if cog is not None:
            from fanfare.server.cog import create_cog_app

            stop = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
            servers.append(_Server(create_cog_app(app.state.service, stop), cog, grace_s))
            told = replace(told, cog_url=f"http://{config.host}:{cog.getsockname()[1]}")
        hints = app.state.service.hints
        with _signals(servers, supervisor, hints, grace_s):
            asyncio.run(_together(servers, lambda: listening(told)))
    finally:
        supervisor.stop(grace_s)
        store.close()


def _app(config: ServeConfig, store: Store, files: Files, supervisor: Supervisor) -> FastAPI:
    """Replicate's API, and what goes on behind it."""
    # Imported only now: it takes a second in which the worker's start is under way already.
    from fanfare.server.app import create_app
    from fanfare.server.cleaner import Cleaner
    from fanfare.server.views import Views
    from fanfare.server.webhooks import Webhooks

    view = Views(config, files).prediction
    webhooks = Webhooks(store, view, allow_private=config.allow_private_urls)
    cleaner = Cleaner(store, files, config.retention_h)
    return create_app(config, store, files, supervisor, tasks=[webhooks.run, cleaner.run])


async def _together(servers: list[_Server], listening: Callable[[], None]) -> None:
    running = [asyncio.ensure_future(server.run()) for server in servers]
    while not all(server.started for server in servers):
        if any(task.done() for task in running):
            break
        await asyncio.sleep(0.01)
    else:
        listening()
    await asyncio.gather(*running)


class _Server(uvicorn.Server):
    """A server on a socket that is open already."""

    def __init__(self, app: ASGIApp, opened: socket.socket, grace_s: float) -> None:
        self._opened = opened
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                lifespan="on",
                timeout_graceful_shutdown=max(1, round(grace_s)),
            )
        )

    async def run(self) -> None:  # type: ignore[override]
        """Serve until stopped."""
        await self.serve(sockets=[self._opened])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are not this server's alone."""
        yield


@contextmanager
def _signals(
    servers: list[_Server], supervisor: Supervisor, hints: Hints, grace_s: float
) -> Iterator[None]:
    """What signals mean while servers run."""

    def end() -> None:
        supervisor.stop(grace_s)
        hints.stop()  # what isn't done now waits for the next start, and nobody for it

    def stop(number: int, frame: FrameType | None) -> None:
        log.info("stopping")
        # At once, so that the worker ends while clients still wait for what it finishes.
        threading.Thread(target=end, daemon=True).start()
        for server in servers:
            server.handle_exit(number, frame)

    def reload(number: int, frame: FrameType | None) -> None:
        supervisor.reload()

    meant: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGINT: stop,
        signal.SIGTERM: stop,
    }
    if hasattr(signal, "SIGHUP"):
        meant[signal.SIGHUP] = reload
    before = {number: signal.signal(number, handler) for number, handler in meant.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _opened(host: str, port: int) -> socket.socket:
    """A socket that listens; InputError when the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio turns off the delay of small answers (40 ms) only for what says TCP.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise InputError("port", f"{host}:{port}", f"can't be used: {error.strerror}") from None
    opened.set_inheritable(False)
    return opened
