"""Events and sound of predictions while they are made."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from serving import EPIC, Served, tone


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    served.worker.let_go.clear()
    with served.client("first-token") as client:
        yield client
    served.worker.let_go.set()


def created(http: httpx.Client, prompt: str) -> dict[str, object]:
    order = {"version": EPIC, "input": {"prompt": prompt, "seed": 1}}
    made: dict[str, object] = http.post("/v1/predictions", json=order).json()
    return made


def until(http: httpx.Client, made: dict[str, object], status: str) -> None:
    while http.get(f"/v1/predictions/{made['id']}").json()["status"] != status:
        time.sleep(0.02)


def events(text: str) -> list[dict[str, str]]:
    """Server-sent events as their fields; comments left out."""
    found: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        lines = [
            tuple(line.split(": ", 1)) for line in block.splitlines() if not line.startswith(":")
        ]
        if lines:
            found.append(dict(lines))
    return found


def test_events_need_no_token_but_the_urls_own(served: Served, http: httpx.Client) -> None:
    made = created(http, "epic")
    url = made["urls"]["stream"]  # type: ignore[index]
    assert url.startswith(f"{served.url}/v1/files/stream-")
    with served.client() as anyone:
        answer = anyone.get(url)
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = events(answer.text)
        assert [event["event"] for event in told][-2:] == ["output", "done"]
        assert told[-1]["data"] == "{}"
        assert all(event["id"].partition(":")[0].isdigit() for event in told)
        assert len({event["id"] for event in told}) == len(told)
        assert anyone.get(url[:-1] + "-").status_code == 404
        assert anyone.get(f"/v1/predictions/{made['id']}/stream").status_code == 401
    by_id = http.get(f"/v1/predictions/{made['id']}/stream").text
    # By now the logs come in one piece; before, they came as they were written.
    names = [event["event"] for event in told if event["event"] != "logs"]
    assert [event["event"] for event in events(by_id)] == ["logs", *names]


def test_events_come_as_they_happen(served: Served, http: httpx.Client) -> None:
    made = created(http, "slow")
    with http.stream("GET", made["urls"]["stream"]) as answer:  # type: ignore[index]
        lines = answer.iter_lines()
        assert next(line for line in lines if "45%" in line)
        assert http.get(f"/v1/predictions/{made['id']}").json()["status"] == "processing"
        served.worker.let_go.set()
        assert [line for line in lines if line.startswith("event")][-1] == "event: done"


@pytest.mark.parametrize(
    ("prompt", "reason", "names"),
    [("fail", "error", ["error", "done"]), ("slow", "canceled", ["done"])],
)
def test_bad_ends_are_told(http: httpx.Client, prompt: str, reason: str, names: list[str]) -> None:
    made = created(http, prompt)
    if prompt == "slow":
        http.post(f"/v1/predictions/{made['id']}/cancel")
    told = events(http.get(made["urls"]["stream"]).text)  # type: ignore[index]
    assert [event["event"] for event in told if event["event"] != "logs"] == names
    assert json.loads(told[-1]["data"]) == {"reason": reason}
    if names[0] == "error":
        assert json.loads(told[-2]["data"]) == {"detail": "the strings broke"}


@pytest.mark.parametrize("output_format", ["wav", "flac", "ogg"])
def test_sound_is_sent_while_it_is_made(
    served: Served, http: httpx.Client, output_format: str
) -> None:
    """What players can't play without its end grows as a wav, whatever the file will be."""
    given = {"prompt": "slow", "seed": 1, "output_format": output_format}
    made = http.post("/v1/models/fanfare/epic-mini/predictions", json={"input": given}).json()
    whole = tone(2.0, 201)
    with served.client() as anyone, anyone.stream("GET", made["urls"]["audio"]) as answer:  # type: ignore[index]
        assert answer.headers["content-type"] == "audio/wav"
        chunks = answer.iter_raw()
        sound = b""
        while len(sound) < len(whole) // 2:
            sound += next(chunks)
        assert http.get(f"/v1/predictions/{made['id']}").json()["status"] == "processing"
        served.worker.let_go.set()
        sound += b"".join(chunks)
    assert sound == whole


def test_sound_that_is_canceled_ends_with_an_error(http: httpx.Client) -> None:
    made = created(http, "slow")
    with http.stream("GET", made["urls"]["audio"]) as answer:  # type: ignore[index]
        chunks = answer.iter_raw()
        next(chunks)
        with http.stream("POST", f"/v1/predictions/{made['id']}/cancel"):
            pass
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)


def test_finished_sound_is_the_file(served: Served, http: httpx.Client) -> None:
    made = created(http, "epic")
    until(http, made, "succeeded")
    url = f"/v1/predictions/{made['id']}/audio"
    whole = http.get(url)
    assert whole.content == tone(2.0, 201)
    assert http.get(url, headers={"Range": "bytes=0-3"}).content == b"RIFF"
    with served.client() as anyone:
        assert anyone.get(url).status_code == 401
        assert anyone.get(url, params={"token": "x"}).status_code == 404
    failed = created(http, "fail")
    until(http, failed, "failed")
    assert http.get(f"/v1/predictions/{failed['id']}/audio").status_code == 409


def test_a_server_that_stops_lets_nobody_wait(served: Served, http: httpx.Client) -> None:
    hints = served.app.state.service.hints
    order = {"version": EPIC, "input": {"prompt": "slow"}}
    threading.Timer(0.5, hints.stop).start()
    began = time.monotonic()
    try:
        made = http.post("/v1/predictions", json=order, headers={"Prefer": "wait"}).json()
        assert made["status"] == "starting"
        told = events(http.get(made["urls"]["stream"]).text)
        assert {event["event"] for event in told} <= {"logs"}
        with suppress(httpx.RemoteProtocolError):  # when the sound has begun already
            assert http.get(made["urls"]["audio"]).status_code == 503
    finally:
        hints.is_stopped = False
    assert time.monotonic() - began < 5
