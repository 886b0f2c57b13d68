"""Looks into the services' schemas, and asks there for what the services then do."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ops.dead_letters.entries import Entry
from ops.refusal import Refusal
from shared.platform.records import headers_of, readable, readable_headers

_SERVICES = (
    "select table_schema from information_schema.columns"
    " where table_name = 'parked_keys' and column_name = 'asked_at' order by 1"
)


@dataclass(frozen=True, slots=True)
class Original:
    """A record as it came, as text where it is text."""

    key: str | None
    headers: list[tuple[str, str | None]]
    value: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Paused:
    """A partition that a service has stopped to read, and how many records it had read."""

    service: str
    topic: str
    partition: int
    at: datetime
    offset: int

    @property
    def place(self) -> str:
        """Name it as `resume` takes it."""
        return f"{self.topic}/{self.partition}"


class Store:
    """The dead letters of every service in one database."""

    def __init__(self, connection: Any, services: Sequence[str]) -> None:
        self._connection = connection
        self.services = tuple(services)

    async def entries(self, service: str | None = None) -> list[Entry]:
        """Return what is put aside, in the order in which it was."""
        found: list[Entry] = []
        for name in self._chosen(service):
            rows = await self._connection.fetch(
                "select id, tenant_id, key, blocks_key, topic, partition, record_offset, subject, version,"
                " reason, detail, attempts, parked_at, asked, asked_by, asked_why, dropped_at"
                f' from "{name}".parked_records order by id'
            )
            found += [Entry(name, *row) for row in rows]
        return found

    async def original(self, one: Entry) -> Original:
        """Return a record's own bytes. Raises Refusal when it is there no more."""
        row = await self._connection.fetchrow(
            "select record_key, cast(headers as text) as headers, value"
            f' from "{one.service}".parked_records where id = $1',
            one.id,
        )
        if row is None:
            raise Refusal(f"{one.name} has just gone: it was replayed")
        headers = readable_headers(headers_of(json.loads(row["headers"])))
        return Original(
            readable(row["record_key"]), headers, readable(row["value"]), len(row["value"] or b"")
        )

    async def paused(self, service: str | None = None) -> list[Paused]:
        """Return the paused partitions."""
        found: list[Paused] = []
        for name in self._chosen(service):
            rows = await self._connection.fetch(
                f'select topic, partition, paused_at, coalesce(next_offset, 0) from "{name}".positions'
                " where paused_at is not null order by 1, 2"
            )
            found += [Paused(name, *row) for row in rows]
        return found

    async def resume(self, paused: Sequence[Paused]) -> None:
        """Let partitions be read on; what counts towards their limit starts anew."""
        for one in paused:
            await self._connection.execute(
                f'update "{one.service}".positions set paused_at = null,'
                " counted_from = coalesce(next_offset, 0) where topic = $1 and partition = $2",
                one.topic,
                one.partition,
            )

    async def ask_replay(self, entries: Sequence[Entry], *, by: str, past_gaps: bool) -> None:
        """Ask for the replay of parked keys as wholes, and of the other records each alone."""
        for service in sorted({one.service for one in entries}):
            mine = [one for one in entries if one.service == service]
            async with self._connection.transaction():
                await self._connection.execute(
                    f'update "{service}".parked_keys set asked_at = now(), asked_by = $2, past_gaps = $3'
                    " where key = any($1)",
                    sorted({one.key for one in mine if one.blocks_key}),
                    by,
                    past_gaps,
                )
                await self._connection.execute(
                    f"update \"{service}\".parked_records set asked = 'replay', asked_at = now(),"
                    " asked_by = $2"
                    " where id = any($1) and not blocks_key and dropped_at is null",
                    [one.id for one in mine if not one.blocks_key],
                    by,
                )

    async def ask_drop(self, entries: Sequence[Entry], *, by: str, why: str) -> None:
        """Ask to have records dropped."""
        for service in sorted({one.service for one in entries}):
            await self._connection.execute(
                f"update \"{service}\".parked_records set asked = 'drop', asked_at = now(), asked_by = $2,"
                " asked_why = $3 where id = any($1) and dropped_at is null",
                [one.id for one in entries if one.service == service],
                by,
                why,
            )

    async def asked(self, entries: Sequence[Entry]) -> set[str]:
        """Return the names of those about which a service has still something to do."""
        found: set[str] = set()
        for service in sorted({one.service for one in entries}):
            rows = await self._connection.fetch(
                f'select r.id from "{service}".parked_records r'
                f' left join "{service}".parked_keys k on k.key = r.key and r.blocks_key'
                " where r.id = any($1) and (r.asked is not null or k.asked_at is not null)",
                [one.id for one in entries if one.service == service],
            )
            found |= {f"{service}/{row['id']}" for row in rows}
        return found

    def _chosen(self, service: str | None) -> tuple[str, ...]:
        if service is not None and service not in self.services:
            raise Refusal(f"there is no service {service!r} here; there are {', '.join(self.services)}")
        return self.services if service is None else (service,)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """Open the dead letters of a database. Raises Refusal when no service has its tables there."""
    try:
        connection = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError) as error:
        raise Refusal(f"the database does not answer: {error}") from error
    try:
        services = [row[0] for row in await connection.fetch(_SERVICES)]
        if not services:
            raise Refusal("no service has its tables in this database yet: run `chatdesk migrate`")
        yield Store(connection, services)
    finally:
        await connection.close()
