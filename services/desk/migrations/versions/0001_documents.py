"""The documents people edit about their tenants."""

from alembic import op

from shared.platform.tables import create_platform_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_platform_tables(op)
    op.execute("create table tenants (tenant_id text primary key)")
    op.execute(
        """
        create table documents (
            tenant_id text not null,
            kind text not null,
            id text not null,
            revision bigint not null check (revision > 0),
            echoed_revision bigint not null default 0,
            body jsonb not null,
            primary key (tenant_id, kind, id)
        )
        """
    )
    op.execute("create index documents_by_channel on documents (tenant_id) where kind = 'channel'")


def downgrade() -> None:
    raise NotImplementedError("a schema is only ever moved forward")
