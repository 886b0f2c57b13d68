"""The platform's tables, the ledger of pairs, the sends, and the documents they are judged by."""

from alembic import op

from shared.platform.tables import create_platform_tables

revision = "0001"
down_revision = None

TABLES = (
    # One row per pair is its lock, its window ledger and its place in the queue. A customer's message
    # alone changes no indexed column, so that the busiest update stays within its page.
    """
    create table pairs (
        tenant_id text not null,
        pair_key text not null,
        channel text not null,
        business_address text not null,
        customer_address text not null,
        last_inbound_at timestamptz,
        disproved_at timestamptz,
        told_expires_at timestamptz,
        version bigint not null default 0,
        echoed_version bigint not null default 0,
        next_turn_at timestamptz,
        primary key (tenant_id, pair_key)
    ) with (fillfactor = 70)
    """,
    """
    create index pairs_by_turn on pairs (tenant_id, channel, business_address, next_turn_at)
    where next_turn_at is not null
    """,
    """
    create table sends (
        tenant_id text not null,
        request_id text not null,
        pair_key text not null,
        seq bigint generated always as identity,
        request jsonb not null,
        cause_id text not null,
        correlation_id text,
        causation_id text,
        arrived_at timestamptz not null,
        state text not null,
        attempt integer not null default 0,
        not_before timestamptz,
        lease_until timestamptz,
        judged_by timestamptz,
        in_doubt_since timestamptz,
        provider text,
        provider_message_id text,
        reason text,
        provider_code text,
        provider_detail text,
        retry_not_before timestamptz,
        fallback boolean not null default false,
        primary key (tenant_id, request_id)
    ) with (fillfactor = 70)
    """,
    "create index sends_in_line on sends (tenant_id, pair_key, seq) where state in ('queued', 'sending')",
    """
    create index sends_by_provider_message on sends (tenant_id, provider_message_id)
    where provider_message_id is not null
    """,
    """
    create table senders (
        tenant_id text not null,
        channel text not null,
        business_address text not null,
        next_slot_at timestamptz,
        slowed_until timestamptz,
        halted_reason text,
        primary key (tenant_id, channel, business_address)
    ) with (fillfactor = 50)
    """,
    """
    create table channel_documents (
        tenant_id text not null,
        id text not null,
        revision bigint not null,
        channel text not null,
        business_address text not null,
        provider text not null,
        base_url text,
        provider_account text,
        secret_ref text not null,
        retired boolean not null,
        primary key (tenant_id, id)
    )
    """,
    "create index channel_documents_by_address on channel_documents (tenant_id, channel, business_address)",
    """
    create table template_documents (
        tenant_id text not null,
        id text not null,
        revision bigint not null,
        name text not null,
        language text not null,
        state text not null,
        provider_state text,
        parameters integer not null,
        retired boolean not null,
        primary key (tenant_id, id)
    )
    """,
    "create index template_documents_by_name on template_documents (tenant_id, name, language)",
    # Receipts that came before the provider's id of their message was stored.
    """
    create table early_receipts (
        tenant_id text not null,
        provider_message_id text not null,
        cause_id text not null,
        correlation_id text,
        causation_id text,
        receipt jsonb not null,
        arrived_at timestamptz not null,
        primary key (tenant_id, provider_message_id, cause_id)
    )
    """,
    # Where our reading of each inbound partition began: what the ledger cannot know.
    """
    create table inbound_beginnings (
        partition integer primary key,
        first_offset bigint not null,
        received_at timestamptz not null
    )
    """,
)


def upgrade() -> None:
    create_platform_tables(op)
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the first schema has nothing below it")
