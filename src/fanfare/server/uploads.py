"""Files that clients send to use them as inputs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response

from fanfare.server.files import Meant
from fanfare.server.ids import is_id
from fanfare.server.problems import InvalidField, InvalidInputError, not_found
from fanfare.server.records import File
from fanfare.server.service import HasOwner, HasService, Service

router = APIRouter(prefix="/v1", tags=["files"])

CHUNK_BYTES = 256 * 1024
MAX_METADATA_BYTES = 16 * 1024
MAX_PARTS = 8

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["content"],
                    "properties": {
                        "content": {"type": "string", "format": "binary"},
                        "filename": {"type": "string"},
                        "type": {"type": "string"},
                        "metadata": {"type": "string", "description": "A JSON object"},
                    },
                }
            }
        },
    }
}


@router.post("/files", status_code=201, openapi_extra=_FORM)
async def upload(request: Request, service: HasService, owner: HasOwner) -> Response:
    """Keep a file for a day. What kind it is is seen by its bytes, whatever the client calls it."""
    async with request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS) as form:
        content = form.get("content")
        if not isinstance(content, UploadFile):
            raise _wrong("content", "required", "content is required: a file")
        meant = Meant(
            owner=owner,
            name=_text(form, "filename") or content.filename,
            content_type=_text(form, "type") or content.content_type,
            metadata=await _metadata(form),
            ttl_s=service.config.url_ttl_s,
        )
        cap_bytes = service.config.max_upload_bytes
        file = await service.files.save_stream(_chunks(content), meant, cap_bytes=cap_bytes)
    return JSONResponse(_view(service, file), 201)


@router.get("/files")
def list_all(
    service: HasService, owner: HasOwner, cursor: str | None = None, after: str | None = None
) -> Response:
    """The caller's uploads, newest first."""
    page = service.store.files(owner, before=cursor, after=after)
    results = [_view(service, file) for file in page.results]
    return JSONResponse(service.views.page("/v1/files", page, results, {}))


@router.get("/files/{file_id}")
def get(file_id: str, service: HasService, owner: HasOwner) -> Response:
    """What is known of a file."""
    return JSONResponse(_view(service, _found(service, file_id, owner)))


@router.delete("/files/{file_id}", status_code=204)
def delete(file_id: str, service: HasService, owner: HasOwner) -> Response:
    """Remove a file."""
    _found(service, file_id, owner)
    service.files.delete(file_id, owner)
    return Response(status_code=204)


def _found(service: Service, file_id: str, owner: str) -> File:
    file = service.store.file(file_id, owner) if is_id(file_id) else None
    if file is None or file.purpose != "upload":
        raise not_found()
    return file


def _view(service: Service, file: File) -> dict[str, Any]:
    config = service.config
    return service.views.file(
        file, service.files.download_url(config.base_url, file, config.url_ttl_s)
    )


async def _chunks(content: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await content.read(CHUNK_BYTES):
        yield chunk


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) else None


async def _metadata(form: FormData) -> dict[str, Any]:
    """The client's own notes: one client sends them as a field, another as a file."""
    part = form.get("metadata")
    if part is None or part == "":
        return {}
    text = await part.read(MAX_METADATA_BYTES + 1) if isinstance(part, UploadFile) else part
    try:
        # Twice, so that what can't be said in UTF-8 is found here.
        metadata = json.loads(text)
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, RecursionError):
        raise _wrong("metadata", "invalid_json", "metadata must be a JSON object") from None
    if not isinstance(metadata, dict) or max(size, len(text)) > MAX_METADATA_BYTES:
        hint = f"metadata must be a JSON object of at most {MAX_METADATA_BYTES} bytes"
        raise _wrong("metadata", "invalid_type", hint)
    return metadata


def _wrong(field: str, kind: str, description: str) -> InvalidInputError:
    return InvalidInputError([InvalidField(kind, field, description)])
