"""Errors as the API tells them: `application/problem+json` with title, detail and status.

    ProblemError            what a route raises; becomes the response as it stands
    InvalidInputError  a prediction's inputs are wrong: 422 with one entry for every wrong field

Whatever else goes wrong in a route is caught further out (envelope.py) and answered by `fault`.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fanfare.errors import InputError
from fanfare.server.incoming import FileTooLargeError, StorageFullError
from fanfare.server.records import StoreError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What is wrong with the request",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["title", "detail", "status"],
                    "properties": {
                        "title": {"type": "string"},
                        "detail": {"type": "string"},
                        "status": {"type": "integer"},
                        "invalid_fields": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "type": {"type": "string"},
                                    "field": {"type": "string"},
                                    "description": {"type": "string"},
                                },
                            },
                        },
                    },
                }
            }
        },
    }
}
"""Every route's errors, as the API's document shows them."""


class ProblemError(Exception):
    """A request can't be served; its fields are what the client reads."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: object,
    ) -> None:
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.headers = dict(headers or {})
        self.extra = extra
        super().__init__(detail)

    def response(self) -> Response:
        """The problem as a response."""
        body = {"title": self.title, "detail": self.detail, "status": self.status, **self.extra}
        # What came from the client may hold half characters: they can't be encoded, and are shown.
        text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return Response(text, self.status, self.headers, MEDIA_TYPE)


@dataclass(frozen=True)
class InvalidField:
    """One wrong input: the rule's name, where it stands, and what the rule is."""

    type: str
    field: str
    description: str


class InvalidInputError(ProblemError):
    """A prediction's inputs break their rules."""

    def __init__(self, fields: Sequence[InvalidField]) -> None:
        super().__init__(
            422,
            "".join(f"- {field.field}: {field.description}\n" for field in fields),
            title="Input validation failed",
            invalid_fields=[asdict(field) for field in fields],
        )


def not_found() -> ProblemError:
    """Nothing there, or nothing that this caller may see: both look alike."""
    return ProblemError(404, "The requested resource could not be found.", title="Not found")


def invalid_version() -> ProblemError:
    """A version that isn't served here."""
    return ProblemError(
        422,
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
        title="Invalid version or not permitted",
    )


def unauthenticated() -> ProblemError:
    """No token, or one that isn't known."""
    return ProblemError(
        401,
        "You did not pass a valid authentication token",
        title="Unauthenticated",
        headers={"WWW-Authenticate": "Bearer"},
    )


def throttled(retry_after_s: int) -> ProblemError:
    """The queue is full."""
    plural = "" if retry_after_s == 1 else "s"
    return ProblemError(
        429,
        f"Request was throttled. Expected available in {retry_after_s} second{plural}.",
        headers={"Retry-After": str(retry_after_s)},
    )


def add_handlers(app: FastAPI) -> None:
    """Every error of an app leaves it as a problem."""
    app.add_exception_handler(ProblemError, _of_problem)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_request)
    app.add_exception_handler(OSError, _of_disk)
    app.add_exception_handler(StoreError, _of_store)
    app.add_exception_handler(InputError, _of_input)
    app.add_exception_handler(FileTooLargeError, _of_large_file)
    app.add_exception_handler(StorageFullError, _of_full_storage)


async def _of_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return not_found().response()
    return ProblemError(error.status_code, str(error.detail), headers=error.headers).response()


async def _of_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [_field(one) for one in error.errors()[:20]]
    return InvalidInputError(fields).response()


def _field(error: Mapping[str, Any]) -> InvalidField:
    """A complaint about the request's own shape: what came is not repeated."""
    where = [str(part) for part in error["loc"]]
    if error["type"] == "json_invalid":
        return InvalidField("invalid_json", "body", "The body is not JSON")
    kind = "required" if error["type"] == "missing" else "invalid_type"
    place = ".".join(where[1:]) if where[0] == "body" and len(where) > 1 else ".".join(where)
    return InvalidField(kind, place, str(error["msg"]))


async def _of_input(request: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)
    return InvalidInputError([InvalidField("invalid", error.field, error.hint)]).response()


async def _of_disk(request: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        log.error("the system refused", exc_info=error)
        raise error
    return await _of_full_storage(request, error)


async def _of_full_storage(request: Request, error: Exception) -> Response:
    log.error("there is no room to store anything")
    return ProblemError(507, "There is no room to store this now. Try again later.").response()


async def _of_large_file(request: Request, error: Exception) -> Response:
    return ProblemError(413, str(error)).response()


async def _of_store(request: Request, error: Exception) -> Response:
    log.error("the store is not available", exc_info=error)
    detail = "The store is busy. Try again."
    return ProblemError(503, detail, headers={"Retry-After": "1"}).response()


def fault() -> ProblemError:
    """A fault of this server's own: it says nothing of the inside, the log does."""
    return ProblemError(500, "Something went wrong on our side. Try again later.")
