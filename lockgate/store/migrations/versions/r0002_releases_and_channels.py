"""Releases, channels and their history; which channel, rollout and arm a trace was answered through."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("purpose", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_releases"),
    )
    op.create_index("ix_releases_created_at", "releases", ["created_at"], unique=False)
    op.create_index("ix_releases_chain_created_at", "releases", ["chain", "created_at"], unique=False)
    op.create_table(
        "channels",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("rollout", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "chain", name="pk_channels"),
    )
    op.create_table(
        "channel_moves",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_release", sa.Text(), nullable=False),
        sa.Column("to_release", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("rollout", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("action IN ('promote', 'rollback', 'rollout', 'stop')", name="ck_channel_moves_action"),
        sa.PrimaryKeyConstraint("seq", name="pk_channel_moves"),
        sa.UniqueConstraint("channel", "chain", "version", name="uq_channel_moves_channel_chain_version"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_channel_moves_channel_chain_created_at", "channel_moves", ["channel", "chain", "created_at"], unique=False
    )
    for name in ("channel", "rollout", "arm", "shadow_of"):
        op.add_column("traces", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.create_index("ix_traces_release_created_at", "traces", ["release", "created_at"], unique=False)
    op.create_index("ix_traces_rollout_created_at", "traces", ["rollout", "created_at"], unique=False)
    op.create_index("ix_traces_rollout_arm_created_at", "traces", ["rollout", "arm", "created_at"], unique=False)
