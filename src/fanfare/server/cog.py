"""Cog's HTTP API, as a model's container offers it, on a port of its own.

Behind it are the same store and the same worker as behind Replicate's API. It knows no tokens and
can stop the server, as Cog's does: who may reach the port may do all of it. Unlike Cog's, it takes
many predictions at once, and `null` for every input.
"""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Header, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from fanfare.server.limits import BodyLimit
from fanfare.server.predictions import Order, store_order
from fanfare.server.problems import InvalidInputError, ProblemError
from fanfare.server.records import Prediction
from fanfare.server.service import Service
from fanfare.server.versions import openapi_schema
from fanfare.server.views import moment
from fanfare.version import fanfare_version

OWNER = "cog"
"""What comes by this API is kept apart from what comes by the other."""
MAX_NAMES = 4096
LOOK_S = 1.0
STATES = {"starting": "STARTING", "ready": "READY", "busy": "BUSY", "failed": "SETUP_FAILED"}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")

Prefer = Annotated[str | None, Header()]
Json = dict[str, Any]


class CogOrder(Order):
    """A prediction as Cog's clients order it."""

    id: str | None = None


class _Cog:
    """What the routes share.

    Attributes:
        names: predictions by the ids that clients gave them, as many as are remembered.
    """

    def __init__(self, service: Service, stop: Callable[[], None]) -> None:
        self.service, self.stop = service, stop
        self.names: OrderedDict[str, str] = OrderedDict()
        self.began_at = datetime.now(UTC)
        self.ready_at: datetime | None = None

    def remember(self, name: str, id: str) -> None:
        self.names[name] = id
        while len(self.names) > MAX_NAMES:
            self.names.popitem(last=False)

    def find(self, name: str) -> Prediction | None:
        """A prediction by the name that its client knows; blocking."""
        return self.service.store.prediction(self.names.get(name, name), OWNER)

    def state(self) -> str:
        supervisor = self.service.supervisor
        state = STATES[supervisor.state()] if supervisor else "READY"
        if state in {"READY", "BUSY"} and self.ready_at is None:
            self.ready_at = datetime.now(UTC)
        # Busy is who takes nothing more; this server does, until its queue is full.
        return "READY" if state == "BUSY" else state


def create_cog_app(service: Service, stop: Callable[[], None]) -> FastAPI:
    """The app; `stop` ends the server."""
    app = FastAPI(title="Cog", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.cog = _Cog(service, stop)
    app.include_router(router)
    app.add_exception_handler(ProblemError, _of_problem)
    app.add_middleware(
        BodyLimit,
        max_body_bytes=service.config.max_body_bytes,
        max_upload_bytes=service.config.max_upload_bytes,
    )
    return app


router = APIRouter()


def _cog(request: Request) -> _Cog:
    cog = request.app.state.cog
    assert isinstance(cog, _Cog)
    return cog


@router.get("/")
def index() -> Json:
    """Where everything is."""
    return {
        "cog_version": f"fanfare {fanfare_version()}",
        "docs_url": "/docs",
        "openapi_url": "/openapi.json",
        "shutdown_url": "/shutdown",
        "healthcheck_url": "/health-check",
        "predictions_url": "/predictions",
        "predictions_idempotent_url": "/predictions/{prediction_id}",
        "predictions_cancel_url": "/predictions/{prediction_id}/cancel",
    }


@router.get("/health-check")
def health_check(request: Request) -> Json:
    """How the worker is; always 200."""
    cog = _cog(request)
    state = cog.state()
    setup: Json = {"started_at": moment(cog.began_at), "status": "starting", "logs": ""}
    if cog.ready_at is not None:
        setup |= {"completed_at": moment(cog.ready_at), "status": "succeeded"}
    elif state == "SETUP_FAILED":
        setup["status"] = "failed"
    return {"status": state, "setup": setup, "version": {"fanfare": fanfare_version()}}


@router.get("/openapi.json")
def openapi(request: Request) -> Json:
    """The same document as that of the Replicate version."""
    service = _cog(request).service
    return openapi_schema(service.rules(service.catalogue.versions[0]))


@router.post("/predictions")
async def predict(request: Request, prefer: Prefer = None) -> Response:
    """A prediction, when it is done; with `Prefer: respond-async`, at once."""
    return await _predict(_cog(request), request, None, prefer)


@router.put("/predictions/{name}")
async def predict_once(name: str, request: Request, prefer: Prefer = None) -> Response:
    """The same under the client's own id: asked for again, it isn't made again."""
    if not _NAME.fullmatch(name):
        return _refused("prediction_id", "must be letters, digits, dots and dashes", "path")
    return await _predict(_cog(request), request, name, prefer)


@router.post("/predictions/{name}/cancel")
def cancel(name: str, request: Request) -> Response:
    """Stop a prediction: 404 when there is none that runs."""
    cog = _cog(request)
    found = cog.find(name)
    if found is None or found.is_final:
        return JSONResponse({}, 404)
    cog.service.store.request_cancel(found.id, OWNER)
    cog.service.hints.changed(found.id)
    cog.service.wake_worker()
    return JSONResponse({})


@router.post("/shutdown")
def shutdown(request: Request) -> Json:
    """Stop the server."""
    _cog(request).stop()
    return {}


async def _predict(cog: _Cog, request: Request, name: str | None, prefer: str | None) -> Response:
    order = await _order(request)
    if isinstance(order, Response):
        return order
    if name is not None and order.id not in (None, name):
        return _refused("id", "must be the id in the path")
    name = name or order.id
    if name is not None:
        known = await anyio.to_thread.run_sync(cog.find, name)
        if known is not None:
            return JSONResponse(await _shown(cog, known, name), 200 if known.is_final else 202)
    if cog.state() == "SETUP_FAILED":
        return JSONResponse({"error": "Setup failed", "status": "failed"}, 503)
    service = cog.service
    version = service.catalogue.versions[0]
    made = await anyio.to_thread.run_sync(store_order, service, OWNER, version, order, None)
    name = name or made.id
    cog.remember(name, made.id)
    service.wake_worker()
    if (prefer or "").strip() == "respond-async":
        return JSONResponse({"id": name, "status": "starting"}, 202)
    with service.hints.watch(made.id) as watch:
        while True:
            now = await anyio.to_thread.run_sync(service.store.prediction, made.id, None)
            if now is None or now.is_final:
                break
            if await request.is_disconnected():
                await anyio.to_thread.run_sync(service.store.request_cancel, made.id, OWNER)
                service.wake_worker()
                break
            await watch.changed(LOOK_S)
    return JSONResponse(await _shown(cog, now or made, name))


async def _order(request: Request) -> CogOrder | Response:
    """The body, or the answer to one that is wrong."""
    body = await request.body()
    if not body:
        return CogOrder()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return PlainTextResponse("Expected request with `Content-Type: application/json`", 415)
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return PlainTextResponse("Failed to parse the request body as JSON", 400)
    if not isinstance(values, dict):
        return _refused("", "must be an object")
    known = {key: values[key] for key in CogOrder.model_fields if values.get(key) is not None}
    try:
        return CogOrder.model_validate(known)
    except ValueError:
        return _refused("", "is no order of a prediction")


async def _shown(cog: _Cog, prediction: Prediction, name: str) -> Json:
    """A prediction as Cog shows it."""

    def output() -> str | None:
        service = cog.service
        file = prediction.output_file and service.files.file_of(prediction.output_file)
        sound = service.files.read(file) if file else None
        if not file or sound is None:
            return None
        return f"data:{file.content_type};base64,{base64.b64encode(sound).decode('ascii')}"

    view: Json = {
        "id": name,
        "status": prediction.status,
        "input": cog.service.views.shown_input(prediction),
        "output": await anyio.to_thread.run_sync(output),
        "logs": prediction.logs,
        "error": prediction.error,
        "created_at": moment(prediction.created_at),
        "metrics": {k: v for k, v in prediction.metrics.items() if k == "predict_time"},
    }
    for key in ("started_at", "completed_at"):
        at = getattr(prediction, key)
        view[key] = None if at is None else moment(at)
    return view


def _refused(field: str, message: str, place: str = "body") -> Response:
    detail = {"loc": [part for part in (place, field) if part], "msg": message}
    return JSONResponse({"detail": [{**detail, "type": "value_error"}]}, 422)


async def _of_problem(request: Request, error: Exception) -> Response:
    """The other API's errors in this one's words."""
    assert isinstance(error, ProblemError)
    if isinstance(error, InvalidInputError):
        fields = error.extra["invalid_fields"]
        assert isinstance(fields, list)
        detail = [
            {
                "loc": ["body", *str(field["field"]).split(".")],
                "msg": field["description"],
                "type": f"value_error.{field['type']}",
            }
            for field in fields
        ]
        return JSONResponse({"detail": detail}, 422)
    if error.status == 429:
        return JSONResponse({"error": "Too many predictions are waiting", "status": "failed"}, 409)
    return JSONResponse({"error": error.detail, "status": "failed"}, error.status)
