"""Tickets, the pairs they are locked by, and the directory they are judged by."""

from alembic import op

from shared.platform.tables import create_platform_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_platform_tables(op)
    op.execute(
        """
        create table pairs (
            tenant_id text not null,
            pair_key text not null,
            primary key (tenant_id, pair_key)
        )
        """
    )
    op.execute(
        """
        create table tickets (
            tenant_id text not null,
            ticket_id text not null,
            pair_key text not null,
            channel text not null,
            business_address text not null,
            customer_address text not null,
            customer_id text not null,
            chat_id text not null,
            chat_version bigint not null,
            version bigint not null,
            state text not null check (state in ('unassigned', 'assigned', 'closed')),
            reason text not null,
            opened_at timestamptz not null,
            last_message_at timestamptz not null,
            department_id text,
            agent_id text,
            next_open_at timestamptz,
            answered_at timestamptz,
            close_reason text,
            primary key (tenant_id, ticket_id),
            check (state <> 'assigned' or agent_id is not null),
            check ((state = 'closed') = (close_reason is not null))
        ) with (fillfactor = 80)
        """
    )
    op.execute(
        """
        create unique index one_open_ticket_per_pair on tickets (tenant_id, pair_key)
        where state <> 'closed'
        """
    )
    op.execute(
        """
        create table directory (
            tenant_id text not null,
            kind text not null,
            id text not null,
            revision bigint not null,
            body jsonb not null,
            primary key (tenant_id, kind, id)
        )
        """
    )


def downgrade() -> None:
    raise NotImplementedError("a schema is only ever moved forward")
