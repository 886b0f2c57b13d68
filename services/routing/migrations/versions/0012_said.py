"""Our messages since the customer's last: those that may still turn out not to have arrived."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("alter table chats add column said text")


def downgrade() -> None:
    op.execute("alter table chats drop column said")
