"""Whom ``round_robin`` chose last, per department."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("alter table departments add column turn text")


def downgrade() -> None:
    op.execute("alter table departments drop column turn")
