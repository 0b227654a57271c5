"""The history as the page gets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Served, serving, tone

from fanfare.epic.understand import understand
from fanfare.server.playground.ideas import IDEAS
from fanfare.server.playground.studio import Studio

PATIENCE_S = 120
"""With what a process of its own does, on a machine that has much else to do."""


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    served.worker.let_go.clear()
    with served.client("first-token") as client:
        yield client
    served.worker.let_go.set()


def created(http: httpx.Client, prompt: str, **more: Any) -> str:
    given = {"prompt": prompt, "seed": 7, **more}
    answer = http.post("/v1/models/fanfare/epic-mini/predictions", json={"input": given})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def until(http: httpx.Client, id_: str, status: str) -> dict[str, Any]:
    end = time.monotonic() + 20
    while (made := http.get(f"/v1/history/{id_}").json())["status"] != status:
        assert time.monotonic() < end, made
        time.sleep(0.02)
    assert isinstance(made, dict)
    return made


def test_an_entry_holds_all_that_the_page_shows(served: Served, http: httpx.Client) -> None:
    made = until(http, created(http, "Heroic brass!", duration=4), "succeeded")
    assert (made["seed"], made["weights"], made["starred"]) == (7, "epic-mini", False)
    assert (made["position"], made["progress"], made["recording"]) == (None, None, None)
    assert made["duration_s"] == 4  # this worker doesn't say: what was asked for
    assert made["rtf"] == pytest.approx(4 / made["metrics"]["predict_time"], abs=0.01)
    assert made["output"].startswith(served.url)
    assert "Using seed: 7" in made["logs"]
    with served.client() as anyone:
        assert anyone.get(made["audio_url"]).content == tone(1.0, 207)
        assert "event: done" in anyone.get(made["events_url"]).text
        assert anyone.get(f"/v1/history/{made['id']}").status_code == 401
    listed = http.get("/v1/history", params={"query": "heroic BRASS!"}).json()["results"]
    assert listed[0].pop("output").startswith(served.url)
    assert {**listed[0], "logs": made["logs"], "output": made["output"]} == made


def test_how_far_it_is_and_what_waits(tmp_path: Path) -> None:
    with serving(tmp_path, works=False) as served, served.client() as http:
        ids = [created(http, f"piece {i}") for i in range(3)]
        assert [until(http, id_, "starting")["position"] for id_ in ids] == [0, 1, 2]
        served.store.claim("worker", 1, 2)
        served.store.begin(ids[0], by="worker")
        served.store.add_logs(ids[0], "begun\n", (0, 400), by="worker")
        begun = until(http, ids[0], "processing")
        assert begun["progress"] == {"step": 0, "n_steps": 400, "seconds_left": None}
        time.sleep(0.05)
        served.store.set_progress(ids[0], 100, 400, by="worker")
        progress = until(http, ids[0], "processing")["progress"]
        assert progress["step"] == 100
        assert 0.1 <= progress["seconds_left"] < 30
        assert until(http, ids[0], "processing")["downloads"] is None
        entries = http.get("/v1/history").json()["results"]
        assert [entry["position"] for entry in entries] == [1, 0, None]
        served.store.fail(ids[0], "the strings broke", by="worker")
        failed = until(http, ids[0], "failed")
        assert (failed["error"], failed["audio_url"]) == ("the strings broke", None)


def test_stars_pages_and_deleting(http: httpx.Client) -> None:
    ids = [created(http, f"starfish {i}") for i in range(3)]
    for id_ in ids:
        until(http, id_, "succeeded")
    assert http.put(f"/v1/history/{ids[1]}", json={"starred": True}).json()["starred"]
    query: dict[str, Any] = {"query": "starfish", "limit": 2}
    first = http.get("/v1/history", params=query).json()
    assert [entry["id"] for entry in first["results"]] == [ids[2], ids[1]]
    rest = http.get("/v1/history", params={**query, "before": first["next"]}).json()
    assert ([entry["id"] for entry in rest["results"]], rest["next"]) == ([ids[0]], None)
    starred = http.get("/v1/history", params={"starred": True}).json()["results"]
    assert [entry["id"] for entry in starred] == [ids[1]]
    audio = http.get(f"/v1/history/{ids[1]}").json()["audio_url"]
    assert http.delete(f"/v1/history/{ids[1]}").status_code == 204
    assert http.delete(f"/v1/history/{ids[1]}").status_code == 404
    assert http.get(audio).status_code == 404
    assert http.get(f"/v1/predictions/{ids[1]}").status_code == 404


def test_deleting_removes_the_music_and_stops_what_is_made(
    served: Served, http: httpx.Client
) -> None:
    made = until(http, created(http, "short"), "succeeded")
    file = served.store.prediction(made["id"], None)
    assert file is not None
    assert file.output_file is not None
    path = served.files.path(file.output_file)
    assert path.exists()
    http.delete(f"/v1/history/{made['id']}")
    assert not path.exists()
    running = until(http, created(http, "slow"), "processing")
    with httpx.stream("GET", f"{served.url}{running['audio_url']}") as answer:
        chunks = answer.iter_raw()
        next(chunks)
        http.delete(f"/v1/history/{running['id']}")
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)
    assert served.store.cancel_requested([running["id"]], by="worker") == {running["id"]}


def test_owners_see_their_own(served: Served, http: httpx.Client) -> None:
    mine = created(http, "mine alone")
    with served.client("other-token") as other:
        assert other.get(f"/v1/history/{mine}").status_code == 404
        assert other.put(f"/v1/history/{mine}", json={"starred": True}).status_code == 404
        assert other.delete(f"/v1/history/{mine}").status_code == 404
        ids = [entry["id"] for entry in other.get("/v1/history").json()["results"]]
        assert mine not in ids
        assert other.get("/v1/history", params={"before": mine}).status_code == 422
    until(http, mine, "succeeded")


def test_wrong_requests_name_their_field(http: httpx.Client) -> None:
    id_ = created(http, "right")
    for body in ({}, {"starred": "yes"}, {"starred": None}):
        answer = http.put(f"/v1/history/{id_}", json=body)
        assert answer.status_code == 422
        assert answer.json()["invalid_fields"][0]["field"] == "starred"
    assert http.get("/v1/history", params={"limit": 0}).status_code == 422
    assert http.get("/v1/history", params={"starred": "perhaps"}).status_code == 422


def test_markup_is_text(http: httpx.Client) -> None:
    prompt = "<img src=x onerror=alert(1)>\"'& brass"
    made = until(http, created(http, prompt), "succeeded")
    assert made["input"]["prompt"] == prompt
    found = http.get("/v1/history", params={"query": "<img onerror"}).json()["results"]
    assert found[0]["id"] == made["id"]


def test_a_share_shows_one_result_and_nothing_of_its_owner(
    served: Served, http: httpx.Client
) -> None:
    sound = {"content": ("my secret demo.wav", tone(1.0), "audio/wav")}
    upload = http.post("/v1/files", files=sound).json()
    id_ = created(http, "brass", input_audio=upload["urls"]["get"])
    made = until(http, id_, "succeeded")
    with served.client() as anyone:
        assert made["recording"]["name"] == "my secret demo.wav"
        assert anyone.get(made["recording"]["url"]).content == tone(1.0)
        capability = made["share_url"].removeprefix("/share/")
        shared = anyone.get(f"/v1/shared/{capability}").json()
        assert shared["read_only"] is True
        assert shared["input"] == {"prompt": "brass", "seed": 7}
        assert "secret" not in str(shared)
        assert not {"logs", "urls", "starred", "webhook", "output"} & set(shared)
        assert anyone.get(shared["audio_url"]).content == tone(2.0, 207)
        assert anyone.get(f"/v1/shared/{capability[:-1]}").status_code == 404
        assert anyone.get("/v1/history").status_code == 401
        http.delete(f"/v1/history/{id_}")
        assert anyone.get(f"/v1/shared/{capability}").status_code == 404


def test_a_piece_is_looked_at_once_and_by_who_has_its_token(
    served: Served, http: httpx.Client
) -> None:
    upload = http.post("/v1/files", files={"content": ("a.wav", tone(1.0, 207), "audio/wav")})
    id_ = created(http, "brass", input_audio=upload.json()["urls"]["get"])
    made = until(http, id_, "succeeded")
    with served.client() as anyone:
        found = anyone.get(made["analysis_url"], timeout=PATIENCE_S)
        assert found.status_code == 200, found.text
        assert found.headers["content-type"] == "application/json"
        assert found.json()["duration_s"] == 2
        assert found.json()["melody"]["agreement"] > 0.9
        assert anyone.get(f"/v1/history/{id_}/analysis").status_code == 401
        assert anyone.get(f"/v1/history/{id_}/analysis?token=x").status_code == 404
    prediction = served.store.prediction(id_, None)
    assert prediction is not None
    assert prediction.output_file is not None
    kept = served.files.derived(prediction.output_file)
    kept.write_bytes(b'{"kept": true}')
    assert http.get(f"/v1/history/{id_}/analysis").json() == {"kept": True}
    with served.client("other-token") as other:
        assert other.get(f"/v1/history/{id_}/analysis").status_code == 404
    http.delete(f"/v1/history/{id_}")
    assert not kept.exists()


def test_downloads_have_a_name_and_the_format_asked_for(served: Served, http: httpx.Client) -> None:
    made = until(http, created(http, "Héroïc <brass>!", duration=4), "succeeded")
    with served.client() as anyone:
        got = {
            name: anyone.get(path, timeout=PATIENCE_S) for name, path in made["downloads"].items()
        }
    assert got["wav"].content == tone(1.0, 207)
    for name, (kind, head) in {
        "wav": ("audio/wav", b"RIFF"),
        "mp3": ("audio/mpeg", b"\xff"),
        "flac": ("audio/flac", b"fLaC"),
    }.items():
        assert got[name].headers["content-type"] == kind
        assert got[name].content.startswith(head)
        disposition = got[name].headers["content-disposition"]
        assert disposition.startswith(f'attachment; filename="heroic-brass-s7.{name}"')
    end = time.monotonic() + 10
    while list(served.config.home.glob("files/incoming/*")):  # removed once it is sent
        assert time.monotonic() < end
        time.sleep(0.02)
    wrong = http.get(f"/v1/history/{made['id']}/download", params={"format": "exe"})
    assert wrong.status_code == 422


def test_what_is_not_made_can_t_be_had(http: httpx.Client) -> None:
    failed = until(http, created(http, "fail"), "failed")
    assert (failed["downloads"], failed["analysis_url"]) == (None, None)
    for part in ("analysis", "download"):
        answer = http.get(f"/v1/history/{failed['id']}/{part}")
        assert answer.status_code == 409
        assert "failed" in answer.json()["detail"]


def test_an_errand_that_fails_is_told_plainly(served: Served, http: httpx.Client) -> None:
    made = until(http, created(http, "brass"), "succeeded")
    before = served.app.state.studio
    served.app.state.studio = Studio(served.files, ["false"])
    try:
        assert http.get(f"/v1/history/{made['id']}/analysis").status_code == 503
        answer = http.get(f"/v1/history/{made['id']}/download?format=mp3")
        assert answer.status_code == 503
        assert list(served.config.home.glob("files/incoming/*")) == []
    finally:
        served.app.state.studio = before


def test_what_the_page_begins_with(served: Served, http: httpx.Client) -> None:
    about = http.get("/v1/playground").json()
    assert about["needs_token"] is True
    assert [f"{model['owner']}/{model['name']}" for model in about["models"]] == [
        "fanfare/epic-mini",
        "fofr/musicgen-epic",
    ]
    assert about["limits"]["max_duration_s"] == 600
    with served.client() as anyone:
        assert set(anyone.get("/v1/playground").json()) == {"needs_token", "version"}


def test_paths_go_by_the_public_url(tmp_path: Path) -> None:
    url = "https://music.me/fanfare"
    with (
        serving(tmp_path, works=False, public_url=url) as served,
        httpx.Client(base_url=f"http://127.0.0.1:{served.config.port}") as http,
    ):
        entry = until(http, created(http, "brass"), "starting")
    assert entry["share_url"].startswith("/fanfare/share/")
    assert entry["audio_url"].startswith("/fanfare/v1/predictions/")
    assert entry["events_url"].startswith("/fanfare/v1/files/stream-")


def test_status(served: Served, http: httpx.Client) -> None:
    status = http.get("/v1/status").json()
    assert set(status["queue"]) == {"starting", "processing", "succeeded", "failed", "canceled"}
    assert status["worker"]["state"] == "ready"
    assert status["uptime_s"] > 0
    assert status["storage_bytes"] > 0
    with served.client() as anyone:
        assert anyone.get("/v1/status").status_code == 401


def test_models_are_loaded_and_let_go(served: Served, http: httpx.Client) -> None:
    worker = served.worker
    assert [line["state"] for line in http.get("/v1/loaded").json()["models"]] == ["unloaded"] * 2
    answer = http.post("/v1/loaded/fanfare/epic-mini")
    assert (answer.status_code, answer.json()["state"]) == (202, "loading")
    place = {"state": "loaded", "memory_bytes": 7, "engine": "onnxruntime int8", "n_playing": 1}
    worker.loaded["epic-mini"] = {**place, "licence": "Apache-2.0", "error": None}
    own, epic = http.get("/v1/loaded").json()["models"]
    assert own == {
        **worker.loaded["epic-mini"],
        "owner": "fanfare",
        "name": "epic-mini",
        "weights": "epic-mini",
        "is_default": True,
        "engine": "onnxruntime",
        "precision": "int8",
    }
    assert {**epic, "owner": "fanfare", "name": "epic-mini"} == own
    assert http.delete("/v1/loaded/fanfare/epic-mini").json()["state"] == "unloaded"
    assert http.post("/v1/loaded/fanfare/other").status_code == 404
    worker.is_there = False
    try:
        assert http.post("/v1/loaded/fanfare/epic-mini").status_code == 503
    finally:
        worker.is_there = True
    with served.client() as anyone:
        assert anyone.get("/v1/loaded").status_code == 401
        assert anyone.post("/v1/loaded/fanfare/epic-mini").status_code == 401
        assert anyone.delete("/v1/loaded/fanfare/epic-mini").status_code == 401


@pytest.mark.parametrize("idea", IDEAS)
def test_every_idea_is_understood(idea: str) -> None:
    meant = understand(idea)
    said = [meant.mood, meant.bpm, meant.key, meant.form, meant.meter, meant.intensity]
    assert sum(one is not None for one in said) + bool(meant.instruments) >= 3, meant
    assert meant.instruments
