"""The file behind the store: made, brought up to date, and whole after any death."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import IntegrityError

from fanfare.server import database
from fanfare.server.database import HEAD, Database
from fanfare.server.records import StoreError
from fanfare.server.tables import metadata
from stores import asked, opened

MIGRATIONS = Path(database.__file__).parent / "migrations"

WRITES_FOR_EVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from stores import asked, opened
with opened(Path(sys.argv[1])) as store:
    while True:
        id = store.create_prediction(asked(webhook="http://a.example/", max_waiting=10**6)).id
        print("created", id, flush=True)
        store.claim("worker", 1, 2)
        store.begin(id, by="worker")
        store.add_logs(id, "x" * 5000, by="worker")
        store.succeed(id, "o" * 26, {}, by="worker")
        print("done", id, flush=True)
"""


def test_migrations_make_the_tables_that_are_used(tmp_path: Path) -> None:
    base = Database(tmp_path)
    with base.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD
    base.close()
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [HEAD]


def test_it_is_durable_and_lets_readers_read(tmp_path: Path) -> None:
    with opened(tmp_path) as store, opened(tmp_path) as other:
        with store.reading() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            ]
        assert pragmas == ["wal", 2]
        made = store.create_prediction(asked())
        with store.writing():
            assert other.prediction(made.id, None) == made


def test_one_transaction_is_one_change(tmp_path: Path) -> None:
    with opened(tmp_path) as store:

        def twice() -> None:
            with store.writing() as connection:
                for _ in range(2):
                    connection.exec_driver_sql("INSERT INTO secrets VALUES ('a', x'00')")

        with pytest.raises(IntegrityError):
            twice()
        with store.reading() as connection:
            assert connection.exec_driver_sql("SELECT * FROM secrets").all() == []


def test_a_store_of_a_newer_fanfare_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "fanfare.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'of the future'")
    connection.close()
    with pytest.raises(StoreError, match="newer"):
        Database(tmp_path)


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "fanfare.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Database(tmp_path)


def test_a_home_that_can_t_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="home"):
        Database(tmp_path / "file" / "home")


def test_locked_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    with opened(tmp_path) as store, opened(tmp_path) as other:
        with other.writing(), pytest.raises(StoreError, match="locked"):
            store.create_prediction(asked())
        store.create_prediction(asked())  # and then it goes on


def test_a_full_disk_refuses_and_breaks_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        made = store.create_prediction(asked())
        with store.reading() as connection:
            n_pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {n_pages}")
        with pytest.raises(StoreError, match="full"):
            store.create_prediction(asked(input={"prompt": "x" * 400_000}))
        assert store.prediction(made.id, None) == made
        with store.reading() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        store.create_prediction(asked(input={"prompt": "x" * 400_000}))


@pytest.mark.parametrize("n_lines", [3, 8, 16])
def test_killed_in_the_middle(tmp_path: Path, n_lines: int) -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        lines = [writer.stdout.readline() for _ in range(n_lines)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines(keepends=True)
    said = [line.split() for line in lines if line.endswith("\n")]
    with opened(tmp_path) as store:
        for word, id in said:
            found = store.prediction(id, "me")
            assert found is not None
            assert found.status == "succeeded" or word == "created"
        with store.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            told = connection.exec_driver_sql(
                "SELECT prediction FROM deliveries WHERE event = 'completed'"
            )
            ended = connection.exec_driver_sql(
                "SELECT id FROM predictions WHERE status = ?", ("succeeded",)
            )
            assert set(told.scalars()) == set(ended.scalars())  # the end and its telling are one
        store.release_claims(None, 2)
        assert store.counts()["processing"] == 0
