"""Structured logs: one JSON object a line, each request by its id, nothing secret in any."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_FIELDS = "fields"


def fields(**values: object) -> dict[str, dict[str, object]]:
    """What goes into a log call's `extra` to stand in the line beside its message."""
    return {_FIELDS: values}


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; exceptions as one text in it."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


def configure(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """All logs of this process as JSON lines, on standard error unless told otherwise."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "uvicorn.access"):  # they would write whole URLs
        logging.getLogger(chatty).setLevel(logging.WARNING)
