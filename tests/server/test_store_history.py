"""Looking back: searched, starred, deleted, each by its owner alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanfare.errors import InputError
from fanfare.server.records import NewFile, Page, Prediction
from fanfare.server.store import Store
from fanfare.server.store_history import Standing
from stores import Clocks, asked, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path) as store:
        yield store


def created(store: Store, prompt: str | None, owner: str = "me") -> str:
    given = {} if prompt is None else {"prompt": prompt}
    return store.create_prediction(asked(input=given, owner=owner)).id


def ids(page: Page[Prediction]) -> list[str]:
    return [prediction.id for prediction in page.results]


def test_every_word_is_found_in_any_case_and_nothing_is_a_pattern(store: Store) -> None:
    brass = created(store, 'Heroic brass, 100% "loud"')
    strings = created(store, "calm strings for heroic deeds")
    bells = created(store, "Glöckchen, ÜBERALL")
    created(store, None)
    created(store, "heroic brass", owner="other")
    assert ids(store.history("me", query="HEROIC")) == [strings, brass]
    assert ids(store.history("me", query="brass heroic")) == [brass]
    assert ids(store.history("me", query='100% "loud"')) == [brass]
    assert ids(store.history("me", query="%")) == [brass]
    assert ids(store.history("me", query="h_roic")) == []
    assert ids(store.history("me", query="GLÖCKCHEN überall")) == [bells]
    assert len(ids(store.history("me"))) == 4


def test_pages_go_on_where_they_ended(store: Store) -> None:
    made = [created(store, f"piece {i}") for i in range(5)]
    first = store.history("me", query="piece", limit=2)
    assert ids(first) == made[:2:-1]
    second = store.history("me", query="piece", limit=2, before=first.older)
    last = store.history("me", query="piece", limit=2, before=second.older)
    assert ids(second) + ids(last) == made[2::-1]
    assert last.older is None
    with pytest.raises(InputError):
        store.history("other", before=made[0])


def test_stars_are_the_owners(store: Store) -> None:
    one, two = created(store, "one"), created(store, "two")
    assert not store.star(one, "other", is_starred=True)
    for _ in range(2):
        assert store.star(one, "me", is_starred=True)
    assert ids(store.history("me", starred=True)) == [one]
    assert ids(store.history("me", starred=False)) == [two]
    assert store.star(one, "me", is_starred=False)
    assert ids(store.history("me", starred=True)) == []


def test_places_in_the_queue(store: Store) -> None:
    others, mine, last = created(store, "a", "other"), created(store, "b"), created(store, "c")
    assert store.standings([mine, last]) == {
        mine: Standing(False, 1),
        last: Standing(False, 2),
    }
    store.claim("worker", 1, 2)
    store.begin(others, by="worker")
    store.star(last, "me", is_starred=True)
    assert store.standings([last, others]) == {
        last: Standing(True, 1),
        others: Standing(False, None),
    }
    assert store.standings([]) == {}


def test_how_fast_it_was_lately(tmp_path: Path) -> None:
    clocks = Clocks()
    with opened(tmp_path, clocks) as store:
        assert store.lately() is None
        for music_s, work_s in ((100.0, 1.0), (None, 1.0), (8.0, 4.0), (4.0, 4.0)):
            made = created(store, "piece")
            store.claim("worker", 1, 2)
            store.begin(made, by="worker")
            clocks.pass_(work_s)
            metrics = {} if music_s is None else {"audio_duration_s": music_s}
            store.succeed(made, "o" * 26, metrics, by="worker")
        created(store, "still waiting")
        assert store.lately(2) == 12 / 8
        assert store.lately() == pytest.approx(112 / 9)


def test_what_is_deleted_is_gone_and_stopped(store: Store) -> None:
    made = store.create_prediction(asked(webhook="http://a.example/"))
    store.claim("worker", 1, 2)
    store.begin(made.id, by="worker")
    store.star(made.id, "me", is_starred=True)
    new = NewFile("f" * 26, "me", "a.wav", "audio/wav", 1, "", "", "output", made.id)
    store.create_file(new)
    assert store.delete_prediction(made.id, "other") is None
    assert store.cancel_requested([made.id], by="worker") == set()
    assert store.delete_prediction(made.id, "me") == [new.id]
    assert store.delete_prediction(made.id, "me") is None
    assert store.cancel_requested([made.id], by="worker") == {made.id}
    assert store.due_deliveries() == []
    assert store.n_deliveries() == 0
    assert not store.begin(made.id, by="worker")
    assert not store.succeed(made.id, new.id, {}, by="worker")
    assert store.file(new.id, None) is None
    assert store.standings([made.id]) == {made.id: Standing(False, None)}


def test_a_store_from_before_there_were_stars(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        made = created(store, "old")
    with sqlite3.connect(tmp_path / "fanfare.db") as connection:
        connection.execute("DROP TABLE stars")
        connection.execute("UPDATE alembic_version SET version_num = 'first'")
    connection.close()
    with opened(tmp_path) as store:
        assert store.star(made, "me", is_starred=True)
        assert ids(store.history("me", starred=True)) == [made]
