"""Which command asked for a hand-over: the cause that its facts name."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("alter table hand_overs add column command_id text not null default ''")


def downgrade() -> None:
    op.execute("alter table hand_overs drop column command_id")
