"""Which models are in memory; whoever may use the server may have them loaded and let go."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fanfare.server.playground.overview import own_first
from fanfare.server.problems import ProblemError, not_found
from fanfare.server.service import HasOwner, HasService, Service
from fanfare.server.versions import Version, shown_name

router = APIRouter(prefix="/v1", tags=["playground"])

UNKNOWN = {"state": "unloaded", "memory_bytes": None, "engine": None, "licence": None,
           "n_playing": 0, "error": None}  # fmt: skip


@router.get("/loaded")
def loaded(service: HasService, owner: HasOwner) -> Response:
    """All models: whether each is in memory, how much it takes there, and under which licence."""
    return JSONResponse(
        {
            "models": [_line(service, one) for one in own_first(service.catalogue.versions)],
            "memory_budget_bytes": service.config.memory_budget_bytes,
        }
    )


@router.post("/loaded/{model_owner}/{model_name}", status_code=202)
def load(model_owner: str, model_name: str, service: HasService, owner: HasOwner) -> Response:
    """Have a model loaded, if it isn't; the answer doesn't wait for it."""
    return _shelve(service, model_owner, model_name, is_wanted=True)


@router.delete("/loaded/{model_owner}/{model_name}", status_code=202)
def unload(model_owner: str, model_name: str, service: HasService, owner: HasOwner) -> Response:
    """Let a model go once it has played what it has begun; a prediction loads it again."""
    return _shelve(service, model_owner, model_name, is_wanted=False)


def _shelve(service: Service, model_owner: str, model_name: str, *, is_wanted: bool) -> Response:
    version = service.catalogue.of_model(model_owner, model_name)
    if version is None:
        raise not_found()
    supervisor = service.supervisor
    if supervisor is None or not supervisor.shelve(version.weights, is_wanted=is_wanted):
        raise ProblemError(503, "There is no worker now. Try again later.")
    return JSONResponse(_line(service, version), 202)


def _line(service: Service, version: Version) -> dict[str, Any]:
    supervisor = service.supervisor
    models = supervisor.models() if supervisor is not None else {}
    place = {**UNKNOWN, **models.get(version.weights, {})}
    # The engine's name holds both, such as "onnxruntime int8".
    engine, _, precision = str(place["engine"] or "").partition(" ")
    return {
        "owner": version.owner,
        "name": version.name,
        "weights": shown_name(version.weights),
        "is_default": version.weights == service.config.models[0],
        **place,
        "engine": engine or None,
        "precision": precision or None,
    }
