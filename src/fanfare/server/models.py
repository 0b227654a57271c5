"""What can be had here: models, versions, and what an account sees beside them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fanfare.server.problems import ProblemError, not_found
from fanfare.server.service import HasOwner, HasService, Service
from fanfare.server.versions import Version, openapi_schema
from fanfare.server.views import whole_page
from fanfare.server.webhooks import secret_text

router = APIRouter(prefix="/v1", tags=["models"])

COLLECTION = {
    "slug": "text-to-music",
    "name": "Text to music",
    "description": "The models that this server plays.",
}


@router.get("/models")
def models(service: HasService, owner: HasOwner) -> Response:
    """All models."""
    return JSONResponse(whole_page(_model(service, one) for one in service.catalogue.versions))


@router.api_route("/models", methods=["QUERY"], include_in_schema=False)
async def search(request: Request, service: HasService, owner: HasOwner) -> Response:
    """Models by words; the body is plain text, which one of the clients puts in quotes."""
    text = (await request.body())[:1000].decode("utf-8", "replace").strip().strip('"')
    return JSONResponse(whole_page(_model(service, v) for v in service.catalogue.search(text)))


@router.post("/models", status_code=403)
def create_model(owner: HasOwner) -> Response:
    """Refused: models are what the server was started with."""
    raise ProblemError(403, "This server's models are fixed when it starts.")


@router.get("/models/{model_owner}/{model_name}")
def model(model_owner: str, model_name: str, service: HasService, owner: HasOwner) -> Response:
    """One model."""
    return JSONResponse(_model(service, _found(service, model_owner, model_name)))


@router.get("/models/{model_owner}/{model_name}/versions")
def versions(model_owner: str, model_name: str, service: HasService, owner: HasOwner) -> Response:
    """A model's versions: one."""
    version = _found(service, model_owner, model_name)
    return JSONResponse(whole_page([_view(service, version)]))


@router.get("/models/{model_owner}/{model_name}/versions/{version_id}")
def version(
    model_owner: str, model_name: str, version_id: str, service: HasService, owner: HasOwner
) -> Response:
    """One version, by its id or the beginning of it."""
    version = _version(service, model_owner, model_name, version_id)
    return JSONResponse(_view(service, version))


@router.post("/models/{model_owner}/{model_name}/versions/{version_id}/trainings", status_code=422)
def train(
    model_owner: str, model_name: str, version_id: str, service: HasService, owner: HasOwner
) -> Response:
    """Refused: no training is offered over this API."""
    _version(service, model_owner, model_name, version_id)
    raise ProblemError(422, "This version can't be trained here.", title="Training is not offered")


@router.get("/trainings")
def trainings(owner: HasOwner) -> Response:
    """None."""
    return JSONResponse(whole_page([]))


@router.get("/trainings/{training_id}", status_code=404)
@router.post("/trainings/{training_id}/cancel", status_code=404)
def training(training_id: str, owner: HasOwner) -> Response:
    """There is none to be found."""
    raise not_found()


@router.get("/deployments")
def deployments(owner: HasOwner) -> Response:
    """None are kept, though every model can be called as one."""
    return JSONResponse(whole_page([]))


@router.get("/collections")
def collections(owner: HasOwner) -> Response:
    """The one collection, its models left out as in every list of collections."""
    return JSONResponse(whole_page([COLLECTION]))


@router.get("/collections/{slug}")
def collection(slug: str, service: HasService, owner: HasOwner) -> Response:
    """A collection with its models."""
    if slug != COLLECTION["slug"]:
        raise not_found()
    found = [_model(service, one) for one in service.catalogue.versions]
    return JSONResponse({**COLLECTION, "models": found})


@router.get("/hardware")
def hardware(service: HasService, owner: HasOwner) -> Response:
    """What the models run on."""
    device = service.config.device
    name = "This server" if device == "auto" else f"This server ({device})"
    return JSONResponse([{"name": name, "sku": "local"}])


@router.get("/account")
def account(owner: HasOwner) -> Response:
    """Who the token stands for: nothing more is known than that it is one of the server's."""
    username = f"token-{owner[:8]}" if owner else "local"
    return JSONResponse({"type": "user", "username": username, "name": username})


@router.get("/webhooks/default/secret")
def webhook_secret(service: HasService, owner: HasOwner) -> Response:
    """What webhooks are signed with."""
    return JSONResponse({"key": secret_text(service.store.secret("webhooks"))})


def _found(service: Service, model_owner: str, model_name: str) -> Version:
    version = service.catalogue.of_model(model_owner, model_name)
    if version is None:
        raise not_found()
    return version


def _version(service: Service, model_owner: str, model_name: str, version_id: str) -> Version:
    version = service.catalogue.find(f"{model_owner}/{model_name}:{version_id}")
    if version is None:
        raise not_found()
    return version


def _view(service: Service, version: Version) -> dict[str, Any]:
    return service.views.version(version, openapi_schema(service.rules(version)))


def _model(service: Service, version: Version) -> dict[str, Any]:
    return service.views.model(version, openapi_schema(service.rules(version)), n_runs=0)
