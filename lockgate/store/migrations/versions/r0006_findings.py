"""Traces: what checks found, as values, and what each sentence of the answer rests on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("traces", sa.Column("findings", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("traces", sa.Column("grounding", sa.JSON(), nullable=True))
