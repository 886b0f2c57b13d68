"""Who changed an agent's state, and the reasons a tenant has for being away."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = (
    "alter table agents add column by_role text, add column by_id text",
    "alter table tenants add column away_reasons jsonb not null default '[]'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("alter table tenants drop column away_reasons")
    op.execute("alter table agents drop column by_role, drop column by_id")
