"""Who did not accept a chat that waits, and how often in a row somebody left an offer unanswered."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("alter table chats add column passed_by text not null default ''")
    op.execute("alter table agents add column misses int not null default 0")


def downgrade() -> None:
    op.execute("alter table chats drop column passed_by")
    op.execute("alter table agents drop column misses")
