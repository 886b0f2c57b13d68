"""When the business had its last word, from which a customer's silence counts."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("alter table chats add column last_reply_at timestamptz")


def downgrade() -> None:
    op.execute("alter table chats drop column last_reply_at")
