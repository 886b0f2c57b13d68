"""Until when the slot of a chat that ended stays held, and whether that of a pair's last chat is."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("alter table chats add column wrap_up_until timestamptz")
    op.execute("alter table pairs add column wrapping_up boolean not null default false")


def downgrade() -> None:
    op.execute("alter table pairs drop column wrapping_up")
    op.execute("alter table chats drop column wrap_up_until")
