"""Calibrations: how far a judge agrees with labels, signed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("source IN ('human', 'model', 'mixed')", name="ck_calibrations_source"),
        sa.PrimaryKeyConstraint("seq", name="pk_calibrations"),
        sa.UniqueConstraint("id", name="uq_calibrations_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_calibrations_judge_metric_seq", "calibrations", ["judge", "metric", "seq"], unique=False)
