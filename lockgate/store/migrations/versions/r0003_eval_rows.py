"""Eval runs row by row while they go on, and what models said, by the hash of what they were asked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "eval_plans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("suite_hash", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eval_plans"),
    )
    op.create_index("ix_eval_plans_started_at", "eval_plans", ["started_at"], unique=False)
    op.create_table(
        "eval_rows",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["eval_plans.id"], name="fk_eval_rows_run_eval_plans", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "case_id", "repeat", name="pk_eval_rows"),
    )
    op.create_table(
        "model_calls",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_model_calls"),
    )
    op.create_index("ix_model_calls_kind", "model_calls", ["kind"], unique=False)
    op.create_index("ix_model_calls_created_at", "model_calls", ["created_at"], unique=False)
