"""The file behind the store: opened, brought up to date, and written in short transactions."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError

from fanfare.server.records import StoreError

FILE = "fanfare.db"
HEAD = "stars"
"""The newest migration."""
BUSY_TIMEOUT_S = 10
"""How long a transaction waits for another to end."""


def free_bytes(folder: Path) -> int:
    """What its disk has room for."""
    return shutil.disk_usage(folder).free


KEPT_CONNECTIONS = 16
MAX_CONNECTIONS = 64
"""More than the threads that an API process answers with."""


class Database:
    """One SQLite file in WAL mode, shared by threads and processes.

    Args:
        home: its folder; made when it is missing, for its owner's eyes alone.
        clock: the time now, aware.

    Raises StoreError when the file can't be used, here and in every transaction.
    """

    def __init__(self, home: Path, clock: Callable[[], datetime] | None = None) -> None:
        self.now = clock or (lambda: datetime.now(UTC))
        self.path = home / FILE
        self._line = threading.Lock()
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Secrets live in it: nobody else may read it, from its first byte on.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StoreError(f"{home} can't be used as the server's home: {error}") from error
        self.engine = _open(self.path)
        self._reads = self.engine.execution_options(fanfare_write=False)
        self._writes = self.engine.execution_options(fanfare_write=True)
        self._glances = _open(self.path, wait_s=0, n_connections=1)
        self._migrate()

    def close(self) -> None:
        """Let go of the file."""
        self._glances.dispose()
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One view of the store, the same until it ends."""
        with self._transaction(self._reads) as connection:
            yield connection

    @contextmanager
    def glancing(self) -> Iterator[Connection]:
        """The same for a few rows, from one thread that must not wait: StoreError if it had to."""
        with self._transaction(self._glances) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One change of the store: all of it, or nothing. Not to be nested."""
        # SQLite lets waiting writers sleep, up to 100 ms at a time: threads wait in line instead.
        if not self._line.acquire(timeout=2 * BUSY_TIMEOUT_S):
            raise StoreError(f"the store {self.path.name} is busy for too long")
        try:
            with self._transaction(self._writes) as connection:
                yield connection
        finally:
            self._line.release()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except (IntegrityError, ProgrammingError):
            raise  # a fault of ours, not the store's
        except DatabaseError as error:
            raise StoreError(f"the store {self.path.name} can't be used: {error.orig}") from error

    def _migrate(self) -> None:
        with FileLock(str(self.path) + ".lock"):
            version = self._version()
            if version == HEAD:
                return
            # Loaded only here: it takes 12 MB, and nearly always there is nothing to do.
            from alembic import command
            from alembic.config import Config
            from alembic.util import CommandError

            config = Config()
            config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
            try:
                with self.writing() as connection:
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
            except CommandError as error:
                hint = "it was made by a newer Fanfare: update this one"
                raise StoreError(f"{self.path} is of version {version!r}: {hint}") from error

    def _version(self) -> str | None:
        with self.reading() as connection:
            exists = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if connection.execute(text(exists)).first() is None:
                return None
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return None if found is None else str(found)


def _open(
    path: Path, *, wait_s: float = BUSY_TIMEOUT_S, n_connections: int = MAX_CONNECTIONS
) -> Engine:
    kept = min(n_connections, KEPT_CONNECTIONS)
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": wait_s, "check_same_thread": False},
        pool_size=kept,
        max_overflow=n_connections - kept,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, and nowhere else
        # FULL: what was answered with 201 is still there after the power went.
        # The system keeps the file's pages anyway: half a megabyte of them is enough for each.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -512"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once when another wrote
        # meanwhile; one that says that it will write waits for its turn.
        will_write = connection.get_execution_options().get("fanfare_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if will_write else "BEGIN")

    return engine
