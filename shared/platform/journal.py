"""The pipeline's own bookkeeping in a service's schema: what was seen, read, parked, due and said."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform.database import append_rows
from shared.platform.outcome import Due
from shared.platform.records import Decoded
from shared.platform.triage import Admission

KEEP_SEEN = timedelta(days=8)
"""Longer than providers redeliver (7 days); a republication after that counts as new."""


class OutboxRow(NamedTuple):
    """One encoded event on its way out; ``value`` None is a tombstone."""

    lane: int
    topic: str
    key: str
    value: bytes | None
    id: int = 0


class Journal:
    """The platform's statements; each takes the transaction it belongs to."""

    async def admit(self, tx: AsyncConnection, items: Sequence[Decoded], now: datetime) -> Admission:
        """Record events as seen, in one statement, sorted, and tell which nobody saw before.

        A concurrent holder of the same digest is waited for: its commit makes ours a repeat.
        """
        if not items:
            return Admission()
        bodies = {item.digest: item.body for item in reversed(items)}
        digests = sorted(bodies)
        rows = await tx.execute(
            text(
                "insert into processed_events (digest, body, seen_at) "
                "select d, b, :now from"
                " unnest(cast(:digests as bytea[]), cast(:bodies as bytea[])) as u(d, b) "
                "order by d on conflict (digest) do nothing returning digest"
            ),
            {"digests": digests, "bodies": [bodies[d] for d in digests], "now": now},
        )
        fresh = frozenset(bytes(digest) for (digest,) in rows)
        return Admission(fresh, await self._conflicting(tx, items, bodies, fresh))

    async def _conflicting(
        self,
        tx: AsyncConnection,
        items: Sequence[Decoded],
        first_bodies: Mapping[bytes, bytes | None],
        fresh: frozenset[bytes],
    ) -> frozenset[bytes]:
        """Find known request ids whose body differs from the one that was accepted first."""
        with_body = [item for item in items if item.body is not None]
        if not with_body:
            return frozenset()
        known = {item.digest for item in with_body} - fresh
        stored = dict(first_bodies)
        if known:
            rows = await tx.execute(
                text(
                    "select digest, body from processed_events where digest = any(cast(:digests as bytea[]))"
                ),
                {"digests": sorted(known)},
            )
            stored |= {bytes(digest): bytes(body) if body else None for digest, body in rows}
        return frozenset(
            item.digest + item.body
            for item in with_body
            if item.body is not None and stored[item.digest] != item.body
        )

    async def versions(self, tx: AsyncConnection, subjects: Iterable[str]) -> dict[str, int]:
        """Return the last version read of each subject of a versioned topic."""
        wanted = sorted(set(subjects))
        if not wanted:
            return {}
        rows = await tx.execute(
            text(
                "select subject, version from topic_versions where subject = any(cast(:subjects as text[]))"
            ),
            {"subjects": wanted},
        )
        return {row.subject: row.version for row in rows}

    async def save_versions(self, tx: AsyncConnection, versions: Mapping[str, int]) -> None:
        """Remember how far each subject of a versioned topic was read."""
        if not versions:
            return
        subjects = sorted(versions)
        await tx.execute(
            text(
                "insert into topic_versions (subject, version) "
                "select * from unnest(cast(:subjects as text[]), cast(:versions as bigint[])) "
                "on conflict (subject) do update"
                " set version = greatest(topic_versions.version, excluded.version)"
            ),
            {"subjects": subjects, "versions": [versions[s] for s in subjects]},
        )

    async def say(self, tx: AsyncConnection, rows: Iterable[OutboxRow], now: datetime) -> None:
        """Append events to their lanes; ids follow the given order.

        Rows may be made as they are taken: the server stores the first while the next are being encoded.
        """
        columns = ("lane", "topic", "key", "value", "created_at")
        await append_rows(tx, "outbox", columns, ((*row[:4], now) for row in rows))

    async def advance(self, tx: AsyncConnection, ends: Mapping[tuple[str, int], int]) -> None:
        """Move positions forward, never back: a zombie's batch cannot undo its successor's."""
        places = sorted(ends)
        await tx.execute(
            text(
                "insert into positions (topic, partition, next_offset) "
                "select * from unnest(cast(:topics as text[]), cast(:partitions as int[]),"
                " cast(:ends as bigint[])) "
                "on conflict (topic, partition) do update"
                " set next_offset = greatest(positions.next_offset, excluded.next_offset)"
            ),
            {
                "topics": [topic for topic, _ in places],
                "partitions": [partition for _, partition in places],
                "ends": [ends[place] for place in places],
            },
        )

    async def know_partitions(self, tx: AsyncConnection, places: Iterable[tuple[str, int]]) -> None:
        """Make sure every partition has a row: a partition nobody has read yet holds timers back."""
        known = sorted(places)
        await tx.execute(
            text(
                "insert into positions (topic, partition) "
                "select * from unnest(cast(:topics as text[]), cast(:partitions as int[])) "
                "on conflict do nothing"
            ),
            {"topics": [t for t, _ in known], "partitions": [p for _, p in known]},
        )

    async def positions(self, tx: AsyncConnection) -> dict[tuple[str, int], int | None]:
        """Return the next offset to read of each partition; None where nothing was read yet."""
        rows = await tx.execute(text("select topic, partition, next_offset from positions"))
        return {(topic, partition): next_offset for topic, partition, next_offset in rows}

    async def mark_read(
        self,
        tx: AsyncConnection,
        times: Mapping[tuple[str, int], datetime],
        ends: Mapping[tuple[str, int], int],
    ) -> None:
        """Record that a partition had been read up to these times (they only grow)."""
        places = sorted(times)
        await tx.execute(
            text(
                "update positions p set read_up_to = greatest(p.read_up_to, u.at),"
                " next_offset = greatest(p.next_offset, u.next_offset) "
                "from unnest(cast(:topics as text[]), cast(:partitions as int[]),"
                " cast(:times as timestamptz[]), cast(:ends as bigint[]))"
                " as u(topic, partition, at, next_offset) "
                "where p.topic = u.topic and p.partition = u.partition"
            ),
            {
                "topics": [topic for topic, _ in places],
                "partitions": [partition for _, partition in places],
                "times": [times[place] for place in places],
                "ends": [ends[place] for place in places],
            },
        )

    async def read_up_to(self, tx: AsyncConnection, topics: Iterable[str]) -> datetime | None:
        """Return the time up to which *every* partition of the topics has been read; None: one never was.

        A topic without any partition here was not there when partitions were dealt out: nobody read it.
        """
        wanted = sorted(set(topics))
        row = await tx.execute(
            text(
                "select min(read_up_to), bool_or(read_up_to = '-infinity') or count(distinct topic) < :topics"
                " from positions where topic = any(cast(:names as text[]))"
            ),
            {"names": wanted, "topics": len(wanted)},
        )
        at, unread = row.one()
        return None if at is None or unread else at

    async def schedule(self, tx: AsyncConnection, dues: Sequence[Due]) -> None:
        """Set timers and sweeps; setting one again replaces it and outdates a firing under way."""
        if not dues:
            return
        rows = [due for _, due in sorted({(due.kind, due.key): due for due in dues}.items())]
        await tx.execute(
            text(
                "insert into due (kind, key, tenant_id, at, sweep) "
                "select * from unnest("
                "cast(:kinds as text[]), cast(:keys as text[]), cast(:tenants as text[]),"
                " cast(:times as timestamptz[]), cast(:sweeps as boolean[])) "
                "on conflict (kind, key) do update set at = excluded.at, generation = excluded.generation,"
                " attempts = 0, not_before = '-infinity', parked_reason = null"
            ),
            {
                "kinds": [due.kind for due in rows],
                "keys": [due.key for due in rows],
                "tenants": [due.tenant_id for due in rows],
                "times": [due.at for due in rows],
                "sweeps": [due.sweep for due in rows],
            },
        )

    async def cancel(self, tx: AsyncConnection, keys: Sequence[tuple[str, str]]) -> None:
        """Remove timers that no longer apply."""
        if not keys:
            return
        wanted = sorted(set(keys))
        await tx.execute(
            text(
                "delete from due where (kind, key) in (select d.kind, d.key from due d"
                " join unnest(cast(:kinds as text[]), cast(:keys as text[])) as u(kind, key)"
                " using (kind, key)"
                " order by d.kind, d.key for update of d)"
            ),
            {"kinds": [kind for kind, _ in wanted], "keys": [key for _, key in wanted]},
        )

    async def list_due(
        self, tx: AsyncConnection, now: datetime, read_up_to: datetime | None, limit: int
    ) -> list[Due]:
        """List, without locks, what is due: sweeps by the clock, timers by how far we have read."""
        rows = await tx.execute(
            text(
                "select kind, key, tenant_id, at, sweep, generation from due "
                "where parked_reason is null and not_before <= :now and at <= :now"
                " and (sweep or at <= cast(:read_up_to as timestamptz)) "
                "order by sweep desc, at limit :limit"
            ),
            {"now": now, "read_up_to": read_up_to, "limit": limit},
        )
        return [Due(*row) for row in rows]

    async def finish_due(self, tx: AsyncConnection, dues: Sequence[Due]) -> None:
        """Delete fired rows, but not those that were set again since they were listed."""
        rows = sorted((due.kind, due.key, due.generation) for due in dues)
        await tx.execute(
            text(
                "delete from due where (kind, key, generation) in (select d.kind, d.key, d.generation"
                " from due d join unnest(cast(:kinds as text[]), cast(:keys as text[]),"
                " cast(:generations as bigint[])) as u(kind, key, generation) using (kind, key, generation)"
                " order by d.kind, d.key for update of d)"
            ),
            {
                "kinds": [row[0] for row in rows],
                "keys": [row[1] for row in rows],
                "generations": [row[2] for row in rows],
            },
        )

    async def postpone_due(
        self, tx: AsyncConnection, due: Due, *, not_before: datetime, reason: str, park_after: int
    ) -> bool:
        """Count a failed firing and try again later; park the row after so many. Returns: parked."""
        row = await tx.execute(
            text(
                "update due set attempts = attempts + 1, not_before = :not_before,"
                " parked_reason = case when attempts + 1 >= :park_after then :reason end "
                "where kind = :kind and key = :key and generation = :generation returning parked_reason"
            ),
            {
                "kind": due.kind,
                "key": due.key,
                "generation": due.generation,
                "not_before": not_before,
                "reason": reason,
                "park_after": park_after,
            },
        )
        return row.scalar() is not None

    async def forget_seen(self, tx: AsyncConnection, now: datetime, limit: int) -> int:
        """Delete one slice of the oldest seen-marks; returns how many went."""
        deleted = await tx.execute(
            text(
                "delete from processed_events where digest in ("
                "select digest from processed_events where seen_at < :before order by seen_at limit :limit)"
            ),
            {"before": now - KEEP_SEEN, "limit": limit},
        )
        return deleted.rowcount
