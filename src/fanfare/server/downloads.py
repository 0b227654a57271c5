"""The bytes of files, for whoever has a URL that was made for it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from fanfare.server.ids import is_id
from fanfare.server.media import disposition, served_type
from fanfare.server.problems import not_found
from fanfare.server.records import File
from fanfare.server.service import HasService, Service

router = APIRouter(tags=["files"])


@router.head("/files/{capability}/{name}", include_in_schema=False)
@router.get("/files/{capability}/{name}", response_class=Response)
def output(capability: str, name: str, service: HasService) -> Response:
    """Finished music. Clients fetch it with or without their token, and follow no redirects."""
    return _sent(service, service.files.by_capability(capability), inline=True)


@router.head("/v1/files/{file_id}/download", include_in_schema=False)
@router.get("/v1/files/{file_id}/download", response_class=Response)
def upload(
    file_id: str, service: HasService, owner: str = "", expiry: str = "", signature: str = ""
) -> Response:
    """An uploaded file, by its signed URL."""
    file = None
    if is_id(file_id):
        file = service.files.by_download(file_id, owner, expiry, signature)
    return _sent(service, file, inline=False)


def _sent(service: Service, file: File | None, *, inline: bool) -> Response:
    if file is None or not service.files.path(file.id).is_file():
        raise not_found()
    return FileResponse(
        service.files.path(file.id),
        media_type=served_type(file.content_type),
        headers={
            "Cache-Control": "private, max-age=3600",
            "Content-Disposition": disposition(file.name, inline=inline),
            # What was uploaded may be a page: it must not run in this server's name.
            "Content-Security-Policy": "sandbox; default-src 'none'; media-src 'self'",
        },
    )
