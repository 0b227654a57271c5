"""What the page shows of the server as a whole: what can be played, and how it is doing."""

from __future__ import annotations

import platform
import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fanfare.server.config import REPLICATE_MODEL
from fanfare.server.playground.ideas import IDEAS
from fanfare.server.service import HasOwner, HasService
from fanfare.server.versions import Version, shown_name
from fanfare.version import fanfare_version

router = APIRouter(prefix="/v1", tags=["playground"])


@router.get("/playground")
def playground(request: Request, service: HasService) -> Response:
    """What the page begins with; without a valid token, where one is needed, only that it is."""
    about: dict[str, Any] = {
        "needs_token": service.tokens.are_needed,
        "version": fanfare_version(),
    }
    if service.owner(request) is not None:
        config = service.config
        about |= {
            "models": [_model(version) for version in own_first(service.catalogue.versions)],
            "ideas": IDEAS,
            "limits": {
                "max_duration_s": config.max_duration_s,
                "max_prompt_chars": config.max_prompt_chars,
                "max_upload_bytes": config.max_upload_bytes,
                "max_audio_s": config.max_audio_s,
                "max_queue": config.max_queue,
            },
        }
    return JSONResponse(about, headers={"Cache-Control": "no-store"})


@router.get("/status")
def status(request: Request, service: HasService, owner: HasOwner) -> Response:
    """How the server is doing."""
    supervisor = service.supervisor
    figures = dict(supervisor.figures()) if supervisor is not None else {}
    memory = figures.get("memory_bytes")
    factor = service.store.lately()
    return JSONResponse(
        {
            "queue": service.store.counts(),
            "worker": {
                "state": supervisor.state() if supervisor is not None else "unknown",
                "restarts": int(figures.get("restarts", 0)),
                "memory_bytes": None if memory is None else int(memory),
                "playing": int(figures.get("playing", 0)),
            },
            "real_time_factor": None if factor is None else round(factor, 2),
            "versions": {
                "fanfare": fanfare_version(),
                "python": platform.python_version(),
                "platform": f"{platform.system()} {platform.machine()}",
            },
            "uptime_s": round(time.monotonic() - request.app.state.began_s, 1),
            "storage_bytes": service.store.stored_bytes(),
        }
    )


def own_first(versions: tuple[Version, ...]) -> list[Version]:
    """Models by their own names before the one that stands for the first of them."""
    return sorted(versions, key=lambda version: version.model == REPLICATE_MODEL)


def _model(version: Version) -> dict[str, str]:
    return {
        "owner": version.owner,
        "name": version.name,
        "version": version.id,
        "description": version.description,
        "weights": shown_name(version.weights),
    }
