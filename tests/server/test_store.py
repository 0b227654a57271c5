"""The store: what is put in is there, for its owner, in order, until its time is over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from fanfare.errors import InputError
from fanfare.server.records import NewFile, QueueFullError
from fanfare.server.store import Store
from stores import Clocks, asked, opened


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(tmp_path: Path, clocks: Clocks) -> Iterator[Store]:
    with opened(tmp_path / "home", clocks) as store:
        yield store


def add_file(store: Store, id: str, **changes: object) -> None:
    values = {"owner": "me", "name": "a.wav", "content_type": "audio/wav", "size": 4}
    store.create_file(NewFile(id, **{**values, "sha256": "", "md5": "", **changes}))  # type: ignore[arg-type]


def test_a_prediction_is_there_again_after_a_restart(tmp_path: Path) -> None:
    given = {"prompt": "Hörner \U0001f3ba", "top_p": 0.25, "seed": 2**32 - 1}
    with opened(tmp_path) as store:
        made = store.create_prediction(
            asked(input=given, webhook="https://a.example/x", seed=2**32 - 1, cancel_after_s=30)
        )
        assert re.fullmatch("[a-z0-9]{26}", made.id)
        assert made.status == "starting"
        assert made.created_at.tzinfo is not None
        assert made.deadline == made.created_at + timedelta(seconds=30)
        assert made.started_at is made.completed_at is made.output_file is None
    with opened(tmp_path) as store:
        assert store.prediction(made.id, "me") == made
        assert made.input == given


def test_owners_see_their_own_alone(store: Store) -> None:
    mine = store.create_prediction(asked())
    store.create_prediction(asked(owner="you"))
    assert store.prediction(mine.id, "you") is None
    assert store.prediction(mine.id, None) == mine
    assert store.request_cancel(mine.id, "you") is None
    assert [found.id for found in store.predictions("me").results] == [mine.id]
    assert store.prediction_by_stream(mine.stream_token) == mine
    assert store.prediction_by_stream(mine.id) is None


def test_pages_go_there_and_back(store: Store) -> None:
    ids = [store.create_prediction(asked()).id for _ in range(7)]
    newest_first = ids[::-1]
    pages = [store.predictions("me", limit=3)]
    while pages[-1].older:
        pages.append(store.predictions("me", before=pages[-1].older, limit=3))
    assert [[found.id for found in page.results] for page in pages] == [
        newest_first[:3],
        newest_first[3:6],
        newest_first[6:],
    ]
    assert pages[0].newer is None
    back = store.predictions("me", after=pages[1].newer, limit=3)
    assert back == pages[0]
    # What comes meanwhile moves nothing on the pages that follow.
    store.create_prediction(asked())
    assert store.predictions("me", before=pages[0].older, limit=3).results == pages[1].results


def test_a_cursor_of_another_list_is_refused(store: Store) -> None:
    theirs = store.create_prediction(asked(owner="you"))
    for cursor in (theirs.id, "", "x' OR 1=1 --"):
        with pytest.raises(InputError):
            store.predictions("me", before=cursor)


def test_lists_of_a_time(store: Store, clocks: Clocks) -> None:
    made = []
    for _ in range(3):
        made.append(store.create_prediction(asked()))
        clocks.pass_(60)
    found = store.predictions("me", created_after=made[1].created_at)
    assert [each.id for each in found.results] == [made[2].id, made[1].id]
    found = store.predictions("me", created_before=made[1].created_at)
    assert [each.id for each in found.results] == [made[0].id]


def test_a_full_queue_says_how_many_wait(store: Store) -> None:
    for _ in range(2):
        store.create_prediction(asked(max_waiting=2))
    with pytest.raises(QueueFullError) as caught:
        store.create_prediction(asked(max_waiting=2))
    assert caught.value.n_waiting == 2
    taken = store.claim("worker", 1, 2)[0]
    assert store.begin(taken.id, by="worker")
    store.create_prediction(asked(max_waiting=2))  # what runs doesn't wait


def test_positions_and_counts(store: Store) -> None:
    first, second, third = (store.create_prediction(asked()) for _ in range(3))
    assert [store.position(each.id) for each in (first, second, third)] == [0, 1, 2]
    store.request_cancel(first.id, "me")
    assert store.position(first.id) is None
    assert store.position(third.id) == 1
    assert store.counts() == {
        "starting": 2,
        "processing": 0,
        "succeeded": 0,
        "failed": 0,
        "canceled": 1,
    }


def test_what_is_kept_long_enough_goes(store: Store, clocks: Clocks) -> None:
    done = store.create_prediction(asked(input={"prompt": "secret", "input_audio": "u" * 26}))
    add_file(store, "o" * 26, purpose="output", prediction=done.id)
    add_file(store, "u" * 26)
    store.claim("worker", 1, 2)
    store.begin(done.id, by="worker")
    store.add_logs(done.id, "secret", by="worker")
    store.succeed(done.id, "o" * 26, {}, by="worker")
    clocks.pass_(1.9 * 3600)
    assert store.expire(2.0) == []
    assert store.expire(None) == []
    clocks.pass_(0.2 * 3600)
    assert sorted(store.expire(2.0)) == ["o" * 26, "u" * 26]
    left = store.prediction(done.id, "me")
    assert left is not None
    assert left.data_removed
    assert (left.input, left.logs, left.output_file, left.status) == ({}, "", None, "succeeded")
    assert store.file("o" * 26, None) is None
    assert store.expire(2.0) == []


def test_what_is_starred_stays(store: Store, clocks: Clocks) -> None:
    done = store.create_prediction(asked(input={"prompt": "kept", "input_audio": "u" * 26}))
    add_file(store, "o" * 26, purpose="output", prediction=done.id)
    add_file(store, "u" * 26, expires_at=clocks.wall + timedelta(hours=1))
    store.claim("worker", 1, 2)
    store.begin(done.id, by="worker")
    store.succeed(done.id, "o" * 26, {}, by="worker")
    assert store.star(done.id, "me", is_starred=True)
    clocks.pass_(3 * 3600)
    assert store.expire(2.0) == []
    assert store.expire(None) == []
    kept = store.prediction(done.id, "me")
    assert kept is not None
    assert (kept.input["prompt"], kept.output_file) == ("kept", "o" * 26)
    assert store.star(done.id, "me", is_starred=False)
    assert sorted(store.expire(2.0)) == ["o" * 26, "u" * 26]


def test_an_upload_stays_while_a_prediction_needs_it(store: Store, clocks: Clocks) -> None:
    needs = store.create_prediction(asked(input={"input_audio": "u" * 26}))
    by_url = store.create_prediction(asked(input={"input_audio": f"http://h/v1/files/{'v' * 26}"}))
    for id in ("u" * 26, "v" * 26, "w" * 26):
        add_file(store, id, expires_at=clocks.wall + timedelta(hours=1))
    clocks.pass_(3601)
    assert store.expire(None) == ["w" * 26]
    store.request_cancel(needs.id, None)
    store.request_cancel(by_url.id, None)
    assert sorted(store.expire(None)) == ["u" * 26, "v" * 26]


def test_files_are_their_owners(store: Store) -> None:
    add_file(store, "u" * 26, metadata={"a": [1]})
    add_file(store, "o" * 26, purpose="output")
    file = store.file("u" * 26, "me")
    assert file is not None
    assert file.metadata == {"a": [1]}
    assert store.file("u" * 26, "you") is None
    assert [found.id for found in store.files("me").results] == ["u" * 26]
    assert store.files("you").results == ()
    assert not store.delete_file("u" * 26, "you")
    assert store.stored_bytes() == 8
    assert store.delete_file("u" * 26, "me")
    assert store.known_files(["u" * 26, "o" * 26]) == {"o" * 26}
    assert store.file_by_capability(file.capability) is None


def test_a_prediction_loses_an_output_that_is_deleted(store: Store) -> None:
    made = store.create_prediction(asked())
    add_file(store, "o" * 26, purpose="output", prediction=made.id)
    store.claim("worker", 1, 2)
    store.begin(made.id, by="worker")
    store.succeed(made.id, "o" * 26, {}, by="worker")
    assert store.delete_file("o" * 26, "me")
    left = store.prediction(made.id, "me")
    assert left is not None
    assert left.output_file is None
    assert left.data_removed


def test_secrets_are_made_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store, opened(tmp_path) as other:
        made = store.secret("urls")
        assert len(made) == 32
        assert other.secret("urls") == made
        assert store.secret("webhooks") != made


def test_nobody_else_may_read_the_store(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    with opened(home) as store:
        store.secret("urls")
        modes = {path.name: path.stat().st_mode & 0o077 for path in home.glob("fanfare.db*")}
        assert modes.pop("fanfare.db.lock", 0) is not None
        assert set(modes) >= {"fanfare.db", "fanfare.db-wal"}
        assert not any(modes.values()), modes
        assert home.stat().st_mode & 0o077 == 0
