"""The records that are put aside, one by one: listed in order, asked for, released."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform.records import Record, headers_of

_COLUMNS = (
    "id, tenant_id, key, blocks_key, topic, partition, record_offset, record_key,"
    " cast(headers as text) as headers, value,"
    " admitted, reason, detail, attempts, parked_at, asked_by, asked_why"
)


@dataclass(frozen=True, slots=True)
class Aside:
    """One record that was put aside, with its original."""

    id: int
    tenant_id: str
    key: str
    blocks_key: bool
    record: Record
    admitted: bool
    reason: str
    detail: str
    attempts: int
    parked_at: datetime
    asked_by: str | None = None
    asked_why: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record in the queue of a parked key: its row, and of which chat or ticket it is which version."""

    id: int
    subject: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The replay of a parked key that somebody asked for."""

    key: str
    by: str | None
    past_gaps: bool


def in_order(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Return the order in which a key is replayed: as it was parked, and each subject by its versions.

    A version that was missing comes last and is needed first: within the places that a chat's or ticket's
    events hold in the queue, they are ordered by version.
    """
    queues: dict[str, list[Waiting]] = {}
    for one in waiting:
        if one.subject is not None:
            queues.setdefault(one.subject, []).append(one)
    sorted_queues = {
        subject: iter(sorted(queue, key=lambda one: (one.version or 0, one.id)))
        for subject, queue in queues.items()
    }
    return [one if one.subject is None else next(sorted_queues[one.subject]) for one in waiting]


class Asides:
    """The statements of replaying and dropping; each takes the transaction it belongs to."""

    async def asked_keys(self, tx: AsyncConnection) -> list[str]:
        """Return the parked keys whose replay was asked for, the earliest request first."""
        rows = await tx.execute(
            text("select key from parked_keys where asked_at is not null order by asked_at, key limit 100")
        )
        return [key for (key,) in rows]

    async def asked_records(self, tx: AsyncConnection, asked: str) -> list[int]:
        """Return the records to be replayed alone, or dropped, in the order in which they were parked."""
        rows = await tx.execute(
            text("select id from parked_records where asked = :asked order by id limit 100"), {"asked": asked}
        )
        return [row_id for (row_id,) in rows]

    async def lock_asked(self, tx: AsyncConnection, key: str) -> Asked | None:
        """Lock a parked key whose replay was asked for. None: it is done, or another process is at it."""
        row = await tx.execute(
            text(
                "select key, asked_by, past_gaps from parked_keys "
                "where key = :key and asked_at is not null for update skip locked"
            ),
            {"key": key},
        )
        found = row.one_or_none()
        return None if found is None else Asked(*found)

    async def lock_record(self, tx: AsyncConnection, row_id: int, asked: str) -> Aside | None:
        """Lock a record of which this was asked. None: it is done, or another process is at it."""
        row = await tx.execute(
            text(
                f"select {_COLUMNS} from parked_records "
                "where id = :id and asked = :asked for update skip locked"
            ),
            {"id": row_id, "asked": asked},
        )
        found = row.one_or_none()
        return None if found is None else _aside(found)

    async def queue(self, tx: AsyncConnection, key: str) -> list[Waiting]:
        """Return what waits in a parked key, as it was parked."""
        rows = await tx.execute(
            text(
                "select id, subject, version from parked_records where blocks_key and key = :key order by id"
            ),
            {"key": key},
        )
        return [Waiting(*row) for row in rows]

    async def load(self, tx: AsyncConnection, ids: Sequence[int]) -> list[Aside]:
        """Return these records, in this order."""
        rows = await tx.execute(
            text(f"select {_COLUMNS} from parked_records where id = any(cast(:ids as bigint[]))"),
            {"ids": list(ids)},
        )
        found = {row.id: _aside(row) for row in rows}
        return [found[one] for one in ids if one in found]

    async def remove(self, tx: AsyncConnection, ids: Sequence[int]) -> None:
        """Forget records that were handled after all."""
        if ids:
            await tx.execute(
                text("delete from parked_records where id = any(cast(:ids as bigint[]))"),
                {"ids": sorted(ids)},
            )

    async def fail(
        self, tx: AsyncConnection, row_id: int, reason: str, detail: str, *, admitted: bool = False
    ) -> None:
        """Count one more try that failed, with its reason; nobody asks for another until somebody does."""
        await tx.execute(
            text(
                "update parked_records set attempts = attempts + 1, reason = :reason, detail = :detail,"
                " admitted = admitted or :admitted, asked = null, asked_at = null where id = :id"
            ),
            {"id": row_id, "reason": reason, "detail": detail, "admitted": admitted},
        )

    async def stand_alone(self, tx: AsyncConnection, row_id: int, reason: str, detail: str) -> None:
        """Let a record of a parked key be one behind which nothing waits: a rule has rejected it."""
        await tx.execute(
            text(
                "update parked_records set blocks_key = false, attempts = attempts + 1, reason = :reason,"
                " detail = :detail, asked = null, asked_at = null where id = :id"
            ),
            {"id": row_id, "reason": reason, "detail": detail},
        )

    async def queue_up(
        self, tx: AsyncConnection, one: Aside, key: str, tenant_id: str, version: tuple[str, int] | None
    ) -> None:
        """Put a record that stood alone into the queue of its parked key, and ask for its replay."""
        await tx.execute(
            text(
                "update parked_records set blocks_key = true, key = :key, tenant_id = :tenant_id,"
                " admitted = true, subject = :subject, version = :version, asked = null, asked_at = null"
                " where id = :id"
            ),
            {
                "id": one.id,
                "key": key,
                "tenant_id": tenant_id,
                "subject": version and version[0],
                "version": version and version[1],
            },
        )
        await tx.execute(
            text(
                "update parked_keys set asked_at = coalesce(asked_at, now()),"
                " asked_by = coalesce(asked_by, :by) where key = :key"
            ),
            {"key": key, "by": one.asked_by},
        )

    async def mark_dropped(self, tx: AsyncConnection, row_id: int, now: datetime) -> None:
        """Keep a dropped record with who dropped it and why, so that people can look it up for a while."""
        await tx.execute(
            text(
                "update parked_records set blocks_key = false, dropped_at = :now, asked = null,"
                " asked_at = null where id = :id"
            ),
            {"id": row_id, "now": now},
        )

    async def stop_asking(self, tx: AsyncConnection, key: str) -> None:
        """The replay of a key came to its end before the key was empty."""
        await tx.execute(
            text("update parked_keys set asked_at = null, past_gaps = false where key = :key"), {"key": key}
        )

    async def release(self, tx: AsyncConnection, key: str) -> bool:
        """Release a locked key when nothing of it waits any more. Returns whether."""
        gone = await tx.execute(
            text(
                "delete from parked_keys k where k.key = :key and not exists ("
                "select from parked_records r where r.blocks_key and r.key = k.key)"
            ),
            {"key": key},
        )
        return gone.rowcount > 0


def _aside(row: Any) -> Aside:
    record = Record(
        row.topic,
        row.partition,
        row.record_offset,
        row.record_key,
        row.value,
        headers_of(json.loads(row.headers)),
    )
    return Aside(
        row.id,
        row.tenant_id,
        row.key,
        row.blocks_key,
        record,
        row.admitted,
        row.reason,
        row.detail,
        row.attempts,
        row.parked_at,
        row.asked_by,
        row.asked_why,
    )
