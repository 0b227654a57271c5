"""Webhooks in the store: written with what they tell of, in order, due in time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fanfare.server.store import Store
from fanfare.server.store_deliveries import DELAYS_S
from stores import Clocks, asked, opened

URL = "https://hooks.example/me"


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(tmp_path: Path, clocks: Clocks) -> Iterator[Store]:
    with opened(tmp_path, clocks) as store:
        yield store


def begun(store: Store, *events: str) -> str:
    changes = {"webhook_events": events} if events else {}
    id = store.create_prediction(asked(webhook=URL, **changes)).id
    store.claim("worker", 1, 2)
    store.begin(id, by="worker")
    return id


def due(store: Store) -> list[tuple[str, str]]:
    """Events and what the prediction looks like in them; each counts as delivered."""
    told = []
    for each in store.due_deliveries():
        told.append((each.event, each.prediction.status))
        store.delivered(each.id)
    return told


def test_events_come_in_order_as_they_were(store: Store) -> None:
    id = begun(store)
    store.succeed(id, "o" * 26, {}, by="worker")
    first = store.due_deliveries()
    assert [(each.event, each.url, each.tries) for each in first] == [("start", URL, 0)]
    start = first[0].prediction
    assert (start.status, start.output_file, start.completed_at, start.metrics) == (
        "processing",
        None,
        None,
        {},
    )
    assert due(store) == [("start", "processing")]
    output = store.due_deliveries()[0]
    assert (output.event, output.prediction.status) == ("output", "processing")
    assert output.prediction.output_file == "o" * 26
    assert due(store) == [("output", "processing")]
    assert due(store) == [("completed", "succeeded")]
    assert due(store) == []
    assert store.n_deliveries() == 0


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (("completed",), ["completed"]),
        (("start",), ["start"]),
        (("start", "completed"), ["start", "completed"]),
        (("output",), ["output"]),
    ],
)
def test_filters(store: Store, events: tuple[str, ...], told: list[str]) -> None:
    id = begun(store, *events)
    store.add_logs(id, "x", by="worker")
    store.succeed(id, "o" * 26, {}, by="worker")
    assert [due(store)[0][0] for _ in told] == told
    assert due(store) == []


def test_without_a_webhook_nothing_is_told(store: Store) -> None:
    id = store.create_prediction(asked()).id
    store.request_cancel(id, None)
    assert store.n_deliveries() == 0


def test_every_end_is_told(store: Store, clocks: Clocks) -> None:
    ends = []
    for end in ("fail", "cancel", "deadline", "crash", "cancel while waiting"):
        events = {"webhook": URL, "webhook_events": ("completed",)}
        id = store.create_prediction(asked(**events, cancel_after_s=5)).id
        if end != "cancel while waiting":
            store.claim("worker", 1, 2)
            store.begin(id, by="worker")
        if end == "fail":
            store.fail(id, "no", by="worker")
        elif end == "deadline":
            store.cancel_overdue()
            clocks.pass_(6)
            store.cancel_overdue()
        elif end == "crash":
            store.release_claims("worker", 1)
        else:
            store.request_cancel(id, None)
        ends.append(due(store))
    assert [[status for _, status in told] for told in ends] == [
        ["failed"],
        ["canceled"],
        ["canceled"],
        ["failed"],
        ["canceled"],
    ]


def test_a_second_try_is_no_second_start(store: Store) -> None:
    id = begun(store, "start")
    store.release_claims("worker", 2)
    store.claim("worker", 1, 2)
    store.begin(id, by="worker")
    store.hand_back([id], by="worker")
    store.claim("worker", 1, 2)
    store.begin(id, by="worker")
    assert store.n_deliveries() == 1


def test_logs_come_twice_a_second_at_most(store: Store, clocks: Clocks) -> None:
    id = begun(store, "logs", "completed")
    n_told = 0
    for _ in range(40):
        store.add_logs(id, "x", by="worker")
        clocks.pass_(0.1)
        n_told += len(due(store))
    assert 6 <= n_told <= 8
    store.add_logs(id, "x", by="worker")
    store.succeed(id, "o" * 26, {}, by="worker")
    assert due(store) == [("completed", "succeeded")]


def test_a_retry_waits_whatever_the_clock_says(store: Store, clocks: Clocks) -> None:
    id = begun(store, "completed")
    store.fail(id, "no", by="worker")
    message = store.due_deliveries()[0]
    for _ in range(6):
        store.retry_delivery(message.id)
    assert store.due_deliveries() == []
    for jump_s in (86400 * 365, -86400 * 800):
        clocks.set(jump_s)
        assert store.due_deliveries() == []
    clocks.pass_(DELAYS_S[5] - 0.1)
    assert store.due_deliveries() == []
    clocks.pass_(0.2)
    again = store.due_deliveries()
    assert [(each.id, each.tries) for each in again] == [(message.id, 6)]


def test_a_clock_that_is_set_back_delays_no_end(store: Store, clocks: Clocks) -> None:
    id = begun(store, "output", "completed")
    store.succeed(id, "o" * 26, {}, by="worker")
    message = store.due_deliveries()[0]
    clocks.set(-4 * 3600)
    store.delivered(message.id)  # the next was written before, and is looked at only now
    store.due_deliveries()
    clocks.pass_(1)
    assert [each.event for each in store.due_deliveries()] == ["completed"]


def test_a_clock_that_is_set_back_before_a_start_delays_little(
    tmp_path: Path, clocks: Clocks
) -> None:
    with opened(tmp_path, clocks) as store:
        store.fail(begun(store, "completed"), "no", by="worker")
        store.retry_delivery(store.due_deliveries()[0].id)
    clocks.set(-4 * 3600)
    with opened(tmp_path, clocks) as store:
        assert store.due_deliveries() == []
        clocks.pass_(DELAYS_S[0])
        assert len(store.due_deliveries()) == 1


def test_retries_go_on_after_a_restart(tmp_path: Path, clocks: Clocks) -> None:
    with opened(tmp_path, clocks) as store:
        store.fail(begun(store, "completed"), "no", by="worker")
        message = store.due_deliveries()[0]
        for _ in range(6):
            store.retry_delivery(message.id)
    clocks.pass_(20)
    with opened(tmp_path, clocks) as store:
        assert store.due_deliveries() == []
        clocks.pass_(DELAYS_S[5] - 20)
        assert [each.id for each in store.due_deliveries()] == [message.id]


def test_one_receiver_that_is_away_holds_up_nobody_else(store: Store) -> None:
    store.fail(begun(store, "completed"), "no", by="worker")
    store.retry_delivery(store.due_deliveries()[0].id)
    second = begun(store, "completed")
    store.fail(second, "no", by="worker")
    assert [each.prediction.id for each in store.due_deliveries()] == [second]


def test_many_for_one_receiver_hide_nobody_else(store: Store) -> None:
    for n in range(12):
        url = f"https://user:{n}@busy.example/{n}"
        id = store.create_prediction(asked(webhook=url, webhook_events=("completed",))).id
        store.request_cancel(id, None)
    for url in ("https://busy.example:444/", "https://[::1", "https://other.example/"):
        id = store.create_prediction(asked(webhook=url, webhook_events=("completed",))).id
        store.request_cancel(id, None)
    due = [each.url for each in store.due_deliveries(limit=6, per_receiver=3)]
    assert due[:3] == [f"https://user:{n}@busy.example/{n}" for n in range(3)]
    assert due[3:] == ["https://busy.example:444/", "https://[::1", "https://other.example/"]
