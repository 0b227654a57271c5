"""The tables of the store, and how their rows become values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    TypeDecorator,
    exists,
)

from fanfare.server.records import File, Prediction

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """A time in UTC, kept as whole microseconds: exact, and in order."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: object) -> int | None:
        """To microseconds since 1970."""
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: object) -> datetime | None:
        """From microseconds since 1970."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = MetaData()

# `seq` orders: ids are random, and two rows may be made in one microsecond.
predictions = Table(
    "predictions",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(26), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("version", String(64), nullable=False),
    Column("weights", Text, nullable=False),
    Column("input", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("output_file", String(64)),
    Column("stream_token", String(64), nullable=False, unique=True),
    Column("logs", Text, nullable=False, default=""),
    Column("error", Text),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("completed_at", Moment),
    Column("step", Integer, nullable=False, default=0),
    Column("n_steps", Integer, nullable=False, default=0),
    Column("seed", BigInteger),
    Column("tries", Integer, nullable=False, default=0),
    Column("claimed_by", String(64)),
    Column("deadline", Moment),
    Column("webhook", Text),
    Column("webhook_events", JSON, nullable=False),
    Column("source", String(16), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("data_removed", Boolean, nullable=False, default=False),
    Index("predictions_by_owner", "owner", "seq"),
    Index("predictions_by_status", "status", "seq"),
    Index("predictions_by_completion", "completed_at"),
    sqlite_autoincrement=True,
)

files = Table(
    "files",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("md5", String(32), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("prediction", String(26)),
    Column("metadata", JSON, nullable=False),
    Column("capability", String(64), nullable=False, unique=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Index("files_by_owner", "owner", "seq"),
    Index("files_by_expiry", "expires_at"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("prediction", String(26), nullable=False),
    Column("event", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Column("due_at", Moment, nullable=False),
    Index("deliveries_by_prediction", "prediction", "seq"),
    sqlite_autoincrement=True,
)

stars = Table("stars", metadata, Column("prediction", String(26), primary_key=True))


def is_starred() -> ColumnElement[bool]:
    """Whether a row of `predictions` is marked by its owner."""
    return exists().where(stars.c.prediction == predictions.c.id)


secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)


def prediction_of(row: RowMapping) -> Prediction:
    """A row of `predictions` as a value."""
    values: dict[str, Any] = dict(row)
    for name in ("seq", "claimed_by"):
        del values[name]
    progress = (values.pop("step"), values.pop("n_steps"))
    events = tuple(values.pop("webhook_events"))
    return Prediction(**values, progress=progress, webhook_events=events)


def file_of(row: RowMapping) -> File:
    """A row of `files` as a value."""
    values: dict[str, Any] = dict(row)
    del values["seq"]
    return File(**values)
