"""Takes the history of a run: topics to their end, databases, the provider's log. All I/O is here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.checker.history import (
    Books,
    Call,
    ChatRow,
    Databases,
    History,
    Parked,
    Published,
    Reading,
    Record,
    TicketRow,
)
from ops.fake_provider import Call as ProviderCall
from services.desk.app import HANDLES as DESK
from services.outbound.app import STEPS as OUTBOUND
from services.presence.app import STEPS as PRESENCE
from services.routing.app import STEPS as ROUTING
from services.tickets.app import HANDLES as TICKETS
from shared.contracts import catalogue, cloudevents
from shared.contracts.errors import Rejected
from shared.contracts.topics import DEAD_LETTER_TOPICS, TOPICS
from shared.platform.settings import PlatformSettings

HANDLES: Mapping[str, frozenset[str]] = {
    "presence": frozenset(PRESENCE),
    "routing": frozenset(ROUTING),
    "tickets": frozenset(TICKETS),
    "outbound": frozenset(OUTBOUND),
    "desk": frozenset(DESK),
}
"""The wire types each service answers, as it is wired."""
_NAMES = tuple(topic.name for topic in (*TOPICS, *DEAD_LETTER_TOPICS))
_IN_DOUBT = frozenset({1, 131000})
"""Codes that leave in doubt what became of a message (docs/channels.md, 4)."""
_QUIET_MS = 500
_ECHOED = {
    "presence": "select tenant_id, agent_id, echoed_version from presence.agents",
    "outbound": "select tenant_id, pair_key, echoed_version from outbound.pairs",
    "desk": "select tenant_id, kind || ':' || id, echoed_revision from desk.documents",
}
"""Where services keep how far they have read their own words back."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What only those saw who were there while the run went on."""

    published: Sequence[Published]
    calls: Sequence[ProviderCall]
    readings: Mapping[str, Sequence[Reading]]


async def take(
    settings: PlatformSettings, services: Iterable[str], seen: Witnessed, now: datetime
) -> History:
    """Read everything. The services must be quiet: what they do meanwhile is seen half."""
    return History(
        taken_at=now,
        topics=await read_topics(settings),
        published=tuple(seen.published),
        databases=await read_databases(settings.database_url, services),
        calls=tuple(map(_call, seen.calls)),
        readings={service: tuple(readings) for service, readings in seen.readings.items()},
    )


async def read_topics(settings: PlatformSettings) -> dict[str, tuple[Record, ...]]:
    """Read every topic of an installation from its beginning to its end, decoded."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, max_partition_fetch_bytes=4 * 1024 * 1024
    )
    await consumer.start()
    try:
        places = await _places(consumer, settings.topic_prefix)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        left = {place for place in places if ends[place] > begins[place]}
        found: dict[str, list[Record]] = {name: [] for name in _NAMES}
        while left:
            for place, records in (await consumer.getmany(timeout_ms=_QUIET_MS)).items():
                topic = place.topic.removeprefix(settings.topic_prefix)
                found[topic] += [decoded(topic, record) for record in records]
            left = {place for place in left if await consumer.position(place) < ends[place]}
    finally:
        await consumer.stop()
    return {
        topic: tuple(sorted(records, key=lambda record: (record.partition, record.offset)))
        for topic, records in found.items()
    }


async def _places(consumer: AIOKafkaConsumer, prefix: str) -> list[TopicPartition]:
    metadata = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - the public way needs a group
    return [
        TopicPartition(prefix + name, partition)
        for name in _NAMES
        for partition in sorted(metadata.partitions_for_topic(prefix + name) or ())
    ]


def decoded(topic: str, raw: Any) -> Record:
    """Read one record of Kafka's client. Its time is rounded up: it was written no later than that."""
    written_at = datetime.fromtimestamp(raw.timestamp / 1000, UTC) + timedelta(milliseconds=1)
    where = (topic, raw.partition, raw.offset, written_at, raw.value)
    if raw.value is None:
        return Record(*where, event=None, problem=None)
    try:
        event = cloudevents.decode(raw.value, raw.headers)
    except Rejected as error:
        return Record(*where, event=None, problem=error.reason)
    if not topic.endswith("dead-letters.v1") and catalogue.topic_of(event.type) != topic:
        return Record(*where, event=None, problem="wrong_topic")
    return Record(*where, event=event, key=catalogue.key_of(event), digest=catalogue.digest_of(event))


async def read_databases(url: str, services: Iterable[str]) -> Databases:
    """Read the rows that the invariants speak of."""
    connection = await asyncpg.connect(url)
    try:
        chats = await connection.fetch(
            "select tenant_id, chat_id, pair_key, state, version, assignment_version, agent_id, ticket_id,"
            " offered_to, case when wrap_up_until is not null then previous_agent_id end as wrapped_up_by"
            " from routing.chats"
        )
        loads = await connection.fetch("select tenant_id, agent_id, load from routing.agents")
        tickets = await connection.fetch(
            "select tenant_id, ticket_id, pair_key, state, version, agent_id from tickets.tickets"
        )
        standings = await connection.fetch(
            "select tenant_id, agent_id, state, version from presence.agents where version > 0"
        )
        sends = await connection.fetch("select tenant_id, request_id, state from outbound.sends")
        pairs = await connection.fetch("select tenant_id, pair_key, version from outbound.pairs")
        books = {service: await _books(connection, service) for service in services}
    finally:
        await connection.close()
    return Databases(
        chats={(row[0], row[1]): ChatRow(*row[2:]) for row in map(tuple, chats)},
        loads={(row[0], row[1]): row[2] for row in map(tuple, loads)},
        tickets={(row[0], row[1]): TicketRow(*row[2:]) for row in map(tuple, tickets)},
        standings={(row[0], row[1]): (row[2], row[3]) for row in map(tuple, standings)},
        sends={(row[0], row[1]): row[2] for row in map(tuple, sends)},
        pairs={(row[0], row[1]): row[2] for row in map(tuple, pairs)},
        books=books,
    )


async def _books(connection: Any, service: str) -> Books:
    """Read what the platform keeps in one schema; its name is ours, never input."""
    positions = await connection.fetch(f"select topic, partition, next_offset from {service}.positions")
    seen = await connection.fetch(f"select digest from {service}.processed_events")
    parked = await connection.fetch(
        f"select topic, partition, record_offset, key, blocks_key, reason from {service}.parked_records"
    )
    echoed = await connection.fetch(_ECHOED[service]) if service in _ECHOED else ()
    stuck = await connection.fetch(
        f"select kind, key, parked_reason from {service}.due where parked_reason is not null"
    )
    return Books(
        handles=HANDLES[service],
        positions={(topic, partition): offset for topic, partition, offset in map(tuple, positions)},
        seen=frozenset(bytes(row[0]) for row in seen),
        echoed={(row[0], row[1]): row[2] for row in map(tuple, echoed)},
        parked=tuple(Parked(*row) for row in map(tuple, parked)),
        unsent=await connection.fetchval(f"select count(*) from {service}.outbox"),
        stuck=tuple(f"{kind} {key}: {reason}" for kind, key, reason in map(tuple, stuck)),
    )


def _call(call: ProviderCall) -> Call:
    tenant_id, _, request_id = (call.correlation_id or "").partition("|")
    unclear = call.answer in {"server_fault", "cut", "hang"} or call.code in _IN_DOUBT
    declined = call.answer == "fail" and not unclear
    return Call(
        at=call.at,
        request=(tenant_id, request_id),
        free_form=call.kind != "template",
        taken=call.accepted,
        answer="declined" if declined else "unclear" if unclear else "accepted",
        code=None if call.code is None else str(call.code),
    )
