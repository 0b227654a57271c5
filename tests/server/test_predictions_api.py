"""Predictions over plain HTTP: what the official clients don't show."""

from __future__ import annotations

import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import EPIC, Served, new_prediction, serving, tone

from fanfare.server.config import REPLICATE_VERSION

FIRST = "first-token"


@pytest.fixture
def http(served: Served) -> Any:
    with served.client(FIRST) as client:
        yield client


def create(http: httpx.Client, prompt: str = "epic", **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"version": EPIC, "input": {"prompt": prompt, **more.pop("input", {})}, **more}
    return http.post("/v1/predictions", json=body, headers=headers)


def test_a_new_prediction_as_it_is_answered(served: Served, http: httpx.Client) -> None:
    answer = create(http, input={"seed": 7})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == made["urls"]["get"]
    assert made["id"].isalnum()
    assert len(made["id"]) == 26
    assert {key: made[key] for key in made if key not in {"id", "created_at", "urls"}} == {
        "model": "fofr/musicgen-epic",
        "version": REPLICATE_VERSION,
        "input": {"prompt": "epic", "seed": 7},
        "output": None,
        "logs": "",
        "error": None,
        "status": "starting",
        "source": "api",
        "data_removed": False,
    }
    assert set(made["urls"]) == {"get", "cancel", "web", "stream", "audio"}
    assert all(url.startswith(served.url) for url in made["urls"].values())
    assert made["created_at"].endswith("Z")
    assert len(made["created_at"]) == len("2024-10-04T18:13:29.957Z")


@pytest.mark.parametrize(
    "version",
    [
        "3c7800f6",
        REPLICATE_VERSION,
        REPLICATE_VERSION.upper(),
        "fofr/musicgen-epic",
        f"fofr/musicgen-epic:{REPLICATE_VERSION}",
    ],
)
def test_references(http: httpx.Client, version: str) -> None:
    made = http.post("/v1/predictions", json={"version": version, "input": {"prompt": "x"}})
    assert made.json()["version"] == REPLICATE_VERSION


@pytest.mark.parametrize(
    "version", ["3c7800", "", "fofr/other:3c7800f6", "nobody/nothing", "a:b:c"]
)
def test_references_to_nothing(http: httpx.Client, version: str) -> None:
    answer = http.post("/v1/predictions", json={"version": version, "input": {"prompt": "x"}})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Invalid version or not permitted"


def test_own_models_are_beside_the_published_one(http: httpx.Client) -> None:
    answer = http.post("/v1/models/fanfare/epic-mini/predictions", json={"input": {"prompt": "x"}})
    assert answer.json()["model"] == "fanfare/epic-mini"
    assert http.post("/v1/models/a/b/predictions", json={"input": {}}).status_code == 404


def test_waiting_ends_with_the_prediction(http: httpx.Client) -> None:
    answer = create(http, headers={"Prefer": "wait=20"})
    made = answer.json()
    assert answer.headers["preference-applied"] == "wait=20"
    assert made["status"] == "succeeded"
    assert made["output"].startswith("data:audio/wav;base64,")
    assert base64.b64decode(made["output"].partition(",")[2])[:4] == b"RIFF"
    assert made["metrics"]["predict_time"] <= made["metrics"]["total_time"]
    assert made["started_at"] <= made["completed_at"]
    assert "Using seed" in made["logs"]


def test_a_wait_that_is_too_short_is_answered_in_time(http: httpx.Client) -> None:
    """And as `starting`, though it runs: of anything else the clients would take null for music."""
    began = time.monotonic()
    made = create(http, "slow", headers={"Prefer": "wait=1"}).json()
    assert 0.7 < time.monotonic() - began < 1.2
    assert made["status"] == "starting"
    assert "started_at" not in made
    now = http.get(made["urls"]["get"]).json()
    assert now["status"] == "processing"
    assert now["started_at"]
    canceled = http.post(made["urls"]["cancel"]).json()
    assert canceled["status"] == "canceled"
    assert http.post(made["urls"]["cancel"]).json() == canceled


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [("respond-async", None), ("wait=x", None), ("handling=lenient, wait=0", "wait=0")],
)
def test_other_preferences(http: httpx.Client, prefer: str, applied: str | None) -> None:
    answer = create(http, headers={"Prefer": prefer})
    assert answer.headers.get("preference-applied") == applied
    assert answer.json()["status"] == "starting"


def test_without_hints_waiting_still_ends(tmp_path: Path) -> None:
    """A hint may get lost: then the store is asked."""
    with serving(tmp_path) as served, served.client() as http:
        served.worker.changed.clear()
        began = time.monotonic()
        assert create(http, headers={"Prefer": "wait=10"}).json()["status"] == "succeeded"
        assert time.monotonic() - began < 2


def test_many_wait_at_once(tmp_path: Path) -> None:
    """Waiting takes no thread: more may wait than there are threads, and others get through."""
    n = 60
    with serving(tmp_path) as served:
        statuses: list[str] = []

        def wait() -> None:
            with served.client() as http:
                statuses.append(create(http, "slow", headers={"Prefer": "wait"}).json()["status"])

        threads = [threading.Thread(target=wait) for _ in range(n)]
        for thread in threads:
            thread.start()
        with served.client() as http:
            while served.store.counts()["processing"] < n:
                time.sleep(0.02)
            began = time.monotonic()
            assert http.get("/v1/account").status_code == 200
            assert time.monotonic() - began < 1
        served.worker.let_go.set()
        for thread in threads:
            thread.join(30)
        assert statuses == ["succeeded"] * n


def test_sloppy_inputs_are_understood(http: httpx.Client) -> None:
    given = {
        "duration": "9",
        "seed": None,
        "continuation": "false",
        "top_p": "0.5",
        "junk": {"a": 1},
    }
    made = create(http, input=given, stream=True, nonsense=[1]).json()
    assert made["input"] == {"prompt": "epic", "duration": 9, "continuation": False, "top_p": 0.5}


@pytest.mark.parametrize(
    ("given", "kind", "field", "description"),
    [
        ({"duration": 0}, "number_gte", "input.duration", "Must be greater than or equal to 1"),
        ({"top_p": 2}, "number_lte", "input.top_p", "Must be less than or equal to 1"),
        (
            {"output_format": "aac"},
            "enum",
            "input.output_format",
            'input.output_format must be one of the following: "wav", "mp3"',
        ),
        ({"seed": "x"}, "invalid_type", "input.seed", "Expected: integer, given: string"),
        ({"prompt": {}}, "invalid_type", "input.prompt", "Expected: string, given: object"),
        (
            {"prompt": "x" * 4001},
            "string_lte",
            "input.prompt",
            "String length must be less than or equal to 4000",
        ),
        (
            {"input_audio": "/etc/hostname"},
            "format",
            "input.input_audio",
            "Does not match format 'uri'",
        ),
        (
            {"input_audio": "file:///etc/hostname"},
            "format",
            "input.input_audio",
            "Does not match format 'uri'",
        ),
        (
            {"input_audio": "http:///x"},
            "format",
            "input.input_audio",
            "the URL has no proper host",
        ),
        (
            {"input_audio": {"path": "/x"}},
            "format",
            "input.input_audio",
            "Does not match format 'uri'",
        ),
        (
            {"continuation": True},
            "invalid",
            "input.continuation",
            "needs input_audio: give a recording, or leave this out",
        ),
        (
            {"prompt": " "},
            "invalid",
            "input.prompt",
            "say what to play, or give input_audio",
        ),
    ],
)
def test_wrong_inputs(
    http: httpx.Client, given: dict[str, Any], kind: str, field: str, description: str
) -> None:
    answer = create(http, input=given)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "title": "Input validation failed",
        "detail": f"- {field}: {description}\n",
        "status": 422,
        "invalid_fields": [{"type": kind, "field": field, "description": description}],
    }


def test_own_versions_take_more_than_the_published_one(http: httpx.Client) -> None:
    given = {"prompt": "x", "output_format": "flac", "classifier_free_guidance": 2.5}
    own = http.post("/v1/models/fanfare/epic-mini/predictions", json={"input": given})
    assert (own.status_code, own.json()["input"]) == (201, given)
    problem = create(http, input=given).json()
    assert {(one["field"], one["description"]) for one in problem["invalid_fields"]} == {
        ("input.classifier_free_guidance", "Expected: integer, given: number"),
        (
            "input.output_format",
            'input.output_format must be one of the following: "wav", "mp3"',
        ),
    }


def test_a_server_may_allow_less_than_the_default(tmp_path: Path) -> None:
    with serving(tmp_path, works=False, max_duration_s=3) as served, served.client() as http:
        assert create(http).status_code == 201
        problem = create(http, input={"duration": 8, "seed": -2}).json()
        assert [one["field"] for one in problem["invalid_fields"]] == [
            "input.duration",
            "input.seed",
        ]


NO_PLACE_TO_GO = [
    "http://127.0.0.1/x",
    "http://2130706433/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://169.254.169.254/latest/meta-data",
    "https://user:word@example.com/x",
    "http://example.com:25/x",
    "http://exam ple.com/x",
    "http://example.com/" + "x" * 4096,
]


@pytest.mark.parametrize("url", NO_PLACE_TO_GO)
def test_urls_that_will_not_be_visited_are_refused_at_once(http: httpx.Client, url: str) -> None:
    for order, field in (
        ({"input": {"input_audio": url}}, "input.input_audio"),
        ({"webhook": url}, "webhook"),
        ({"webhook_completed": url}, "webhook_completed"),
    ):
        answer = create(http, **order)
        assert answer.status_code == 422
        (found,) = answer.json()["invalid_fields"]
        assert (found["type"], found["field"]) == ("format", field)
        assert "URL" in found["description"] or "port" in found["description"]
        assert "word" not in answer.text


def test_private_urls_are_taken_where_the_server_may_go_there(tmp_path: Path) -> None:
    with serving(tmp_path, works=False, allow_private_urls=True) as served, served.client() as http:
        for url, status in (("http://127.0.0.1/x", 201), ("http://169.254.169.254/x", 422)):
            assert create(http, webhook=url).status_code == status
            assert create(http, input={"input_audio": url}).status_code == status


def test_all_wrong_inputs_are_named_at_once(http: httpx.Client) -> None:
    problem = create(http, input={"duration": 0, "top_k": -1, "temperature": "hot"}).json()
    fields = [one["field"] for one in problem["invalid_fields"]]
    assert fields == ["input.duration", "input.top_k", "input.temperature"]


@pytest.mark.parametrize("uri", ["data:audio/wav;base64,@@@@", "data:", "data:audio/wav;base64"])
def test_wrong_data_uris(http: httpx.Client, uri: str) -> None:
    problem = create(http, input={"input_audio": uri}).json()
    assert problem["status"] == 422
    assert problem["invalid_fields"][0]["field"] == "input.input_audio"


def test_files_of_others_are_no_inputs(served: Served, http: httpx.Client) -> None:
    made = http.post("/v1/files", files={"content": ("in.wav", tone(0.1))}).json()
    assert create(http, input={"input_audio": made["urls"]["get"]}).status_code == 201
    with served.client("other-token") as other:
        assert create(other, input={"input_audio": made["urls"]["get"]}).status_code == 422
        # A signed URL is meant to be handed on.
        assert create(other, input={"input_audio": made["urls"]["download"]}).status_code == 201


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b'{"version": "3c7800f6", "input": []}', "application/json", 422),
        (b'{"version": 3}', "application/json", 422),
        (b'{"version": "3c7800f6", "input": {"seed": 1e999}}', "application/json", 422),
        (b'{"version": "3c7800f6", "input": {"prompt": "\\ud800"}}', "application/json", 422),
        (b'{"version": "\\ud800"}', "application/json", 422),
        (b"version=3c7800f6", "application/x-www-form-urlencoded", 422),
    ],
)
def test_broken_bodies(http: httpx.Client, content: bytes, media_type: str, status: int) -> None:
    answer = http.post("/v1/predictions", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_webhooks_are_kept_with_their_filter(served: Served, http: httpx.Client) -> None:
    hook = "https://example.com/hook"
    cases = [
        ({"webhook": hook}, ("start", "output", "logs", "completed")),
        (
            {"webhook": hook, "webhook_events_filter": ["completed", "start"]},
            ("start", "completed"),
        ),
        ({"webhook_completed": hook}, ("completed",)),
    ]
    for order, events in cases:
        kept = served.store.prediction(create(http, **order).json()["id"], None)
        assert kept is not None
        assert (kept.webhook, kept.webhook_events) == (hook, events)
    for wrong in ({"webhook": "ftp://x"}, {"webhook": "x"}, {"webhook_events_filter": ["all"]}):
        assert create(http, **wrong).status_code == 422


def test_cancel_after(http: httpx.Client) -> None:
    made = create(http, "slow", headers={"Cancel-After": "15m"}).json()
    assert made["deadline"] > made["created_at"]
    for wrong in ("soon", "1s", "25h", "-5s", "1e3s"):
        answer = create(http, headers={"Cancel-After": wrong})
        assert answer.status_code == 422
        assert answer.json()["title"] == "Invalid Cancel-After header"


def test_a_full_queue_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, works=False, max_queue=2) as served, served.client() as http:
        answers = [create(http) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        refused = answers[2]
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["detail"] == (
            "Request was throttled. Expected available in 1 second."
        )
        data = {"input_audio": "data:audio/wav;base64,UklGRg=="}
        assert create(http, input=data).status_code == 429
        assert served.store.files("").results == ()


def test_lists_are_filtered_by_time_and_hold_no_music(served: Served, http: httpx.Client) -> None:
    made = create(http, headers={"Prefer": "wait"}).json()
    listed = http.get("/v1/predictions").json()["results"]
    assert listed[0]["id"] == made["id"]
    assert listed[0]["output"].startswith(f"{served.url}/files/")
    later = {"created_after": "2999-01-01T00:00:00Z"}
    assert http.get("/v1/predictions", params=later).json()["results"] == []
    earlier = {"created_before": "2999-01-01T00:00:00Z"}
    assert http.get("/v1/predictions", params=earlier).json()["results"][0]["id"] == made["id"]
    for wrong in ({"created_after": "x"}, {"cursor": "x"}, {"after": made["id"] + "0"}):
        assert http.get("/v1/predictions", params=wrong).status_code == 422


def test_what_was_forgotten_is_shown_as_such(served: Served, http: httpx.Client) -> None:
    made = create(http, headers={"Prefer": "wait"}).json()
    kept = served.store.prediction(made["id"], None)
    assert kept is not None
    assert kept.output_file is not None
    served.files.delete(kept.output_file, None)
    now = http.get(made["urls"]["get"]).json()
    assert (now["output"], now["data_removed"]) == (None, True)


def test_one_v1_too_many_is_forgiven(http: httpx.Client) -> None:
    assert http.get("/v1/v1/predictions").status_code == 200
    assert http.get("/predictions").status_code == 404


def test_a_server_without_tokens_lets_everybody_in(tmp_path: Path) -> None:
    with serving(tmp_path, works=False) as served:
        served.store.create_prediction(new_prediction())
        for token in (None, "anything"):
            with served.client(token) as http:
                assert len(http.get("/v1/predictions").json()["results"]) == 1


def test_answers_are_json_for_any_text(http: httpx.Client) -> None:
    made = create(http, "épique \N{TRUMPET} \u2028").json()
    shown = json.loads(http.get(made["urls"]["get"]).content)
    assert shown["input"]["prompt"] == "épique \N{TRUMPET} \u2028"
