"""Chats that no timer moves or closes."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("alter table chats add column flagged boolean not null default false")


def downgrade() -> None:
    op.execute("alter table chats drop column flagged")
