"""Waiting times, deadlines and the room in the queue, as headers say them."""

from __future__ import annotations

import pytest

from fanfare.server.limits import Room, cancel_after, preferred_wait_s
from fanfare.server.problems import ProblemError


@pytest.mark.parametrize(
    ("header", "wait_s", "applied"),
    [
        ("wait", 59.8, "wait"),
        ("wait=60", 59.8, "wait=60"),
        ("wait=600", 59.8, "wait=60"),
        ("wait=5", 4.8, "wait=5"),
        ("WAIT = 5", 4.8, "wait=5"),
        ("wait=1.5", 1.3, "wait=1.5"),
        ("wait=0", 0.0, "wait=0"),
        ("return=minimal, wait=2", 1.8, "wait=2"),
    ],
)
def test_preferred_waits(header: str, wait_s: float, applied: str) -> None:
    """Clients stop reading half a second after the time they name."""
    found = preferred_wait_s(header)
    assert found is not None
    assert found[0] == pytest.approx(wait_s)
    assert found[1] == applied


@pytest.mark.parametrize(
    "header", [None, "", "respond-async", "wait=-1", "wait=1e9", "waiting", "wait=inf"]
)
def test_no_preferred_wait(header: str | None) -> None:
    assert preferred_wait_s(header) is None


@pytest.mark.parametrize(
    ("header", "seconds"), [("30s", 30), ("1m", 60), ("1.5h", 5400), ("45", 45), (" 5000MS ", 5)]
)
def test_cancel_after(header: str, seconds: float) -> None:
    span = cancel_after(header)
    assert span is not None
    assert span.total_seconds() == seconds


@pytest.mark.parametrize("header", ["", "1s", "25h", "1d", "-5s", "nan", "5 minutes", "9" * 40])
def test_wrong_cancel_after(header: str) -> None:
    with pytest.raises(ProblemError) as caught:
        cancel_after(header)
    assert caught.value.status == 422


def test_room() -> None:
    room = Room(max_queue=3, n_waiting=1)
    assert room.headers() == {
        "ratelimit-limit": "3",
        "ratelimit-remaining": "2",
        "ratelimit-reset": "0",
    }
    room.n_waiting = 4
    assert room.headers()["ratelimit-remaining"] == "0"
    assert int(room.headers()["ratelimit-reset"]) >= 1
