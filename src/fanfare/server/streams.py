"""A prediction as it happens: its events (SSE), and its sound while it is being made."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import FileResponse, Response, StreamingResponse

from fanfare.server.problems import ProblemError, not_found, unauthenticated
from fanfare.server.records import Prediction
from fanfare.server.service import HasService, Service
from fanfare.server.views import STREAM_PREFIX

router = APIRouter(prefix="/v1", tags=["streams"])

PING_S = 10
GROWTH_POLL_S = 0.1
CHUNK_BYTES = 64 * 1024
CONTENT_TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg"}


class BrokenStreamError(Exception):
    """The sound ends here, but not because it is whole: the connection must show it."""


@router.get("/files/" + STREAM_PREFIX + "{token}", response_class=EventSourceResponse)
async def stream_by_token(token: str, service: HasService) -> Response:
    """A prediction's events, by the URL that is its `urls.stream`."""
    prediction = await anyio.to_thread.run_sync(service.store.prediction_by_stream, token)
    if prediction is None:
        raise not_found()
    return _events_of(service, prediction)


@router.get("/predictions/{prediction_id}/stream", response_class=EventSourceResponse)
async def stream(
    prediction_id: str, request: Request, service: HasService, token: str = ""
) -> Response:
    """The same by a prediction's id, with a bearer token or the stream's own."""
    return _events_of(service, await _allowed(service, request, prediction_id, token))


async def _allowed(
    service: Service, request: Request, prediction_id: str, token: str
) -> Prediction:
    """A prediction for who holds its stream's token, or its owner's."""
    store = service.store
    if token:
        prediction = await anyio.to_thread.run_sync(store.prediction_by_stream, token)
        if prediction is None or prediction.id != prediction_id:
            raise not_found()
        return prediction
    owner = service.owner(request)
    if owner is None:
        raise unauthenticated()
    prediction = await anyio.to_thread.run_sync(store.prediction, prediction_id, owner)
    if prediction is None:
        raise not_found()
    return prediction


def _events_of(service: Service, prediction: Prediction) -> Response:
    return EventSourceResponse(
        _events(service, prediction.id),
        ping=PING_S,
        headers={"Cache-Control": "no-store"},
        sep="\n",
    )


async def _events(service: Service, prediction_id: str) -> AsyncIterator[ServerSentEvent]:
    """Logs as they come, then the output or the error, then done. Each has an id: clients ignore
    events without."""
    n_told, n_events = 0, 0

    def event(name: str, data: str) -> ServerSentEvent:
        nonlocal n_events
        n_events += 1
        return ServerSentEvent(data, event=name, id=f"{int(time.time())}:{n_events - 1}", sep="\n")

    with service.hints.watch(prediction_id) as watch:
        while True:
            now = await anyio.to_thread.run_sync(service.store.prediction, prediction_id, None)
            if now is None:
                return
            if len(now.logs) > n_told:
                yield event("logs", now.logs[n_told:])
                n_told = len(now.logs)
            if now.is_final:
                break
            if service.hints.is_stopped:
                return
            await watch.changed(PING_S)
    done: dict[str, str] = {}
    if now.status == "succeeded":
        output = await anyio.to_thread.run_sync(lambda: service.views.output(now, inline=True))
        if output is not None:
            yield event("output", output)
    elif now.status == "failed":
        yield event("error", json.dumps({"detail": now.error or ""}))
        done = {"reason": "error"}
    else:
        done = {"reason": "canceled"}
    yield event("done", json.dumps(done))


@router.get("/predictions/{prediction_id}/audio", response_class=Response)
async def audio(
    prediction_id: str, request: Request, service: HasService, token: str = ""
) -> Response:
    """The sound, from its beginning and as fast as it is made; once it is done, the file."""
    prediction = await _allowed(service, request, prediction_id, token)
    path = service.growing.path(prediction_id, str(prediction.input.get("output_format", "wav")))
    if not prediction.is_final:
        await anyio.to_thread.run_sync(service.growing.want, prediction_id)
        service.wake_worker()
    with service.hints.watch(prediction_id) as watch:
        while True:
            now = await anyio.to_thread.run_sync(service.store.prediction, prediction_id, None)
            if now is None or now.data_removed:
                raise not_found()
            if now.is_final:
                return await anyio.to_thread.run_sync(_finished, service, now)
            if file := await anyio.to_thread.run_sync(_opened, path):
                break
            await watch.changed(GROWTH_POLL_S)
            if service.hints.is_stopped:
                raise ProblemError(503, "The server is stopping.", headers={"Retry-After": "5"})
            if await request.is_disconnected():
                raise ProblemError(408, "Nobody listens any more.")
    return StreamingResponse(
        _follow(service, prediction_id, file),
        media_type=CONTENT_TYPES[path.suffix],
        headers={"Cache-Control": "no-store", "Accept-Ranges": "none"},
    )


def _finished(service: Service, prediction: Prediction) -> Response:
    """The whole file of a prediction that is over."""
    if prediction.status != "succeeded" or prediction.output_file is None:
        detail = f"There is no sound: the prediction has {prediction.status}."
        raise ProblemError(409, detail)
    file = service.store.file(prediction.output_file, None)
    path = service.files.path(prediction.output_file)
    if file is None or not path.is_file():
        raise not_found()
    return FileResponse(path, media_type=file.content_type)


async def _follow(service: Service, prediction_id: str, file: BinaryIO) -> AsyncIterator[bytes]:
    """The bytes of a growing file until its prediction is over; the file may lose its name then."""
    with file:
        while True:
            # The state first: what is written before the end is said is read after it.
            now = await anyio.to_thread.run_sync(service.store.prediction, prediction_id, None)
            while chunk := await anyio.to_thread.run_sync(file.read, CHUNK_BYTES):
                yield chunk
            is_lost = now is None or now.status in {"failed", "canceled"}
            if is_lost or service.hints.is_stopped:
                raise BrokenStreamError(prediction_id)
            if now is not None and now.status == "succeeded":
                return
            await asyncio.sleep(GROWTH_POLL_S)


def _opened(path: Path) -> BinaryIO | None:
    """A growing file that has begun."""
    try:
        return path.open("rb") if path.stat().st_size else None
    except FileNotFoundError:
        return None
