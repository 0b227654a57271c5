"""The API as one ASGI app."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from anyio import CapacityLimiter
from fastapi import FastAPI

from fanfare.server import (
    downloads,
    models,
    operations,
    playground,
    predictions,
    streams,
    uploads,
)
from fanfare.server.auth import Tokens
from fanfare.server.config import ServeConfig
from fanfare.server.envelope import Envelope
from fanfare.server.files import Files
from fanfare.server.growing import Growing
from fanfare.server.hints import Hints, marks_in
from fanfare.server.limits import BodyLimit, Room
from fanfare.server.metrics import Metrics
from fanfare.server.problems import DOCUMENTED, add_handlers
from fanfare.server.service import Service, Supervisor
from fanfare.server.store import Store
from fanfare.server.versions import Catalogue
from fanfare.server.views import Views
from fanfare.version import fanfare_version

N_CREATING = 2
BackgroundTask = Callable[[], Awaitable[None]]


def create_app(
    config: ServeConfig,
    store: Store,
    files: Files,
    supervisor: Supervisor | None = None,
    *,
    tasks: Sequence[BackgroundTask] = (),
) -> FastAPI:
    """The app of a server.

    Args:
        tasks: coroutine functions that run as long as the app does, and are cancelled at its end:
            the supervisor, the delivery of webhooks, the cleaner.
    """
    service = create_service(config, store, files, supervisor)
    app = FastAPI(
        title="Fanfare",
        version=fanfare_version(),
        description="Text to music, by the API of Replicate.",
        lifespan=_running(tasks),
        responses=DOCUMENTED,
        docs_url=None,
        redoc_url=None,
        # Redirects would be built of whatever Host the client names.
        redirect_slashes=False,
    )
    app.state.service = service
    add_handlers(app)
    # The stream's route stands before the file's: its path has the same shape.
    for routes in (predictions, streams, uploads, downloads, models, operations):
        app.include_router(routes.router)
    playground.install(app, service)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit,
        max_body_bytes=config.max_body_bytes,
        max_upload_bytes=config.max_upload_bytes,
    )
    app.add_middleware(Envelope, metrics=service.metrics, room=service.room)
    return app


def create_service(
    config: ServeConfig, store: Store, files: Files, supervisor: Supervisor | None
) -> Service:
    """What the routes share."""
    hints = Hints(marks_in(store))
    if supervisor is not None:
        supervisor.listen(hints.changed)

    def figures() -> Mapping[str, float]:
        return {} if supervisor is None else supervisor.figures()

    return Service(
        config=config,
        store=store,
        files=files,
        growing=Growing(config.home),
        supervisor=supervisor,
        tokens=Tokens(config.tokens),
        catalogue=Catalogue(config.models),
        views=Views(config, files),
        hints=hints,
        room=Room(config.max_queue),
        metrics=Metrics(store.counts, figures),
        creating=CapacityLimiter(N_CREATING),
    )


def _running(
    tasks: Sequence[BackgroundTask],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.ensure_future(task()) for task in tasks]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    return lifespan
