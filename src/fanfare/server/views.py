"""What the store keeps → JSON as the clients know it."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fanfare.server.config import ServeConfig
from fanfare.server.files import Files
from fanfare.server.records import File, Page, Prediction
from fanfare.server.versions import COG_VERSION, SINCE, Version

STREAM_PREFIX = "stream-"
"""Streams stand among the files: only there do clients make files of what they stream."""


class Views:
    """The one place where the store's values become answers. Blocking: it may read files."""

    def __init__(self, config: ServeConfig, files: Files) -> None:
        self.base_url = config.base_url
        self._files = files
        self._returns_data_uris = config.returns_data_uris
        self._url_ttl_s = config.url_ttl_s

    def created(self, prediction: Prediction) -> dict[str, Any]:
        """A prediction as the answer to its creation.

        While it isn't done its status is `starting` even when it runs: of every other status the
        clients think that there is nothing left to wait for.
        """
        if prediction.is_final:
            return self.prediction(prediction, inline=True)
        view = self.prediction(prediction)
        view["status"] = "starting"
        for later in ("started_at", "completed_at", "metrics"):
            view.pop(later, None)
        return view

    def prediction(self, prediction: Prediction, *, inline: bool = False) -> dict[str, Any]:
        """A prediction as lists and webhooks show it; inline: as the answer to GET, where the music
        itself may stand inside."""
        id_ = prediction.id
        view: dict[str, Any] = {
            "id": id_,
            "model": prediction.model,
            "version": prediction.version,
            "input": self.shown_input(prediction),
            "output": self.output(prediction, inline=inline),
            "logs": prediction.logs,
            "error": prediction.error,
            "status": prediction.status,
            "source": prediction.source,
            "data_removed": prediction.data_removed,
            "created_at": moment(prediction.created_at),
            "urls": {
                "get": f"{self.base_url}/v1/predictions/{id_}",
                "cancel": f"{self.base_url}/v1/predictions/{id_}/cancel",
                "web": f"{self.base_url}/p/{id_}",
                "stream": self.stream_url(prediction),
                "audio": f"{self.base_url}/v1/predictions/{id_}/audio?"
                + urlencode({"token": prediction.stream_token}),
            },
        }
        if prediction.deadline is not None:
            view["deadline"] = moment(prediction.deadline)
        if prediction.webhook is not None:
            view["webhook"] = prediction.webhook
        if prediction.started_at is not None:
            view["started_at"] = moment(prediction.started_at)
        if prediction.completed_at is not None:
            view["completed_at"] = moment(prediction.completed_at)
            view["metrics"] = prediction.metrics
        return view

    def shown_input(self, prediction: Prediction) -> dict[str, Any]:
        """The inputs as they were given; recordings by their URL."""
        source = prediction.input.get("input_audio")
        if not isinstance(source, str) or ":" in source:
            return prediction.input
        return {**prediction.input, "input_audio": self.file_url(source)}

    def output(self, prediction: Prediction, *, inline: bool) -> str | None:
        """The music: a data: URI where URLs are of no use to the clients, else its URL."""
        if prediction.output_file is None:
            return None
        file = self._files.file_of(prediction.output_file)
        if file is None:
            return None
        if not (inline and self._returns_data_uris):
            return self._files.output_url(self.base_url, file, self._url_ttl_s)
        sound = self._files.read(file)
        if sound is None:
            return None
        return f"data:{file.content_type};base64,{base64.b64encode(sound).decode('ascii')}"

    def stream_url(self, prediction: Prediction) -> str:
        """Where a prediction's events come from; no other credential is needed."""
        return f"{self.base_url}/v1/files/{STREAM_PREFIX}{prediction.stream_token}"

    def file_url(self, file_id: str) -> str:
        """Where a file's description is, and what stands for the file as an input."""
        return f"{self.base_url}/v1/files/{file_id}"

    def file(self, file: File, download_url: str) -> dict[str, Any]:
        """An uploaded file."""
        view = {
            "id": file.id,
            "name": file.name,
            "content_type": file.content_type,
            "size": file.size,
            "etag": file.md5,
            "checksums": {"sha256": file.sha256, "md5": file.md5},
            "metadata": dict(file.metadata),
            "created_at": moment(file.created_at),
            "urls": {"get": self.file_url(file.id), "download": download_url},
        }
        if file.expires_at is not None:
            view["expires_at"] = moment(file.expires_at)
        return view

    def model(self, version: Version, schema: dict[str, Any], n_runs: int) -> dict[str, Any]:
        """A model with its only version."""
        return {
            "url": f"{self.base_url}/v1/models/{version.model}",
            "owner": version.owner,
            "name": version.name,
            "description": version.description,
            "visibility": "public",
            "github_url": None,
            "paper_url": None,
            "license_url": None,
            "run_count": n_runs,
            "cover_image_url": None,
            "default_example": None,
            "latest_version": self.version(version, schema),
        }

    def version(self, version: Version, schema: dict[str, Any]) -> dict[str, Any]:
        """A version with what it takes."""
        return {
            "id": version.id,
            "created_at": SINCE,
            "cog_version": COG_VERSION,
            "openapi_schema": schema,
        }

    def page(
        self, path: str, page: Page[Any], results: Iterable[Any], query: dict[str, str]
    ) -> dict[str, Any]:
        """Part of a list; its neighbours by absolute URLs, filters kept."""

        def url(key: str, cursor: str | None) -> str | None:
            if cursor is None:
                return None
            return f"{self.base_url}{path}?{urlencode({**query, key: cursor})}"

        return {
            "previous": url("after", page.newer),
            "next": url("cursor", page.older),
            "results": list(results),
        }


def whole_page(results: Iterable[Any]) -> dict[str, Any]:
    """A list that is short enough for one page."""
    return {"previous": None, "next": None, "results": list(results)}


def moment(at: datetime) -> str:
    """A time in UTC to the millisecond, with a Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
