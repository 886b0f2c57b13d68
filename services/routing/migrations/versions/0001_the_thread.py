"""Chats, agents' loads and the directory as routing needs them."""

from alembic import op

from shared.platform.tables import create_platform_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_platform_tables(op)
    op.execute("create table pairs (pair_key text primary key)")
    op.execute(
        """
        create table chats (
            tenant_id text not null,
            chat_id text not null,
            pair_key text not null,
            business_address text not null,
            customer_address text not null,
            customer_id text not null,
            state text not null,
            opened_at timestamptz not null,
            version bigint not null,
            assignment_version bigint not null,
            department_id text,
            agent_id text,
            previous_agent_id text,
            ticket_id text,
            priority integer not null,
            opened_by text not null,
            last_inbound_at timestamptz,
            waiting_since timestamptz,
            queued_at timestamptz,
            last_word text not null,
            primary key (tenant_id, chat_id),
            check ((state = 'assigned') <= (agent_id is not null))
        ) with (fillfactor = 80)
        """
    )
    op.execute("create unique index one_open_chat_per_pair on chats (pair_key) where state <> 'closed'")
    op.execute(
        "create index chats_queued on chats (tenant_id, department_id, priority desc, waiting_since)"
        " where state = 'queued'"
    )
    op.execute(
        "create index chats_unanswered on chats (tenant_id, agent_id, waiting_since)"
        " where state = 'assigned' and last_word = 'customer'"
    )
    op.execute(
        """
        create table agents (
            tenant_id text not null,
            agent_id text not null,
            capacity integer not null default 0,
            departments text[] not null default '{}',
            roles text[] not null default '{agent}',
            state text not null default 'offline',
            draining boolean not null default false,
            presence_version bigint not null default 0,
            revision bigint not null default 0,
            load integer not null default 0 check (load >= 0),
            last_assigned_at timestamptz,
            primary key (tenant_id, agent_id)
        ) with (fillfactor = 50)
        """
    )
    op.execute("create index agents_by_department on agents using gin (departments)")
    op.execute(
        "create table departments (tenant_id text not null, department_id text not null,"
        " primary key (tenant_id, department_id))"
    )
    op.execute(
        """
        create table documents (
            tenant_id text not null,
            kind text not null,
            id text not null,
            revision bigint not null,
            body jsonb not null,
            primary key (tenant_id, kind, id)
        )
        """
    )
    # A sequence, so that a version never returns: what was cached under it stays true.
    op.execute("create sequence directory_version")
    op.execute("create table directories (tenant_id text primary key, version bigint not null)")


def downgrade() -> None:
    for table in ("directories", "documents", "departments", "agents", "chats", "pairs"):
        op.execute(f"drop table {table}")
