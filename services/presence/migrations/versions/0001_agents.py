"""Agents, their sessions, and what presence needs of the directory."""

from alembic import op

from shared.platform.tables import create_platform_tables

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    create table tenants (
        tenant_id text primary key,
        lease_seconds integer not null default 60,
        grace_seconds integer not null default 60,
        revision bigint not null default -1
    )
    """,
    """
    create table known_agents (
        tenant_id text not null,
        agent_id text not null,
        retired boolean not null,
        revision bigint not null,
        primary key (tenant_id, agent_id)
    )
    """,
    """
    create table agents (
        tenant_id text not null,
        agent_id text not null,
        state text not null default 'offline' check (state in ('online', 'away', 'offline')),
        reason text,
        declared_state text check (declared_state in ('online', 'away')),
        declared_reason text,
        draining boolean not null default false,
        grace_until timestamptz,
        lease_seconds integer not null default 60,
        version bigint not null default 0,
        echoed_version bigint not null default 0,
        cause text,
        since timestamptz,
        changed_at timestamptz,
        because_id text,
        correlation_id text,
        causation_id text,
        primary key (tenant_id, agent_id)
    ) with (fillfactor = 70)
    """,
    """
    create table sessions (
        tenant_id text not null,
        agent_id text not null,
        session_id text not null,
        ended_at timestamptz,
        primary key (tenant_id, agent_id, session_id)
    )
    """,
    "create index ended_sessions_by_age on sessions (ended_at) where ended_at is not null",
)


def upgrade() -> None:
    create_platform_tables(op)
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the first revision is where a schema begins; drop the schema instead")
