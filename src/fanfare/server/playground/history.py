"""The history: the caller's predictions, searched, starred, deleted; and what is shared of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, StrictBool
from starlette.responses import JSONResponse, Response

from fanfare.server.playground.entries import by_token, entries, entry, shared
from fanfare.server.predictions import found
from fanfare.server.problems import not_found
from fanfare.server.service import HasOwner, HasService

router = APIRouter(prefix="/v1", tags=["playground"])


class Mark(BaseModel):
    """What an owner may change of a prediction."""

    starred: StrictBool


@router.get("/history")
def history(
    service: HasService,
    owner: HasOwner,
    query: Annotated[str, Query(max_length=1000)] = "",
    starred: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 30,
    before: str | None = None,
) -> Response:
    """The caller's predictions, newest first: those whose prompts hold every word of the query."""
    page = service.store.history(
        owner, query=query, starred=starred, before=before or None, limit=limit
    )
    return JSONResponse({"results": entries(service, page.results), "next": page.older})


@router.get("/history/{prediction_id}")
def get(prediction_id: str, service: HasService, owner: HasOwner) -> Response:
    """One of them as it is now."""
    return JSONResponse(entry(service, found(service, prediction_id, owner)))


@router.put("/history/{prediction_id}")
def mark(prediction_id: str, change: Mark, service: HasService, owner: HasOwner) -> Response:
    """Star it, or take the star away."""
    if not service.store.star(prediction_id, owner, is_starred=change.starred):
        raise not_found()
    return JSONResponse(entry(service, found(service, prediction_id, owner)))


@router.delete("/history/{prediction_id}", status_code=204)
def delete(prediction_id: str, service: HasService, owner: HasOwner) -> Response:
    """Forget it, and remove its music; if it is being made, that ends."""
    gone = service.store.delete_prediction(prediction_id, owner)
    if gone is None:
        raise not_found()
    service.files.discard(gone)
    service.hints.changed(prediction_id)
    service.wake_worker()
    return Response(status_code=204)


@router.get("/shared/{capability}")
def get_shared(capability: str, service: HasService) -> Response:
    """One result for whoever has its link; no other credential is needed."""
    return JSONResponse(
        shared(service, by_token(service, capability)), headers={"Cache-Control": "no-store"}
    )
