"""The history: the caller's predictions, searched, starred, deleted; and what is shared of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, StrictBool
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, Response

from fanfare.server.media import EXTENSIONS, disposition
from fanfare.server.playground.entries import by_token, entries, entry, file_name, shared
from fanfare.server.playground.studio import Studio
from fanfare.server.predictions import found
from fanfare.server.problems import ProblemError, not_found, unauthenticated
from fanfare.server.records import Prediction
from fanfare.server.service import HasOwner, HasService, Service

router = APIRouter(prefix="/v1", tags=["playground"])


async def _studio(request: Request) -> Studio:
    studio = request.app.state.studio
    assert isinstance(studio, Studio)
    return studio


HasStudio = Annotated[Studio, Depends(_studio)]


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
    return _sent({"results": entries(service, page.results), "next": page.older})


@router.get("/history/{prediction_id}")
def get(prediction_id: str, service: HasService, owner: HasOwner) -> Response:
    """One of them as it is now."""
    return _sent(entry(service, found(service, prediction_id, owner)))


@router.put("/history/{prediction_id}")
def mark(prediction_id: str, change: Mark, service: HasService, owner: HasOwner) -> Response:
    """Star it, or take the star away."""
    if not service.store.star(prediction_id, owner, is_starred=change.starred):
        raise not_found()
    return _sent(entry(service, found(service, prediction_id, owner)))


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


@router.get("/history/{prediction_id}/analysis")
async def analysis(
    prediction_id: str, request: Request, service: HasService, studio: HasStudio, token: str = ""
) -> Response:
    """What its music looks like: peaks, loudness, chroma, spectrogram; and the melody's chroma."""
    prediction = await to_thread.run_sync(_finished, service, request, prediction_id, token)
    made = await studio.run(lambda: studio.analysis(prediction))
    # It is the same for as long as there is anything.
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(made, headers=headers, media_type="application/json")


@router.get("/history/{prediction_id}/download", response_class=Response)
async def download(
    prediction_id: str,
    request: Request,
    service: HasService,
    studio: HasStudio,
    format: Annotated[Literal["wav", "mp3", "flac"], Query()] = "wav",
    token: str = "",
) -> Response:
    """Its music as a file to keep, in the format that is asked for."""
    prediction = await to_thread.run_sync(_finished, service, request, prediction_id, token)
    assert prediction.output_file is not None, prediction.id
    file = await to_thread.run_sync(service.files.file_of, prediction.output_file)
    if file is None or not service.files.path(file.id).is_file():
        raise not_found()
    headers = {"Content-Disposition": disposition(file_name(prediction, format))}
    kind = next(kind for kind, ending in EXTENSIONS.items() if ending == format)
    if file.content_type == kind:
        path = service.files.path(file.id)
        return FileResponse(path, headers=headers, media_type=kind)
    path = await studio.run(lambda: studio.converted(prediction, format))
    remove = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, headers=headers, media_type=kind, background=remove)


@router.get("/shared/{capability}")
def get_shared(capability: str, service: HasService) -> Response:
    """One result for whoever has its link; no other credential is needed."""
    return _sent(shared(service, by_token(service, capability)))


def _sent(answer: dict[str, Any]) -> Response:
    """An answer that no cache keeps: it changes, and it holds tokens."""
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _finished(service: Service, request: Request, prediction_id: str, token: str) -> Prediction:
    """A prediction whose music is there, for its owner or for who has its token."""
    if token:
        prediction = by_token(service, token)
        if prediction.id != prediction_id:
            raise not_found()
    else:
        owner = service.owner(request)
        if owner is None:
            raise unauthenticated()
        prediction = found(service, prediction_id, owner)
    if prediction.data_removed:
        raise not_found()
    if prediction.output_file is None:
        raise ProblemError(409, f"There is no music: the prediction is {prediction.status}.")
    return prediction
