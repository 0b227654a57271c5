"""What a caller may send, and how much room there is: body sizes, waiting times, the queue."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanfare.server.problems import ProblemError

MAX_WAIT_S = 60.0
WAIT_MARGIN_S = 0.2
"""Clients stop reading exactly half a second after the time they named: answer before it."""
MIN_CANCEL_AFTER = timedelta(seconds=5)
MAX_CANCEL_AFTER = timedelta(hours=24)
FORM_OVERHEAD_BYTES = 64 * 1024
"""Boundaries, headers and metadata around an uploaded file."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(ms|s|m|h|)")


class BodyLimit:
    """Middleware: bodies beyond the limit are refused, declared or not, before they are read."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, max_upload_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_upload_bytes = max_upload_bytes + FORM_OVERHEAD_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_upload = scope["path"] == "/v1/files"
        limit = self.max_upload_bytes if is_upload else self.max_body_bytes
        detail = f"The body is larger than the {limit} bytes that are allowed here."
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:18]) > limit:
            await ProblemError(413, detail).response()(scope, receive, send)
            return
        n_bytes = 0

        async def receive_within() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > limit:
                raise HTTPException(413, detail)
            return message

        await self.app(scope, receive_within, send)


@dataclass
class Room:
    """How many places the queue has, as the rate-limit headers tell.

    The queue is the only limit: creating is refused when it is full, and nothing else ever is.
    """

    max_queue: int
    n_waiting: int = 0

    def headers(self) -> dict[str, str]:
        """Places in all, places left, and in how many seconds it is worth trying again."""
        left = max(0, self.max_queue - self.n_waiting)
        return {
            "ratelimit-limit": str(self.max_queue),
            "ratelimit-remaining": str(left),
            "ratelimit-reset": "0" if left else str(self.retry_after_s()),
        }

    def retry_after_s(self) -> int:
        """When to try again: soon, since places become free one by one."""
        return 1 + self.n_waiting // 100


def preferred_wait_s(prefer: str | None) -> tuple[float, str] | None:
    """A Prefer header's `wait` or `wait=N`: seconds to hold the request, and what was applied."""
    for preference in (prefer or "").lower().split(","):
        name, equals, value = preference.strip().partition("=")
        if name.strip() != "wait":
            continue
        value = value.strip().strip('"')
        if not equals or not value:
            return MAX_WAIT_S - WAIT_MARGIN_S, "wait"
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value):
            return None
        wait_s = min(float(value), MAX_WAIT_S)
        shown = f"{wait_s:g}"
        return max(wait_s - WAIT_MARGIN_S, 0.0), f"wait={shown}"
    return None


def cancel_after(header: str | None) -> timedelta | None:
    """A Cancel-After header, such as 30s, 1m, 1.5h; a ProblemError when it says nothing usable."""
    if header is None:
        return None
    match = _SPAN.fullmatch(header.strip().lower())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else math.nan
    if not MIN_CANCEL_AFTER.total_seconds() <= seconds <= MAX_CANCEL_AFTER.total_seconds():
        detail = "Cancel-After must be a time from 5s to 24h, such as 30s, 15m or 1h."
        raise ProblemError(422, detail, title="Invalid Cancel-After header")
    return timedelta(seconds=seconds)
