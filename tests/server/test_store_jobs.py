"""Predictions at work: each is made, whatever dies; what has ended stays as it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanfare.server.records import NewFile, Prediction
from fanfare.server.store import Store
from stores import Clocks, asked, opened


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(tmp_path: Path, clocks: Clocks) -> Iterator[Store]:
    with opened(tmp_path, clocks) as store:
        yield store


def running(store: Store, **changes: object) -> str:
    """The id of a prediction that a worker is at."""
    made = store.create_prediction(asked(**changes))
    assert [each.id for each in store.claim("worker", 1, 2)] == [made.id]
    assert store.begin(made.id, by="worker")
    return made.id


def now(store: Store, id: str) -> Prediction:
    found = store.prediction(id, None)
    assert found is not None
    return found


def test_a_prediction_lives(store: Store, clocks: Clocks) -> None:
    id = store.create_prediction(asked()).id
    clocks.pass_(2)
    assert store.claim("worker", 5, 2)[0].tries == 1
    assert now(store, id).status == "starting"
    assert store.begin(id, by="worker")
    store.set_seed(id, 42, by="worker")
    clocks.pass_(1)
    store.add_logs(id, "50%\n", (25, 50), by="worker")
    store.add_logs(id, "100%\n", by="worker")
    clocks.pass_(3)
    assert store.succeed(id, "o" * 26, {"real_time_factor": 3.0}, by="worker")
    done = now(store, id)
    assert done.status == "succeeded"
    assert done.logs == "50%\n100%\n"
    assert (done.seed, done.progress, done.output_file) == (42, (25, 50), "o" * 26)
    assert done.metrics == {"predict_time": 4.0, "total_time": 6.0, "real_time_factor": 3.0}


def test_the_oldest_are_claimed_first_and_once(store: Store) -> None:
    ids = [store.create_prediction(asked()).id for _ in range(5)]
    assert [each.id for each in store.claim("a", 2, 2)] == ids[:2]
    assert [each.id for each in store.claim("b", 9, 2)] == ids[2:]
    assert store.claim("a", 9, 2) == []


def test_workers_that_claim_at_once_share_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        ids = {store.create_prediction(asked()).id for _ in range(40)}
        taken: list[list[str]] = [[], [], []]

        def work(mine: list[str]) -> None:
            with opened(tmp_path) as own:
                while got := own.claim(threading.current_thread().name, 2, 2):
                    mine.extend(each.id for each in got)

        threads = [threading.Thread(target=work, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    together = [id for mine in taken for id in mine]
    assert len(together) == len(set(together)) == 40
    assert set(together) == ids


@pytest.mark.parametrize("first", ["succeed", "fail", "canceled"])
def test_an_end_is_the_end(store: Store, first: str) -> None:
    id = running(store)
    end = {
        "succeed": lambda: store.succeed(id, "o" * 26, {}, by="worker"),
        "fail": lambda: store.fail(id, "no", by="worker"),
        "canceled": lambda: store.canceled(id, by="worker"),
    }
    assert end[first]()
    before = now(store, id)
    again = {name: end[name]() for name in end}
    assert again == {"succeed": first == "succeed", "fail": False, "canceled": False}
    store.add_logs(id, "late", (1, 2), by="worker")
    store.set_progress(id, 1, 2, by="worker")
    store.set_seed(id, 1, by="worker")
    assert not store.begin(id, by="worker")
    assert store.request_cancel(id, "me") == before
    assert store.release_claims(None, 2) == []
    assert now(store, id) == before


def test_what_an_earlier_try_left_is_forgotten(store: Store) -> None:
    id = running(store)
    for name in ("a", "b"):
        store.create_file(
            NewFile(name * 26, "me", "out.wav", "audio/wav", 1, "", "", "output", prediction=id)
        )
    assert store.succeed(id, "b" * 26, {}, by="worker")
    assert store.known_files(["a" * 26, "b" * 26]) == {"b" * 26}
    assert store.succeed(id, "b" * 26, {}, by="worker")
    assert not store.succeed(id, "a" * 26, {}, by="worker")
    other = running(store)
    store.create_file(
        NewFile("c" * 26, "me", "out.wav", "audio/wav", 1, "", "", "output", prediction=other)
    )
    store.request_cancel(other, None)
    assert store.known_files(["b" * 26, "c" * 26]) == {"b" * 26}


def test_cancelling_holds_at_once(store: Store) -> None:
    waiting = store.create_prediction(asked()).id
    canceled = store.request_cancel(waiting, "me")
    assert canceled is not None
    assert canceled.status == "canceled"
    assert store.claim("worker", 1, 2) == []
    id = running(store)
    assert store.cancel_requested([id, waiting], by="worker") == {waiting}
    store.request_cancel(id, "me")
    assert store.cancel_requested([id], by="worker") == {id}
    assert not store.succeed(id, "o" * 26, {}, by="worker")
    assert now(store, id).output_file is None


def test_cancelled_between_claim_and_begin(store: Store) -> None:
    id = store.create_prediction(asked()).id
    store.claim("worker", 1, 2)
    store.request_cancel(id, "me")
    assert not store.begin(id, by="worker")


def test_a_dead_worker_s_work_is_done_again_with_its_seed(store: Store) -> None:
    id = running(store)
    store.set_seed(id, 7, by="worker")
    store.set_progress(id, 3, 9, by="worker")
    assert store.release_claims("somebody else", 2) == []
    assert store.release_claims("worker", 2) == [id]
    back = now(store, id)
    assert (back.status, back.seed, back.progress) == ("starting", 7, (0, 0))
    again = store.claim("worker 2", 5, 2)
    assert [(each.id, each.tries) for each in again] == [(id, 2)]
    assert store.begin(id, by="worker 2")


def test_what_kills_its_worker_fails_with_a_reason(store: Store) -> None:
    id = running(store)
    store.release_claims("worker", 2)
    store.claim("worker", 1, 2)
    store.begin(id, by="worker")
    assert store.release_claims("worker", 2) == [id]
    failed = now(store, id)
    assert failed.status == "failed"
    assert "2 times" in str(failed.error)
    assert store.claim("worker", 1, 2) == []


def taken(store: Store, worker: str, limit: int = 5) -> list[str]:
    return [each.id for each in store.claim(worker, limit, 2)]


def test_those_lost_together_are_tried_again_together_and_then_alone(store: Store) -> None:
    lost = [store.create_prediction(asked()).id for _ in range(3)]
    assert taken(store, "w1") == lost
    fresh = store.create_prediction(asked()).id
    assert store.release_claims("w1", 2) == lost
    assert taken(store, "w2", 2) == lost[:2]
    assert taken(store, "w2") == lost[2:]
    assert taken(store, "w2") == []  # nobody new joins those that may kill
    assert store.release_claims("w2", 2) == lost
    assert {now(store, id).status for id in lost} == {"starting"}  # it may be another's fault
    assert taken(store, "w3") == lost[:1]
    assert taken(store, "w3") == []
    assert store.release_claims("w3", 2) == lost[:1]
    assert now(store, lost[0]).status == "failed"
    assert "3 times" in str(now(store, lost[0]).error)
    for id in lost[1:]:
        assert taken(store, "w4") == [id]
        assert store.canceled(id, by="w4")
    assert taken(store, "w4") == [fresh]


@pytest.mark.parametrize("max_tries", [1, 2, 3])
def test_one_that_kills_takes_no_other_along(store: Store, max_tries: int) -> None:
    ids = [store.create_prediction(asked()).id for _ in range(9)]
    poison, made, n_deaths = ids[4], [], 0
    for n in range(40):
        worker = f"w{n}"
        while got := [each.id for each in store.claim(worker, 4, max_tries)]:
            if poison in got:
                store.release_claims(worker, max_tries)
                n_deaths += 1
                break
            for id in got:
                assert store.succeed(id, "o" * 26, {}, by=worker)
                made.append(id)
    assert sorted(made) == sorted(set(ids) - {poison})
    assert now(store, poison).status == "failed"
    assert n_deaths == max_tries + 1


def test_one_that_must_run_alone_is_not_overtaken_for_ever(store: Store) -> None:
    suspects = [store.create_prediction(asked()).id for _ in range(2)]
    for worker in ("w1", "w2"):
        assert taken(store, worker) == suspects
        store.release_claims(worker, 2)
    alone = taken(store, "w3")
    store.hand_back(alone, by="w3")
    assert now(store, alone[0]).tries == 2  # as before
    newer = store.create_prediction(asked()).id
    for id in (*suspects, newer):
        assert taken(store, "w4") == [id]
        assert taken(store, "w4") == []
        assert store.fail(id, "no", by="w4")


def test_only_whose_it_is_is_heard(store: Store) -> None:
    id = running(store)
    store.release_claims("worker", 2)
    assert not store.begin(id, by="worker")  # nobody's
    assert taken(store, "heir") == [id]
    assert store.begin(id, by="heir")
    store.set_seed(id, 5, by="heir")
    store.add_logs(id, "mine\n", (3, 9), by="heir")
    before = now(store, id)
    assert not store.begin(id, by="worker")
    store.set_seed(id, 6, by="worker")
    store.set_progress(id, 8, 9, by="worker")
    store.add_logs(id, "late\n", (8, 9), by="worker")
    store.hand_back([id], by="worker")
    assert not store.succeed(id, "o" * 26, {}, by="worker")
    assert not store.fail(id, "no", by="worker")
    assert not store.canceled(id, by="worker")
    assert now(store, id) == before
    assert store.cancel_requested([id], by="worker") == {id}
    assert store.cancel_requested([id], by="heir") == set()
    assert store.succeed(id, "h" * 26, {}, by="heir")


def test_handing_back_counts_no_try(store: Store) -> None:
    for _ in range(3):
        ids = [each.id for each in store.claim("worker", 2, 2)] or [running(store)]
        store.hand_back(ids, by="worker")
    assert now(store, ids[0]).tries == 0
    store.hand_back(ids, by="worker")  # nobody's: nothing to do
    assert [each.tries for each in store.claim("worker", 2, 2)] == [1]


@pytest.mark.parametrize("jump_s", [86400.0, -86400.0])
def test_a_clock_that_is_set_takes_nothing_away(
    store: Store, clocks: Clocks, jump_s: float
) -> None:
    id = running(store, cancel_after_s=60)
    assert store.cancel_overdue() == []
    clocks.set(jump_s)
    clocks.pass_(5)
    assert store.cancel_overdue() == []
    assert store.succeed(id, "o" * 26, {}, by="worker")
    done = now(store, id)
    assert done.completed_at is not None
    assert done.completed_at >= done.created_at
    assert min(done.metrics.values()) >= 0


def test_deadlines(store: Store, clocks: Clocks) -> None:
    id = running(store, cancel_after_s=5)
    waiting = store.create_prediction(asked(cancel_after_s=5)).id
    store.create_prediction(asked())
    assert store.cancel_overdue() == []
    clocks.pass_(4.9)
    assert store.cancel_overdue() == []
    clocks.pass_(0.2)
    assert sorted(store.cancel_overdue()) == sorted([id, waiting])
    assert now(store, id).status == "canceled"
    assert store.cancel_overdue() == []


def test_a_clock_that_is_set_at_once_changes_no_deadline(store: Store, clocks: Clocks) -> None:
    early = store.create_prediction(asked(cancel_after_s=60)).id
    clocks.set(7200)
    assert store.cancel_overdue() == []
    late = store.create_prediction(asked(cancel_after_s=60)).id
    clocks.set(-14400)
    clocks.pass_(61)
    assert store.cancel_overdue() == [early, late]


def test_a_deadline_that_passed_while_nobody_was_there(tmp_path: Path, clocks: Clocks) -> None:
    with opened(tmp_path, clocks) as store:
        id = store.create_prediction(asked(cancel_after_s=5)).id
    clocks.pass_(60)
    with opened(tmp_path, clocks) as store:
        assert store.cancel_overdue() == [id]


def test_logs_have_an_end(store: Store) -> None:
    id = running(store)
    for _ in range(5):
        store.add_logs(id, "x" * 30_000, by="worker")
    assert len(now(store, id).logs) == 64 * 1024
