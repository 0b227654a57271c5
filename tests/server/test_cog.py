"""Cog's API over a server with a worker."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from starlette.testclient import TestClient

import fanfare
from fanfare.server.app import create_service
from fanfare.server.cog import create_cog_app
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files
from fanfare.server.store import Store
from fanfare.server.worker import Worker

Json = dict[str, Any]


class Cog:
    """A client, and what it has stopped."""

    def __init__(self, http: TestClient, stopped: list[bool]) -> None:
        self.http, self.stopped = http, stopped


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory, text_folder: Path) -> Iterator[Cog]:
    config = ServeConfig(home=tmp_path_factory.mktemp("home"), max_queue=8)
    store = Store(config.home)
    files = Files(config.home, store)
    model = fanfare.load(text_folder, device="cpu", engine="torch")
    worker = Worker("one", config, store, files, lambda hint: None, lambda name: model)
    thread = threading.Thread(target=worker.run)
    thread.start()
    stopped: list[bool] = []
    app = create_cog_app(create_service(config, store, files, None), lambda: stopped.append(True))
    with TestClient(app) as http:
        yield Cog(http, stopped)
    worker.stop(0)
    thread.join(30)
    store.close()


def asked(**inputs: Any) -> Json:
    return {"input": {"prompt": "epic brass", "duration": 1, "seed": 3, **inputs}}


def test_a_prediction_comes_with_its_music(cog: Cog) -> None:
    made = cog.http.post("/predictions", json=asked()).json()
    assert made["status"] == "succeeded"
    head, _, body = made["output"].partition(",")
    assert head == "data:audio/x-wav;base64" or head == "data:audio/wav;base64"
    samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(body)))
    assert (samples.shape[0], rate_hz) == (32000, 32000)
    assert made["metrics"]["predict_time"] > 0
    assert "Using seed: 3" in made["logs"]
    assert made["error"] is None


def test_inputs_that_python_leaves_open_are_null(cog: Cog) -> None:
    given = asked(input_audio=None, continuation_end=None, top_k="100")
    assert cog.http.post("/predictions", json=given).json()["status"] == "succeeded"


def test_one_id_is_one_prediction(cog: Cog) -> None:
    async_ = {"Prefer": "respond-async"}
    first = cog.http.put("/predictions/my-own", json=asked(duration=5), headers=async_)
    assert (first.status_code, first.json()) == (202, {"id": "my-own", "status": "starting"})
    again = cog.http.put("/predictions/my-own", json=asked(duration=5))
    assert again.json()["id"] == "my-own"
    end = time.monotonic() + 30
    while cog.http.put("/predictions/my-own", json=asked()).status_code == 202:
        assert time.monotonic() < end
        time.sleep(0.02)
    wrong = cog.http.put("/predictions/other", json={**asked(), "id": "another"})
    assert wrong.status_code == 422


def test_cancelled(cog: Cog) -> None:
    async_ = {"Prefer": "respond-async"}
    cog.http.put("/predictions/long", json=asked(duration=600), headers=async_)
    answer = cog.http.post("/predictions/long/cancel")
    assert (answer.status_code, answer.json()) == (200, {})
    assert cog.http.post("/predictions/long/cancel").status_code == 404
    assert cog.http.post("/predictions/none/cancel").status_code == 404


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ({"json": []}, 422),
        ({"json": {"input": 3}}, 422),
        ({}, 422),
        ({"json": {"input": {"prompt": "x", "top_k": -1}}}, 422),
        ({"json": {"input": {"prompt": "x", "input_audio": "/etc/hostname"}}}, 422),
    ],
)
def test_what_is_wrong_is_refused(cog: Cog, sent: Json, status: int) -> None:
    answer = cog.http.post("/predictions", **sent)
    assert answer.status_code == status
    if status == 422:
        assert answer.json()["detail"][0]["loc"][0] == "body"


def test_paths_are_no_names(cog: Cog) -> None:
    assert cog.http.put("/predictions/..%2Fx", json=asked()).status_code in {404, 422}


def test_what_it_says_of_itself(cog: Cog) -> None:
    links = cog.http.get("/").json()
    schema = cog.http.get(links["openapi_url"]).json()
    assert next(iter(schema["components"]["schemas"]["Input"]["properties"])) == "prompt"
    health = cog.http.get(links["healthcheck_url"]).json()
    assert (health["status"], health["setup"]["status"]) == ("READY", "succeeded")
    assert cog.http.post(links["shutdown_url"]).json() == {}
    assert cog.stopped == [True]
