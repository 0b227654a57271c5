"""What the routes of one app share, and how they come by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from anyio import CapacityLimiter
from fastapi import Depends, Request

from fanfare.rules import Rules
from fanfare.server.auth import Tokens
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files
from fanfare.server.growing import Growing
from fanfare.server.hints import Hints
from fanfare.server.limits import Room
from fanfare.server.metrics import Metrics
from fanfare.server.problems import unauthenticated
from fanfare.server.store import Store
from fanfare.server.versions import Catalogue, Version
from fanfare.server.views import Views


class Supervisor(Protocol):
    """Who looks after the worker, as far as the API knows it. Every method returns at once."""

    def wake(self) -> None:
        """There is something to do: a new prediction, or one to cancel. From any thread."""

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call `changed(prediction id)`, from any thread, for every hint of the worker's."""

    def state(self) -> str:
        """starting, ready, busy or failed."""

    def figures(self) -> Mapping[str, float]:
        """What the worker last said of itself, by name; for Prometheus."""

    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """Where the worker last said that each model is, by name."""

    def shelve(self, name: str, *, is_wanted: bool) -> bool:
        """Have a model loaded, or let go; False when there is no worker to do it."""


@dataclass(frozen=True)
class Service:
    """One server as its routes see it."""

    config: ServeConfig
    store: Store
    files: Files
    growing: Growing
    supervisor: Supervisor | None
    tokens: Tokens
    catalogue: Catalogue
    views: Views
    hints: Hints
    room: Room
    metrics: Metrics
    creating: CapacityLimiter
    """Threads that may create predictions at a time: the store takes one after the other anyway,
    and those who only read must not wait for a thread behind a crowd of them."""

    def rules(self, version: Version) -> Rules:
        """What requests of a version may ask for here."""
        config = self.config
        return version.rules.within(
            max_duration_s=config.max_duration_s, max_prompt_chars=config.max_prompt_chars
        )

    def wake_worker(self) -> None:
        """Tell the worker that there is something to do; without it, it finds out by itself."""
        if self.supervisor is not None:
            self.supervisor.wake()

    def owner(self, request: Request) -> str | None:
        """The caller's owner; None: the caller has shown no valid token."""
        return self.tokens.owner(request.headers.get("authorization"))


async def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


async def _owner(request: Request, service: Annotated[Service, Depends(_service)]) -> str:
    owner = service.owner(request)
    if owner is None:
        raise unauthenticated()
    return owner


# Coroutines, so that no thread is taken for them.
HasService = Annotated[Service, Depends(_service)]
HasOwner = Annotated[str, Depends(_owner)]
