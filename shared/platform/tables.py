"""The platform's own tables, created in every service's schema by its first migration."""

from typing import Protocol

LANES = 64
"""Outbox lanes per service. Stored in every row, so it never changes (docs/pipeline.md, 3)."""

STATEMENTS = (
    # Cannot be partitioned by day and stay unique: rows are deleted in slices after 8 days.
    """
    create table processed_events (
        digest bytea primary key,
        body bytea,
        seen_at timestamptz not null
    )
    """,
    "create index processed_events_by_age on processed_events (seen_at)",
    """
    create table positions (
        topic text not null,
        partition integer not null,
        next_offset bigint,
        read_up_to timestamptz not null default '-infinity',
        paused_at timestamptz,
        counted_from bigint not null default 0,
        primary key (topic, partition)
    ) with (fillfactor = 50)
    """,
    """
    create table outbox (
        id bigint generated always as identity primary key,
        lane smallint not null,
        topic text not null,
        key text not null,
        value bytea,
        created_at timestamptz not null
    ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)
    """,
    "create index outbox_by_lane on outbox (lane, id)",
    """
    create table lanes (
        lane smallint primary key,
        owner text,
        leased_until timestamptz not null default '-infinity'
    ) with (fillfactor = 50)
    """,
    f"insert into lanes (lane) select generate_series(0, {LANES - 1})",
    "create table lane_owners (owner text primary key, seen_until timestamptz not null)",
    # Never repeats, so that a firing under way cannot delete the row that replaced its own.
    "create sequence due_generation",
    """
    create table due (
        kind text not null,
        key text not null,
        tenant_id text not null,
        at timestamptz not null,
        sweep boolean not null,
        generation bigint not null default nextval('due_generation'),
        attempts integer not null default 0,
        not_before timestamptz not null default '-infinity',
        parked_reason text,
        primary key (kind, key)
    )
    """,
    "create index due_by_time on due (sweep, at) where parked_reason is null",
    """
    create table parked_records (
        id bigint generated always as identity primary key,
        tenant_id text not null,
        key text not null,
        blocks_key boolean not null,
        topic text not null,
        partition integer not null,
        record_offset bigint not null,
        record_key bytea,
        headers jsonb not null,
        value bytea,
        admitted boolean not null,
        subject text,
        version bigint,
        reason text not null,
        detail text not null,
        attempts integer not null,
        parked_at timestamptz not null,
        asked text check (asked in ('replay', 'drop')),
        asked_at timestamptz,
        asked_by text,
        asked_why text,
        dropped_at timestamptz,
        unique (topic, partition, record_offset)
    )
    """,
    "create index parked_records_by_key on parked_records (key, id) where blocks_key",
    "create index parked_records_alone_by_age on parked_records (parked_at) where not blocks_key",
    "create index parked_records_asked on parked_records (asked_at) where asked is not null",
    # One row for each key that is parked: its lock is what parking behind a key and replaying it meet at.
    """
    create table parked_keys (
        key text primary key,
        asked_at timestamptz,
        asked_by text,
        past_gaps boolean not null default false
    )
    """,
    "create table topic_versions (subject text primary key, version bigint not null)",
)


class Operations(Protocol):
    """The part of Alembic's ``op`` that is used here."""

    def execute(self, sqltext: str) -> None:
        """Run one statement."""
        ...


def create_platform_tables(op: Operations) -> None:
    """Create the platform's tables in the schema that is being migrated."""
    for statement in STATEMENTS:
        op.execute(statement)
