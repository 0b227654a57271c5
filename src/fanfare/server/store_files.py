"""Files that the store knows. Their bytes are `server/files.py`'s."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, delete, exists, func, insert, select, update

from fanfare.server.database import Database
from fanfare.server.ids import new_id
from fanfare.server.pages import page
from fanfare.server.records import RUNNING, WAITING, File, NewFile, Page
from fanfare.server.tables import file_of, files, is_starred, predictions


class FileRows(Database):
    """The part of the store that knows files."""

    def create_file(self, new: NewFile) -> File:
        """Make a file known that lies on the disk already."""
        values: dict[str, Any] = {
            **asdict(new),
            "capability": new_id(),
            "created_at": self.now(),
        }
        with self.writing() as connection:
            row = connection.execute(insert(files).values(values).returning(files))
            return file_of(row.mappings().one())

    def file(self, id: str, owner: str | None) -> File | None:
        """A file by its id; None when it isn't known, or isn't that owner's (None = anyone's)."""
        return self._file(files.c.id == id, *_of(owner))

    def file_by_capability(self, capability: str) -> File | None:
        """The output that a capability leads to."""
        return self._file(files.c.capability == capability)

    def files(
        self, owner: str, before: str | None = None, after: str | None = None, limit: int = 100
    ) -> Page[File]:
        """An owner's uploads, newest first; InputError when a cursor isn't one of theirs."""
        mine = (files.c.owner == owner, files.c.purpose == "upload")
        with self.reading() as connection:
            return page(connection, files, mine, before, after, limit, file_of)

    def delete_file(self, id: str, owner: str | None) -> bool:
        """Forget a file; False when there was none. A prediction loses its output by it."""
        with self.writing() as connection:
            gone = delete(files).where(files.c.id == id, *_of(owner)).returning(files.c.id)
            if connection.execute(gone).first() is None:
                return False
            connection.execute(
                update(predictions)
                .where(predictions.c.output_file == id)
                .values(output_file=None, data_removed=True)
            )
            return True

    def known_files(self, ids: Iterable[str]) -> set[str]:
        """Which of these the store knows."""
        asked = list(ids)
        with self.reading() as connection:
            found: set[str] = set()
            for start in range(0, len(asked), 500):
                part = files.c.id.in_(asked[start : start + 500])
                found.update(connection.execute(select(files.c.id).where(part)).scalars())
            return found

    def stored_bytes(self) -> int:
        """What all known files take."""
        with self.reading() as connection:
            return int(
                connection.execute(select(func.coalesce(func.sum(files.c.size), 0))).scalar_one()
            )

    def _file(self, *wanted: ColumnElement[bool]) -> File | None:
        with self.reading() as connection:
            row = connection.execute(select(files).where(*wanted)).mappings().first()
            return None if row is None else file_of(row)


def unused() -> ColumnElement[bool]:
    """Files that no prediction asks for which isn't finished, or is starred."""
    asks = func.instr(cast(predictions.c.input, Text), files.c.id) > 0
    is_open = predictions.c.status.in_((WAITING, RUNNING))
    return ~exists().where(is_open | is_starred(), asks)


def _of(owner: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if owner is None else (files.c.owner == owner,)
