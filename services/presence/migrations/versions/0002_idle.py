"""Who is idle, and when a tenant calls somebody so."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "alter table agents add column idle boolean not null default false",
    "alter table tenants add column idle_seconds integer not null default 900",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("alter table tenants drop column idle_seconds")
    op.execute("alter table agents drop column idle")
