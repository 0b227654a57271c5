"""Lists in pages, newest first. A cursor is the id of a row: it says nothing to who sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, select

from fanfare.errors import InputError
from fanfare.server.records import Page

R = TypeVar("R")


def page(
    connection: Connection,
    table: Table,
    wanted: Sequence[ColumnElement[bool]],
    before: str | None,
    after: str | None,
    limit: int,
    make: Callable[[RowMapping], R],
) -> Page[R]:
    """Rows older than `before` or newer than `after`; InputError when a cursor isn't wanted."""
    query = select(table).where(*wanted)
    if after is not None:
        since = _place(connection, table, wanted, after)
        query = query.where(table.c.seq > since).order_by(table.c.seq.asc())
    else:
        if before is not None:
            query = query.where(table.c.seq < _place(connection, table, wanted, before))
        query = query.order_by(table.c.seq.desc())
    rows = connection.execute(query.limit(limit)).mappings().all()
    rows = rows[::-1] if after is not None else rows
    if not rows:
        return Page(())
    older = select(table.c.seq).where(*wanted, table.c.seq < rows[-1]["seq"]).limit(1)
    newer = select(table.c.seq).where(*wanted, table.c.seq > rows[0]["seq"]).limit(1)
    return Page(
        tuple(make(row) for row in rows),
        older=rows[-1]["id"] if connection.execute(older).first() else None,
        newer=rows[0]["id"] if connection.execute(newer).first() else None,
    )


def _place(
    connection: Connection, table: Table, wanted: Sequence[ColumnElement[bool]], cursor: str
) -> int:
    found = select(table.c.seq).where(*wanted, table.c.id == cursor)
    place = connection.execute(found).scalar()
    if place is None:
        raise InputError("cursor", cursor, "this is no cursor of this list: begin anew without one")
    return int(place)
