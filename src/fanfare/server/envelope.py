"""What every request goes through: an id, a clock, a log line, and a last net for faults."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfare.server.limits import Room
from fanfare.server.logs import fields
from fanfare.server.metrics import Metrics
from fanfare.server.problems import fault
from fanfare.server.streams import BrokenStreamError

log = logging.getLogger("fanfare.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SLOW_S = 1.0
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY"}


class Envelope:
    """Middleware, the outermost. Logs name the route and ids, never queries or capabilities."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, room: Room) -> None:
        self.app = app
        self.metrics = metrics
        self.room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s = time.perf_counter()
        request_id = _request_id(dict(scope["headers"]).get(b"x-request-id", b""))
        if scope["path"].startswith("/v1/v1/"):  # a client whose base URL has one /v1 too many
            scope = {**scope, "path": scope["path"][3:], "raw_path": None}
        status = 0
        answered_s = 0.0

        async def send_with_headers(message: Message) -> None:
            nonlocal status, answered_s
            if message["type"] == "http.response.start":
                status, answered_s = message["status"], time.perf_counter() - began_s
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-content-type-options"] = "nosniff"
                if scope["path"].startswith("/v1/"):
                    headers.update(self.room.headers())
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except BrokenStreamError:
            pass  # returning without the end of the body makes the connection end early
        except Exception:
            if status:  # too late to say so
                raise
            log.exception("a fault", extra=fields(request_id=request_id))
            await fault().response()(scope, receive, send_with_headers)
        finally:
            self._note(scope, request_id, status, answered_s, time.perf_counter() - began_s)

    def _note(
        self, scope: Scope, request_id: str, status: int, answered_s: float, took_s: float
    ) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = route_of(scope)
        self.metrics.answered(method, route, status, answered_s)
        # Whoever waits asks twice a second: that all is well is no news.
        is_news = method != "GET" or status >= 400 or answered_s >= SLOW_S
        log.log(
            logging.INFO if is_news else logging.DEBUG,
            "%s %s %d",
            method,
            route,
            status,
            extra=fields(
                request_id=request_id,
                method=method,
                route=route,
                status=status,
                answered_ms=round(1000 * answered_s, 1),
                took_ms=round(1000 * took_s, 1),
                **_ids(scope.get("path_params") or {}),
            ),
        )


def route_of(scope: Scope) -> str:
    """The pattern that a request matched: paths themselves may hold capabilities."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))


def _ids(params: Mapping[str, object]) -> dict[str, object]:
    return {key: params[key] for key in ("prediction_id", "file_id") if key in params}


def _request_id(given: bytes) -> str:
    text = given.decode("latin-1")
    return text if _REQUEST_ID.fullmatch(text) else secrets.token_hex(8)
