"""What agents can do, what chats ask for, and whether a chat that waits makes do with anybody."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("alter table agents add column skills text[] not null default '{}'")
    op.execute("alter table chats add column skills text not null default ''")
    op.execute("alter table chats add column skills_relaxed boolean not null default false")


def downgrade() -> None:
    op.execute("alter table chats drop column skills_relaxed")
    op.execute("alter table chats drop column skills")
    op.execute("alter table agents drop column skills")
