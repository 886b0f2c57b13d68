"""Since when a chat's agent owes an answer, and who owed one for too long."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(
        "alter table chats add column owes_since timestamptz, add column were_silent text not null default ''"
    )


def downgrade() -> None:
    op.execute("alter table chats drop column owes_since, drop column were_silent")
