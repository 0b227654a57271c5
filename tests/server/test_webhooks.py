"""Webhooks: signed as the validators want it, and the end told until it is heard."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock

import anyio
import anyio.abc
import pytest
from replicate.webhook import Webhooks as ReplicateWebhooks
from replicate.webhook import WebhookSigningSecret
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from fanfare.server import webhooks as module
from fanfare.server.netguard import FetchError
from fanfare.server.records import Prediction, StoreError
from fanfare.server.store import Store
from fanfare.server.store_deliveries import DELAYS_S
from fanfare.server.webhooks import PER_RECEIVER, Webhooks
from stores import Clocks, asked, opened
from web import Answer, Web, serving


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.default = Answer(b"thanks")
        yield web


@pytest.fixture
def clocks() -> Clocks:
    return Clocks(wall=datetime.now(UTC))


@pytest.fixture
def store(tmp_path: Path, clocks: Clocks) -> Iterator[Store]:
    with opened(tmp_path, clocks) as store:
        yield store


def view(prediction: Prediction) -> Mapping[str, object]:
    return {"id": prediction.id, "status": prediction.status, "prompt": "Hörner"}


def failed(store: Store, url: str, *events: str) -> str:
    """The id of a prediction that has run and failed."""
    changes = {"webhook_events": events} if events else {}
    id = store.create_prediction(asked(webhook=url, **changes)).id
    store.claim("worker", 1, 2)
    store.begin(id, by="worker")
    store.fail(id, "no", by="worker")
    return id


def hooks(store: Store, **changes: object) -> Webhooks:
    return Webhooks(store, view, **{"allow_private": True, **changes})  # type: ignore[arg-type]


def deliver_due(sender: Webhooks, store: Store) -> list[str]:
    return [sender.deliver(each) for each in store.due_deliveries()]


@contextmanager
def sending(sender: Webhooks) -> Iterator[None]:
    """`run`, on a thread of its own."""
    with anyio.from_thread.start_blocking_portal() as portal:
        running = portal.start_task_soon(sender.run)
        yield
        running.cancel()


def wait_for(holds: Callable[[], bool]) -> None:
    waited = Event()
    for _ in range(1000):
        if holds():
            return
        waited.wait(0.01)
    raise AssertionError("it never came")


def test_both_validators_accept_the_signature(store: Store, web: Web) -> None:
    sender = hooks(store)
    failed(store, f"{web.url}/hook?token=1", "completed")
    assert deliver_due(sender, store) == ["delivered"]
    headers, body = web.posted[0]
    assert json.loads(body)["prompt"] == "Hörner"
    assert sender.secret.count("_") == 1
    Webhook(sender.secret).verify(body, headers)
    ReplicateWebhooks.validate(
        headers=headers, body=body.decode(), secret=WebhookSigningSecret(key=sender.secret)
    )
    with pytest.raises(WebhookVerificationError):
        Webhook(sender.secret).verify(body + b" ", headers)
    assert "authorization" not in headers


def test_all_that_is_told_of_one_prediction(store: Store, web: Web) -> None:
    sender = hooks(store)
    with sending(sender):
        id = failed(store, f"{web.url}/hook")
        wait_for(lambda: store.n_deliveries() == 0)
    told = [json.loads(body) for _, body in web.posted]
    assert [each["status"] for each in told] == ["processing", "failed"]
    assert {each["id"] for each in told} == {id}
    assert len({headers["webhook-id"] for headers, _ in web.posted}) == 2


def test_a_receiver_that_comes_back_hears_the_end(store: Store, web: Web, clocks: Clocks) -> None:
    sender = hooks(store)
    web.answers["/hook"] = Answer(b"thanks", statuses=[500, 503, 302])
    failed(store, f"{web.url}/hook", "completed")
    outcomes = []
    for delay_s in (0, *DELAYS_S[:3]):
        clocks.pass_(delay_s)
        outcomes += deliver_due(sender, store)
        assert deliver_due(sender, store) == []
    assert outcomes == ["retried", "retried", "retried", "delivered"]
    assert len({headers["webhook-id"] for headers, _ in web.posted}) == 1
    stamps = [int(headers["webhook-timestamp"]) for headers, _ in web.posted]
    assert stamps[-1] - stamps[0] >= sum(DELAYS_S[:3]) - 1
    assert [path for _, path, _ in web.asked] == ["/hook"] * 4  # no redirect is followed


def test_the_end_is_told_after_a_restart(tmp_path: Path, web: Web) -> None:
    with opened(tmp_path) as store:
        id = failed(store, f"{web.url}/hook", "completed")
        secret = hooks(store).secret
    with opened(tmp_path) as store:
        sender = hooks(store)
        assert sender.secret == secret
        assert deliver_due(sender, store) == ["delivered"]
    assert json.loads(web.posted[0][1])["id"] == id


def test_only_the_end_is_told_again(store: Store, web: Web) -> None:
    sender = hooks(store)
    web.default = Answer(status=500)
    failed(store, f"{web.url}/hook")
    assert deliver_due(sender, store) == ["given up"]
    assert deliver_due(sender, store) == ["retried"]


def test_the_first_minute_has_several_tries_and_a_day_the_last() -> None:
    within = [sum(DELAYS_S[:n]) for n in range(1, len(DELAYS_S) + 1)]
    assert sum(at <= 60 for at in within) >= 5
    assert 86400 / 2 < within[-1] < 2 * 86400


def test_it_ends_at_last(store: Store, clocks: Clocks) -> None:
    def nobody(*_: object, **__: object) -> int:
        raise FetchError("nobody there")

    sender = hooks(store, send=nobody)
    failed(store, "http://away.example/", "completed")
    outcomes = deliver_due(sender, store)
    for delay_s in DELAYS_S:
        clocks.pass_(delay_s)
        outcomes += deliver_due(sender, store)
    assert outcomes == ["retried"] * len(DELAYS_S) + ["given up"]
    assert store.n_deliveries() == 0


def test_who_wants_no_more_gets_no_more(store: Store, web: Web) -> None:
    web.default = Answer(status=410)
    failed(store, f"{web.url}/hook", "completed")
    assert deliver_due(hooks(store), store) == ["given up"]


def test_webhooks_stay_out_of_private_networks(
    store: Store, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    failed(store, f"{web.url}/hook?token=hush", "completed")
    with caplog.at_level(logging.DEBUG):
        assert deliver_due(hooks(store, allow_private=False), store) == ["given up"]
    assert web.asked == []
    assert "hush" not in caplog.text


@dataclass
class Receivers:
    """Receivers of which some are so slow that a test would not end."""

    heard: list[str] = field(default_factory=list)
    let_go: Event = field(default_factory=Event)
    is_away: bool = False
    lock: Lock = field(default_factory=Lock)
    n_now: int = 0
    n_most: int = 0

    def __call__(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        allow_private: bool,
    ) -> int:
        with self.lock:
            self.n_now += 1
            self.n_most = max(self.n_most, self.n_now)
        if "slow" in url:
            self.let_go.wait(20)
            Event().wait(0.01)
        with self.lock:
            self.n_now -= 1
            self.heard.append(url)
        return 503 if self.is_away else 200


def test_a_slow_receiver_holds_up_nobody_else(store: Store) -> None:
    receivers = Receivers()
    with sending(hooks(store, send=receivers)):
        failed(store, "http://slow.example/", "completed")
        failed(store, "http://quick.example/", "completed")
        wait_for(lambda: "http://quick.example/" in receivers.heard)
        assert len(receivers.heard) == 1
        receivers.let_go.set()
        wait_for(lambda: store.n_deliveries() == 0)
    assert len(receivers.heard) == 2


def test_one_receiver_with_many_webhooks_leaves_room_for_others(store: Store) -> None:
    receivers = Receivers()
    for n in range(150):
        failed(store, f"http://slow.example/{n}", "completed")
    failed(store, "http://quick.example/", "completed")
    with sending(hooks(store, send=receivers)):
        wait_for(lambda: "http://quick.example/" in receivers.heard)
        wait_for(lambda: receivers.n_now == PER_RECEIVER)
        assert receivers.n_most <= PER_RECEIVER + 1
        receivers.let_go.set()
        wait_for(lambda: store.n_deliveries() == 0)
    assert sorted(receivers.heard) == sorted(set(receivers.heard))
    assert len(receivers.heard) == 151


def test_one_that_does_not_answer_is_asked_by_one_at_a_time(store: Store, clocks: Clocks) -> None:
    receivers = Receivers(is_away=True)
    for _ in range(8):
        failed(store, "http://slow.example/", "completed")
    with sending(hooks(store, send=receivers)):
        receivers.let_go.set()
        wait_for(lambda: len(receivers.heard) >= PER_RECEIVER)
        receivers.n_most = 0
        wait_for(lambda: len(receivers.heard) >= 8)
        assert receivers.n_most == 1
        receivers.is_away = False

        def all_are_told() -> bool:
            clocks.pass_(DELAYS_S[0])
            return store.n_deliveries() == 0

        wait_for(all_are_told)


def test_a_store_that_is_locked_has_nothing_sent_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    receivers, delivered, n_calls = Receivers(), store.delivered, [0]

    def fails_twice(id: str) -> None:
        n_calls[0] += 1
        if n_calls[0] <= 2:
            raise StoreError("database is locked")
        delivered(id)

    monkeypatch.setattr(store, "delivered", fails_twice)
    monkeypatch.setattr(module, "AFTER_A_FAULT_S", 0.01)
    failed(store, "http://a.example/", "completed")
    with sending(hooks(store, send=receivers)):
        wait_for(lambda: store.n_deliveries() == 0)
    assert receivers.heard == ["http://a.example/"]


def test_a_fault_of_ours_takes_no_other_webhook_along(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    receivers = Receivers()
    bad = failed(store, "http://a.example/", "completed")

    def shows(prediction: Prediction) -> Mapping[str, object]:
        if prediction.id == bad:
            raise ZeroDivisionError
        return view(prediction)

    sender = Webhooks(store, shows, allow_private=True, send=receivers)
    with sending(sender):
        failed(store, "http://b.example/", "completed")
        wait_for(lambda: receivers.heard == ["http://b.example/"])
        wait_for(lambda: store.n_deliveries() == 1)
    assert "can't be shown" in caplog.text
