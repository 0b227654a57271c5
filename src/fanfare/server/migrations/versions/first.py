"""Predictions, files, deliveries, workers, secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "first"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    _predictions()
    _files()
    _deliveries()
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(26), nullable=False, unique=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("weights", sa.Text, nullable=False),
        sa.Column("input", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("output_file", sa.String(64)),
        sa.Column("stream_token", sa.String(64), nullable=False, unique=True),
        sa.Column("logs", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("completed_at", sa.BigInteger),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("n_steps", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("deadline", sa.BigInteger),
        sa.Column("webhook", sa.Text),
        sa.Column("webhook_events", sa.JSON, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("data_removed", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("predictions_by_owner", "predictions", ["owner", "seq"])
    op.create_index("predictions_by_status", "predictions", ["status", "seq"])
    op.create_index("predictions_by_completion", "predictions", ["completed_at"])


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("md5", sa.String(32), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("prediction", sa.String(26)),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("capability", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("files_by_owner", "files", ["owner", "seq"])
    op.create_index("files_by_expiry", "files", ["expires_at"])


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("prediction", sa.String(26), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_by_prediction", "deliveries", ["prediction", "seq"])
