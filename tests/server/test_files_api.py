"""Uploads and downloads over plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from serving import EPIC, Served, serving, tone


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with served.client("first-token") as client:
        yield client


def uploaded(
    http: httpx.Client, content: bytes, name: str = "in.wav", **form: str
) -> httpx.Response:
    return http.post("/v1/files", files={"content": (name, content)}, data=form)


def test_an_upload_as_it_is_answered(served: Served, http: httpx.Client) -> None:
    answer = uploaded(http, tone(0.1), "take.bin", metadata='{"take": 2}')
    made = answer.json()
    assert answer.status_code == 201
    assert made["content_type"] == "audio/wav"
    assert made["name"] == "take.bin"
    assert made["metadata"] == {"take": 2}
    assert made["size"] == len(tone(0.1))
    assert set(made["checksums"]) == {"sha256", "md5"}
    assert made["expires_at"] > made["created_at"]
    assert made["urls"]["get"] == f"{served.url}/v1/files/{made['id']}"


def test_metadata_may_be_a_file(http: httpx.Client) -> None:
    parts = {
        "content": ("buffer_1", tone(0.1), "application/octet-stream"),
        "metadata": ("blob", b'{"a": "\xc3\xa9"}', "application/json"),
    }
    assert http.post("/v1/files", files=parts).json()["metadata"] == {"a": "é"}


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        "[]",
        '"x"',
        '{"a": "\\ud800"}',
        '{"a": NaN}',
        json.dumps({"a": "x" * 20_000}),
        "[" * 9999,
    ],
)
def test_wrong_metadata(http: httpx.Client, metadata: str) -> None:
    assert uploaded(http, b"x", metadata=metadata).status_code == 422


def test_uploads_without_a_file(http: httpx.Client) -> None:
    for answer in (
        http.post("/v1/files", data={"content": "text"}),
        http.post("/v1/files", json={"content": "text"}),
        http.post("/v1/files"),
    ):
        assert answer.status_code == 422
        assert answer.json()["invalid_fields"][0]["field"] == "content"
    broken = {"Content-Type": "multipart/form-data"}
    assert http.post("/v1/files", content=b"x", headers=broken).status_code == 400


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\r\nX-Bad: 1", "x" * 4000, "", "é.wav"])
def test_names_do_no_harm(http: httpx.Client, name: str) -> None:
    made = uploaded(http, tone(0.1), name or "x").json()
    assert "/" not in made["name"]
    assert len(made["name"].encode()) <= 255
    download = http.get(made["urls"]["download"])
    assert download.content == tone(0.1)
    assert "x-bad" not in download.headers


def test_downloads(served: Served, http: httpx.Client) -> None:
    made = uploaded(http, tone(0.1)).json()
    with served.client() as anyone:
        url = made["urls"]["download"]
        assert anyone.get(url).content == tone(0.1)
        assert anyone.head(url).headers["content-length"] == str(made["size"])
        assert anyone.get(url, headers={"Range": "bytes=0-3"}).content == b"RIFF"
        assert anyone.get(url.replace("expiry=", "expiry=9")).status_code == 404
        assert anyone.get(f"/v1/files/{made['id']}/download").status_code == 404
        assert anyone.get(f"/v1/files/{made['id']}").status_code == 401


def test_pages_are_never_run(http: httpx.Client) -> None:
    page = b"<html><script>alert(1)</script>"
    made = http.post("/v1/files", files={"content": ("x.html", page, "text/html")}).json()
    headers = http.get(made["urls"]["download"]).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


def test_outputs_are_had_by_their_url_alone(served: Served, http: httpx.Client) -> None:
    order = {"version": EPIC, "input": {"prompt": "epic"}}
    made = http.post("/v1/predictions", json=order, headers={"Prefer": "wait"}).json()
    url = http.get("/v1/predictions").json()["results"][0]["output"]
    with served.client() as anyone:
        answer = anyone.get(url)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "audio/wav"
        capability = urlsplit(url).path.split("/")[2]
        for wrong in (capability[:-1] + "x", made["id"], "..", "%2e%2e%2ffanfare.db"):
            assert anyone.get(f"/files/{wrong}/music.wav").status_code == 404
    # The music is no upload: it goes with its prediction.
    kept = served.store.prediction(made["id"], None)
    assert kept is not None
    assert http.delete(f"/v1/files/{kept.output_file}").status_code == 404


def test_files_of_others(served: Served, http: httpx.Client) -> None:
    made = uploaded(http, tone(0.1)).json()
    with served.client("other-token") as other:
        assert other.get(f"/v1/files/{made['id']}").status_code == 404
        assert other.delete(f"/v1/files/{made['id']}").status_code == 404
        assert made["id"] not in other.get("/v1/files").text
    assert http.delete(f"/v1/files/{made['id']}").status_code == 204
    assert http.get(f"/v1/files/{made['id']}").status_code == 404


def test_large_bodies_are_refused(tmp_path: Path) -> None:
    limits = {"max_upload_bytes": 100_000, "max_body_bytes": 50_000}
    with serving(tmp_path, works=False, **limits) as served, served.client() as http:
        assert uploaded(http, b"x" * 100_000).status_code == 201
        assert uploaded(http, b"x" * 100_001).status_code == 413
        assert uploaded(http, b"x" * 400_000).status_code == 413

        def endless() -> Iterator[bytes]:
            for _ in range(40):
                yield b"x" * 10_000

        chunked = http.post(
            "/v1/files",
            content=endless(),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
        assert chunked.status_code in {400, 413}
        body = {"version": EPIC, "input": {"prompt": "x" * 60_000}}
        answer = http.post("/v1/predictions", json=body)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        answer = http.post(
            "/v1/predictions", content=endless(), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 413
        incoming = tmp_path / "files" / "incoming"
        assert list(incoming.iterdir()) == []
