"""Predictions that their owners have marked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "stars"
down_revision = "first"


def upgrade() -> None:
    """Make their table."""
    op.create_table("stars", sa.Column("prediction", sa.String(26), primary_key=True))
