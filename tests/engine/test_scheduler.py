"""Who runs when: first come, first served, in a fixed number of rows."""

from __future__ import annotations

import random

import pytest

from fanfare.engine.scheduler import Admission, Scheduler
from fanfare.errors import BusyError


def test_first_come_first_served() -> None:
    scheduler = Scheduler(4)
    for ticket, n_rows in enumerate([2, 1, 2, 1]):
        scheduler.submit(ticket, n_rows)
    assert scheduler.admit() == [Admission(0, (0, 1)), Admission(1, (2,))]
    assert scheduler.admit() == [], "the third needs two rows, and the fourth doesn't overtake it"
    assert scheduler.leave(0) == (0, 1)
    assert scheduler.admit() == [Admission(2, (0, 1)), Admission(3, (3,))]


def test_who_leaves_the_queue_frees_no_rows_and_holds_nobody_up() -> None:
    scheduler = Scheduler(2)
    for ticket in range(3):
        scheduler.submit(ticket, 1 + ticket % 2)
    assert [a.ticket for a in scheduler.admit()] == [0]
    assert scheduler.leave(1) == ()
    assert scheduler.admit() == [Admission(2, (1,))]


def test_the_queue_is_bounded() -> None:
    scheduler = Scheduler(1, max_waiting=2)
    scheduler.submit(0, 1)
    scheduler.submit(1, 1)
    with pytest.raises(BusyError, match="2 requests are waiting already: try again"):
        scheduler.submit(2, 1)
    scheduler.admit()
    scheduler.submit(3, 1)


@pytest.mark.parametrize("seed", range(50))
def test_no_row_is_ever_given_twice_and_everybody_gets_a_turn(seed: int) -> None:
    rng = random.Random(seed)
    scheduler = Scheduler(rng.randint(2, 8))
    served: list[int] = []
    for ticket in range(40):
        scheduler.submit(ticket, rng.randint(1, 2))
        served += [a.ticket for a in scheduler.admit()]
        held = [row for rows in scheduler.running.values() for row in rows]
        assert sorted(held + scheduler.free) == list(range(scheduler.n_rows))
        if rng.random() < 0.6 and scheduler.running:
            scheduler.leave(rng.choice(sorted(scheduler.running)))
    while scheduler.waiting or scheduler.running:
        served += [a.ticket for a in scheduler.admit()]
        scheduler.leave(next(iter(scheduler.running)))
    assert served == list(range(40))
