"""What a service has put aside: records that wait with their key, and records that wait for nobody.

The row of `parked_keys` is where parking behind a key and replaying it meet: a batch locks the rows of its
parked keys before it reads anything else about them, a replay locks its key's before it folds. So whatever
is parked behind a key is seen by the replay that would release it, and nothing overtakes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform.limit import BEHIND, WINDOW
from shared.platform.records import Parked, kept_headers

Place = tuple[str, int]

KEEP_ALONE = timedelta(days=30)
"""How long a record is kept behind which nothing waits, as long as topics keep theirs."""

_PARK = text(
    "insert into parked_records (tenant_id, key, blocks_key, topic, partition, record_offset, record_key,"
    " headers, value, admitted, subject, version, reason, detail, attempts, parked_at) "
    "select tenant_id, key, blocks_key, topic, partition, record_offset, record_key, cast(headers as jsonb),"
    " value, admitted, subject, version, reason, detail, attempts, :now"
    " from unnest(cast(:tenants as text[]), cast(:keys as text[]),"
    " cast(:blocking as boolean[]), cast(:topics as text[]), cast(:partitions as int[]),"
    " cast(:offsets as bigint[]), cast(:record_keys as bytea[]), cast(:headers as text[]),"
    " cast(:values as bytea[]), cast(:admitted as boolean[]), cast(:subjects as text[]),"
    " cast(:versions as bigint[]), cast(:reasons as text[]), cast(:details as text[]),"
    " cast(:attempts as int[]))"
    " with ordinality as u(tenant_id, key, blocks_key, topic, partition, record_offset, record_key, headers,"
    " value, admitted, subject, version, reason, detail, attempts, n) order by n "
    "on conflict (topic, partition, record_offset) do nothing returning topic, partition, record_offset"
)


@dataclass(frozen=True, slots=True)
class Counted:
    """What counts towards the limit of one partition: its dead letters since it was resumed."""

    offsets: frozenset[int]
    paused: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How much waits: parked keys, and since when the oldest."""

    keys: int
    oldest: datetime | None


class Parking:
    """The statements about what is put aside; each takes the transaction it belongs to."""

    async def lock_keys(self, tx: AsyncConnection, keys: Iterable[str]) -> set[str]:
        """Lock those of the keys that are parked and return them: until the commit no replay releases one."""
        rows = await tx.execute(
            text(
                "select key from parked_keys where key = any(cast(:keys as text[])) order by key for update"
            ),
            {"keys": sorted(set(keys))},
        )
        return {key for (key,) in rows}

    async def park(self, tx: AsyncConnection, parked: Sequence[Parked], now: datetime) -> list[Parked]:
        """Put records aside and return those that were not aside before; a repeat keeps its first entry."""
        if not parked:
            return []
        columns = {
            "tenants": [one.tenant_id for one in parked],
            "keys": [one.key for one in parked],
            "blocking": [one.blocks_key for one in parked],
            "topics": [one.record.topic for one in parked],
            "partitions": [one.record.partition for one in parked],
            "offsets": [one.record.offset for one in parked],
            "record_keys": [one.record.key for one in parked],
            "headers": [kept_headers(one.record.headers) for one in parked],
            "values": [one.record.value for one in parked],
            "admitted": [one.admitted for one in parked],
            "subjects": [one.version and one.version[0] for one in parked],
            "versions": [one.version and one.version[1] for one in parked],
            "reasons": [one.reason for one in parked],
            "details": [one.detail for one in parked],
            "attempts": [one.attempts for one in parked],
            "now": now,
        }
        rows = await tx.execute(_PARK, columns)
        new = {(topic, partition, offset) for topic, partition, offset in rows}
        fresh = [one for one in parked if (one.record.topic, one.record.partition, one.record.offset) in new]
        await self.block(tx, [one.key for one in fresh if one.blocks_key])
        return fresh

    async def block(self, tx: AsyncConnection, keys: Iterable[str]) -> None:
        """Mark keys as parked and lock the marks, also those that were there."""
        if wanted := sorted(set(keys)):
            # An update, not "do nothing": only so a replay that is about to release the key is waited for.
            await tx.execute(
                text(
                    "insert into parked_keys (key) select unnest(cast(:keys as text[])) "
                    "on conflict (key) do update set key = excluded.key"
                ),
                {"keys": wanted},
            )

    async def ask_for_closed_gaps(self, tx: AsyncConnection, keys: Iterable[str], now: datetime) -> None:
        """Ask for the replay of keys that wait for a missing version, as it has come."""
        if wanted := sorted(set(keys)):
            await tx.execute(
                text(
                    "update parked_keys k set asked_at = :now, asked_by = null "
                    "where k.key = any(cast(:keys as text[])) and k.asked_at is null and exists ("
                    "select from parked_records r where r.key = k.key and r.blocks_key"
                    " and r.reason = 'version_gap')"
                ),
                {"keys": wanted, "now": now},
            )

    async def counted(self, tx: AsyncConnection, firsts: Mapping[Place, int]) -> dict[Place, Counted]:
        """Return what counts beside dead letters at or after these offsets, for each partition."""
        places = sorted(firsts)
        rows = await tx.execute(
            text(
                "select u.topic, u.partition, p.paused_at is not null as paused,"
                " coalesce(array_agg(r.record_offset) filter (where r.id is not null), '{}') as offsets "
                "from unnest(cast(:topics as text[]), cast(:partitions as int[]), cast(:firsts as bigint[]))"
                " as u(topic, partition, first) "
                "left join positions p on p.topic = u.topic and p.partition = u.partition "
                "left join parked_records r on r.topic = u.topic and r.partition = u.partition"
                f" and r.record_offset > u.first - {WINDOW}"
                " and r.record_offset >= coalesce(p.counted_from, 0)"
                " and r.reason <> :behind "
                "group by u.topic, u.partition, p.paused_at"
            ),
            {
                "topics": [topic for topic, _ in places],
                "partitions": [partition for _, partition in places],
                "firsts": [firsts[place] for place in places],
                "behind": BEHIND,
            },
        )
        return {(row.topic, row.partition): Counted(frozenset(row.offsets), row.paused) for row in rows}

    async def pause(self, tx: AsyncConnection, places: Iterable[Place], now: datetime) -> None:
        """Pause partitions until somebody resumes them."""
        for topic, partition in sorted(places):
            await tx.execute(
                text(
                    "update positions set paused_at = :now "
                    "where topic = :topic and partition = :partition and paused_at is null"
                ),
                {"topic": topic, "partition": partition, "now": now},
            )

    async def paused(self, tx: AsyncConnection) -> set[Place]:
        """Return the paused partitions."""
        rows = await tx.execute(text("select topic, partition from positions where paused_at is not null"))
        return {(topic, partition) for topic, partition in rows}

    async def standing(self, tx: AsyncConnection) -> Standing:
        """Return how many keys are parked, and since when the oldest."""
        row = await tx.execute(
            text(
                "select (select count(*) from parked_keys),"
                " (select min(parked_at) from parked_records where blocks_key)"
            )
        )
        return Standing(*row.one())

    async def forget_alone(self, tx: AsyncConnection, now: datetime, limit: int) -> int:
        """Delete one slice of the oldest records behind which nothing waits; returns how many went."""
        deleted = await tx.execute(
            text(
                "delete from parked_records where id in ("
                "select id from parked_records where not blocks_key and asked is null"
                " and parked_at < :before and coalesce(dropped_at, parked_at) < :before"
                " order by parked_at limit :limit for update skip locked)"
            ),
            {"before": now - KEEP_ALONE, "limit": limit},
        )
        return deleted.rowcount
