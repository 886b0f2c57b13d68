"""Until when a chat is parked; and since when its customer is silent, under that name."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("alter table chats rename column last_reply_at to silent_since")
    op.execute("alter table chats add column pending_until timestamptz")


def downgrade() -> None:
    op.execute("alter table chats drop column pending_until")
    op.execute("alter table chats rename column silent_since to last_reply_at")
