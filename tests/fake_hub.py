"""A Hugging Face hub on this machine, asked by huggingface_hub itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from web import Answer, Web, serving

COMMITS = ("1" * 40, "2" * 40)


class Hub:
    """Repositories, and what was fetched from them."""

    def __init__(self, web: Web, cache: Path) -> None:
        self.web = web
        self.cache = cache

    def publish(
        self,
        hub_id: str,
        files: dict[str, bytes],
        *,
        commit: str = COMMITS[0],
        branch: str = "main",
        large: tuple[str, ...] = (),
    ) -> None:
        """Give a repository these files at a branch; it has no branch "no-such".

        Files that are `large` are known by their SHA-256, as the hub does from ten megabytes on.
        """
        card = {"license": "mit"} if b"license: mit" in files.get("README.md", b"") else {}
        about = {
            "_id": "0", "id": hub_id, "modelId": hub_id, "sha": commit, "private": False,
            "cardData": card, "tags": [], "downloads": 0, "likes": 0,
            "siblings": [{"rfilename": name, "size": len(data)} for name, data in files.items()],
        }  # fmt: skip
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
            for name, data in files.items()
        ]
        answers = self.web.answers
        api = f"/api/models/{hub_id}"
        if branch == "main":
            answers[api] = _json(about)
        for revision in (branch, commit):
            answers[f"{api}/revision/{revision}"] = _json(about)
        answers[f"{api}/tree/{commit}"] = _json(tree)
        no_such = Answer(status=404, headers={"X-Error-Code": "RevisionNotFound"})
        answers[f"{api}/revision/no-such"] = no_such
        for name, data in files.items():
            etag = hashlib.sha256(data).hexdigest() if name in large else _oid(data)
            answers[f"/{hub_id}/resolve/{commit}/{name}"] = Answer(
                data, etag=f'"{etag}"', headers={"X-Repo-Commit": commit}
            )

    def fetched(self) -> list[str]:
        """Names of the files that were sent since this was last asked."""
        names = [
            path.split("/", 5)[5]
            for method, path, _ in self.asked()
            if method == "GET" and "/resolve/" in path
        ]
        return sorted(names)

    def asked(self) -> list[tuple[str, str, str | None]]:
        """All requests since this or `fetched` was last called."""
        asked = [*self.web.asked]
        self.web.asked.clear()
        return asked


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _json(values: object) -> Answer:
    return Answer(json.dumps(values).encode(), content_type="application/json")


@contextmanager
def fake_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub whose cache is `folder`; repositories that aren't published aren't found."""
    with serving() as web:
        monkeypatch.setattr(constants, "ENDPOINT", web.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE",
            web.url + "/{repo_id}/resolve/{revision}/{filename}",
        )  # fmt: skip
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        web.default = Answer(status=404, headers={"X-Error-Code": "RepoNotFound"})
        yield Hub(web, folder)
