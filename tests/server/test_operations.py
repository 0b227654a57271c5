"""Health, figures, logs, ids of requests, and what errors say."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import EPIC, Served, serving, tone

from fanfare.server.logs import JsonLines
from fanfare.server.records import StoreError


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with served.client("first-token") as client:
        yield client


@pytest.fixture
def lines() -> Iterator[Any]:
    """What is logged, as it would be written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: record.name != "httpx")  # that is these tests' own client
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


def test_health_check_needs_no_token(served: Served) -> None:
    with served.client() as anyone:
        health = anyone.get("/health-check").json()
    assert health["status"] == "READY"
    assert health["queue"] == {"waiting": 0, "running": 0}


def test_metrics(served: Served, http: httpx.Client) -> None:
    http.get("/v1/account")
    page = http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    assert 'fanfare_predictions{status="starting"} 0.0' in page.text
    assert "fanfare_worker_steps_per_second 200.0" in page.text
    assert 'fanfare_http_requests_total{method="GET",route="/v1/account",status="200"}' in page.text
    assert "process_resident_memory_bytes" in page.text
    with served.client() as anyone:
        assert anyone.get("/metrics").status_code == 401


def test_paths_that_nobody_knows_make_one_figure(http: httpx.Client) -> None:
    for i in range(5):
        http.get(f"/nothing/{i}")
        http.request(f"ODD{i}", "/nothing")
    page = http.get("/metrics").text
    assert "/nothing" not in page
    assert 'route="none",status="404"} ' in page


def test_every_answer_has_an_id(http: httpx.Client) -> None:
    first, second = (http.get("/v1/account").headers["x-request-id"] for _ in range(2))
    assert first != second
    given = http.get("/v1/account", headers={"X-Request-Id": "abc-1.2_3"})
    assert given.headers["x-request-id"] == "abc-1.2_3"
    for wrong in ("a b", "x" * 65, '"'):
        answer = http.get("/v1/account", headers={"X-Request-Id": wrong})
        assert answer.headers["x-request-id"] != wrong


def test_logs_name_requests_and_hold_no_secrets(
    served: Served, http: httpx.Client, lines: Any
) -> None:
    secret = "c2VjcmV0LW11c2lj"
    order = {
        "version": EPIC,
        "input": {"prompt": "x", "input_audio": f"data:audio/wav;base64,{secret}"},
        "webhook": "https://example.com/hook?key=hush",
    }
    made = http.post("/v1/predictions", json=order, headers={"X-Request-Id": "mine"}).json()
    http.get(made["urls"]["stream"])
    http.get(made["urls"]["audio"])
    http.get("/v1/account", headers={"Authorization": "Bearer nearly-first-token"})
    upload = http.post("/v1/files", files={"content": ("in.wav", tone(0.1))}).json()
    http.get(upload["urls"]["download"])
    output = http.get("/v1/predictions").json()["results"][0]["output"]
    http.get(output)
    told = lines()
    mine = next(line for line in told if line.get("request_id") == "mine")
    assert mine["route"] == "/v1/predictions"
    assert mine["status"] == 201
    assert mine["took_ms"] >= mine["answered_ms"] > 0
    text = json.dumps(told)
    stream_token = made["urls"]["stream"].rpartition("-")[2]
    signature = upload["urls"]["download"].rpartition("=")[2]
    capability = output.split("/")[4]
    for hidden in (secret, "first-token", "hush", stream_token, signature, capability):
        assert hidden not in text
    assert secret not in json.dumps(http.get("/v1/predictions").json())


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/v1/predictions/nothing", 404, "Not found"),
        ("GET", "/v1/nothing", 404, "Not found"),
        ("GET", "/v1/predictions/", 404, "Not found"),
        ("DELETE", "/v1/predictions", 405, "Method Not Allowed"),
        ("GET", "/v1/models/fofr/other", 404, "Not found"),
        ("GET", "/v1/models/fofr/musicgen-epic/versions/0000000000", 404, "Not found"),
        ("GET", "/v1/trainings/x", 404, "Not found"),
        ("GET", "/v1/collections/x", 404, "Not found"),
        ("POST", "/v1/models", 403, "Forbidden"),
        ("GET", "/v1/files/x", 404, "Not found"),
        ("GET", "/v1/files/..%2f..%2ffanfare.db", 404, "Not found"),
        ("GET", "/v1/files/stream-x", 404, "Not found"),
    ],
)
def test_problems(http: httpx.Client, method: str, path: str, status: int, title: str) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (status, title)
    assert problem["detail"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic first-token"])
def test_without_a_token(served: Served, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    with served.client() as anyone:
        answer = anyone.get("/v1/predictions", headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {
        "title": "Unauthenticated",
        "detail": "You did not pass a valid authentication token",
        "status": 401,
    }


@pytest.mark.parametrize(
    "header", ["Bearer first-token", "Token first-token", "bearer  other-token"]
)
def test_with_a_token(served: Served, header: str) -> None:
    with served.client() as anyone:
        answer = anyone.get("/v1/account", headers={"Authorization": header})
    assert answer.json()["type"] == "user"
    assert "token" not in answer.json()["username"].removeprefix("token-")


def test_urls_are_never_made_of_what_the_client_says(served: Served, http: httpx.Client) -> None:
    lying = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"}
    for path in ("/v1/predictions", "/v1/models", "/v1/files", "/v1/predictions/"):
        answer = http.get(path, headers=lying)
        assert "evil" not in answer.text + str(answer.headers)


def test_faults_say_nothing_of_the_inside(
    served: Served, http: httpx.Client, monkeypatch: pytest.MonkeyPatch, lines: Any
) -> None:
    def broken(*_: object) -> Mapping[str, int]:
        raise ValueError("the inside")

    monkeypatch.setattr(served.store, "request_cancel", broken)
    answer = http.post("/v1/predictions/x/cancel", headers={"X-Request-Id": "broken"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "broken"
    assert "inside" not in answer.text
    logged = next(line for line in lines() if "exception" in line)
    assert "the inside" in logged["exception"]
    assert logged["request_id"] == "broken"


def test_a_store_that_is_away_is_told_as_such(
    served: Served, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise StoreError("database is locked")

    monkeypatch.setattr(served.store, "request_cancel", locked)
    answer = http.post("/v1/predictions/x/cancel")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_tasks_run_as_long_as_the_app(tmp_path: Path) -> None:
    import asyncio

    told = []

    async def task() -> None:
        told.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    with serving(tmp_path, works=False, tasks=(task,)):
        assert told == ["begun"]
    assert told == ["begun", "ended"]


def test_the_document_names_every_route(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {"post", "get"} == set(paths["/v1/predictions"])
    assert "/v1/files" in paths
    assert "/health-check" in paths
