"""Predictions: created, looked up, listed, cancelled."""

from __future__ import annotations

import secrets
import time
from datetime import UTC
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Header, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, WithJsonSchema
from starlette.responses import JSONResponse, Response

from fanfare.inputs import MAX_SEED, RANDOM_SEED, Inputs
from fanfare.server.config import REPLICATE_MODEL, REPLICATE_VERSION, ServeConfig
from fanfare.server.limits import cancel_after, preferred_wait_s
from fanfare.server.problems import invalid_version, not_found, throttled
from fanfare.server.records import (
    EVENTS,
    Event,
    NewPrediction,
    Prediction,
    QueueFullError,
    StoreError,
)
from fanfare.server.service import HasOwner, HasService, Service
from fanfare.server.sources import check_webhook, drop_source, keep_source
from fanfare.server.validation import check_inputs
from fanfare.server.versions import Version

router = APIRouter(prefix="/v1", tags=["predictions"])

Prefer = Annotated[str | None, Header()]
CancelAfter = Annotated[str | None, Header()]


def _inputs_schema() -> dict[str, Any]:
    """The inputs as the API's document shows them."""
    return {name: part for name, part in Inputs.json_schema().items() if name != "title"} | {
        "additionalProperties": True
    }


class Order(BaseModel):
    """A prediction as it is ordered. Names beyond these are dropped: clients send their own."""

    input: Annotated[dict[str, Any], WithJsonSchema(_inputs_schema())] = {}
    webhook: str | None = None
    webhook_completed: str | None = None
    webhook_events_filter: list[Literal["start", "output", "logs", "completed"]] | None = None

    def hook(self, config: ServeConfig) -> tuple[str | None, tuple[Event, ...]]:
        """Where to send which events; InvalidInputError."""
        if self.webhook:
            chosen = self.webhook_events_filter
            events = EVENTS if chosen is None else tuple(e for e in EVENTS if e in chosen)
            return check_webhook(self.webhook, "webhook", config), events
        if self.webhook_completed:
            hook = check_webhook(self.webhook_completed, "webhook_completed", config)
            return hook, ("completed",)
        return None, EVENTS


class VersionOrder(Order):
    """An order that names its version itself: by its id, or as owner/name or owner/name:id."""

    version: str = Field(examples=[REPLICATE_VERSION, REPLICATE_MODEL])


@router.post("/predictions", status_code=201)
async def create(
    order: VersionOrder,
    service: HasService,
    owner: HasOwner,
    prefer: Prefer = None,
    cancel_after: CancelAfter = None,
) -> Response:
    """Create a prediction of a version; with `Prefer: wait` the answer waits for it."""
    version = service.catalogue.find(order.version)
    if version is None:
        raise invalid_version()
    return await _create(service, owner, version, order, prefer, cancel_after)


@router.post("/models/{model_owner}/{model_name}/predictions", status_code=201)
@router.post("/deployments/{model_owner}/{model_name}/predictions", status_code=201)
async def create_of_model(
    model_owner: str,
    model_name: str,
    order: Order,
    service: HasService,
    owner: HasOwner,
    prefer: Prefer = None,
    cancel_after: CancelAfter = None,
) -> Response:
    """Create a prediction of a model's newest version."""
    version = service.catalogue.of_model(model_owner, model_name)
    if version is None:
        raise not_found()
    return await _create(service, owner, version, order, prefer, cancel_after)


async def _create(
    service: Service,
    owner: str,
    version: Version,
    order: Order,
    prefer: str | None,
    cancel_after_header: str | None,
) -> Response:
    began_s = time.monotonic()
    span = cancel_after(cancel_after_header)
    seconds = None if span is None else span.total_seconds()
    made = await anyio.to_thread.run_sync(
        store_order, service, owner, version, order, seconds, limiter=service.creating
    )
    service.wake_worker()
    headers = {"Location": f"{service.views.base_url}/v1/predictions/{made.id}"}
    wait = preferred_wait_s(prefer)
    if wait is not None:
        wait_s, headers["Preference-Applied"] = wait
        made = await wait_until_done(service, made, began_s + wait_s)
    view = await anyio.to_thread.run_sync(service.views.created, made)
    return JSONResponse(view, 201, headers)


def store_order(
    service: Service, owner: str, version: Version, order: Order, cancel_after_s: float | None
) -> Prediction:
    """Everything about a new prediction that may block; ProblemError when it can't be."""
    webhook, events = order.hook(service.config)
    inputs = check_inputs(order.input, service.rules(version))
    source = keep_source(service, owner, inputs.get("input_audio"))
    if source is not None:
        inputs["input_audio"] = source.value
    seed = inputs.get("seed", RANDOM_SEED)
    new = NewPrediction(
        owner=owner,
        model=version.model,
        version=version.id,
        weights=version.weights,
        input=inputs,
        max_waiting=service.config.max_queue,
        webhook=webhook,
        webhook_events=events,
        # Drawn now: when a worker dies, the next one makes the same music.
        seed=secrets.randbelow(MAX_SEED + 1) if seed == RANDOM_SEED else seed,
        cancel_after_s=cancel_after_s,
    )
    try:
        made = service.store.create_prediction(new)
    except QueueFullError as error:
        drop_source(service, owner, source)
        service.room.n_waiting = error.n_waiting
        raise throttled(service.room.retry_after_s()) from None
    before = service.store.position(made.id)
    service.room.n_waiting = 0 if before is None else before + 1
    return made


async def wait_until_done(
    service: Service, prediction: Prediction, deadline_s: float
) -> Prediction:
    """The prediction once it is final, or as it is at the deadline (on the monotonic clock)."""
    with service.hints.watch(prediction.id) as watch:
        while True:
            now = await anyio.to_thread.run_sync(service.store.prediction, prediction.id, None)
            prediction = now or prediction
            left_s = deadline_s - time.monotonic()
            if prediction.is_final or now is None or left_s <= 0 or service.hints.is_stopped:
                return prediction
            await watch.changed(left_s)


@router.get("/predictions/{prediction_id}")
async def get(prediction_id: str, service: HasService, owner: HasOwner) -> Response:
    """A prediction as it is now."""
    # Clients ask this twice a second while they wait: no thread is taken to tell them to go on.
    try:
        prediction = service.store.glance(prediction_id, owner)
    except StoreError:
        prediction = await anyio.to_thread.run_sync(found, service, prediction_id, owner)
    if prediction is None:
        raise not_found()
    if not prediction.is_final:
        return JSONResponse(service.views.prediction(prediction))
    return await anyio.to_thread.run_sync(_whole, service, prediction)


def _whole(service: Service, prediction: Prediction) -> Response:
    """A prediction that is over, with its music; blocking."""
    return JSONResponse(service.views.prediction(prediction, inline=True))


def found(service: Service, prediction_id: str, owner: str | None) -> Prediction:
    """A prediction that an owner may see, or 404; blocking."""
    prediction = service.store.prediction(prediction_id, owner)
    if prediction is None:
        raise not_found()
    return prediction


@router.post("/predictions/{prediction_id}/cancel")
def cancel(prediction_id: str, service: HasService, owner: HasOwner) -> Response:
    """Cancel a prediction; of one that is over nothing changes."""
    prediction = service.store.request_cancel(prediction_id, owner)
    if prediction is None:
        raise not_found()
    service.hints.changed(prediction_id)
    service.wake_worker()
    return JSONResponse(service.views.prediction(prediction, inline=True))


def _no_blank(value: object) -> object:
    return None if value == "" else value


Moment = Annotated[AwareDatetime | None, BeforeValidator(_no_blank), Query()]


@router.get("/predictions")
def list_all(
    service: HasService,
    owner: HasOwner,
    cursor: str | None = None,
    after: str | None = None,
    created_after: Moment = None,
    created_before: Moment = None,
) -> Response:
    """The caller's predictions, newest first."""
    page = service.store.predictions(
        owner,
        before=cursor,
        after=after,
        created_after=created_after,
        created_before=created_before,
    )
    moments = {"created_after": created_after, "created_before": created_before}
    query = {name: at.astimezone(UTC).isoformat() for name, at in moments.items() if at}
    results = [service.views.prediction(one) for one in page.results]
    return JSONResponse(service.views.page("/v1/predictions", page, results, query))
