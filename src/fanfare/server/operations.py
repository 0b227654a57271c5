"""For those who run the server: is it well, and how is it doing."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fanfare.server.metrics import CONTENT_TYPE
from fanfare.server.service import HasOwner, HasService
from fanfare.version import fanfare_version

router = APIRouter(tags=["operations"])


@router.get("/health-check")
def health_check(service: HasService) -> Response:
    """Whether requests are taken and the worker is there. Always 200 while this process answers."""
    supervisor = service.supervisor
    counts = service.store.counts()
    return JSONResponse(
        {
            "status": supervisor.state().upper() if supervisor else "UNKNOWN",
            "version": {"fanfare": fanfare_version()},
            "queue": {"waiting": counts["starting"], "running": counts["processing"]},
        }
    )


@router.get("/metrics", response_class=Response)
def metrics(service: HasService, owner: HasOwner) -> Response:
    """All figures for Prometheus; with a token where the server has tokens."""
    return Response(service.metrics.page(), headers={"Content-Type": CONTENT_TYPE})
