"""Which chat a pair had last, who had it, and when it was closed."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(
        "alter table pairs add column last_chat_id text, add column last_agent_id text,"
        " add column last_closed_at timestamptz"
    )


def downgrade() -> None:
    op.execute(
        "alter table pairs drop column last_chat_id, drop column last_agent_id, drop column last_closed_at"
    )
