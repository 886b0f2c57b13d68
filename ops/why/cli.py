"""The command: find the chat, read its facts from the topic, tell them."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

import asyncpg
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from ops.refusal import Refusal
from ops.stack import address_of
from ops.topics import partitions_of
from ops.why.telling import Told, missing_versions, told
from shared.contracts import cloudevents
from shared.contracts.chats import ChatCommandRefused, ChatFact, ChatRecorded
from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model

TOPIC = "chats.v1"
_EARLIER = timedelta(minutes=10)
"""Records carry the clock of whoever published them; ours and the broker's may differ by this much."""


def why(
    chat_id: Annotated[str, typer.Argument(help="The chat's id, as every event about it carries it.")],
    tenant: Annotated[
        str | None, typer.Option(help="Of this tenant, where two have a chat of this id.")
    ] = None,
    prefix: Annotated[
        str, typer.Option(envvar="CHATDESK_TOPIC_PREFIX", help="Put before topics' names.")
    ] = "",
) -> None:
    """Tell what happened to a chat, and why each decision was made."""
    asyncio.run(_why(chat_id, tenant, prefix))


async def _why(chat_id: str, tenant: str | None, prefix: str) -> None:
    chat = await _find(address_of("postgres"), chat_id, tenant)
    try:
        events = await _events(address_of("kafka"), prefix + TOPIC, chat)
    except LookupError as error:
        raise Refusal(str(error)) from None
    typer.echo(f"chat {chat_id} of {chat['tenant_id']}: {chat['state']}, version {chat['version']}")
    for one in told(events):
        _print(one)
    if missing := missing_versions(events):
        typer.echo(
            f"{len(missing)} of its changes are no longer on {TOPIC}: version"
            f" {', '.join(map(str, missing[:10]))}{' …' if len(missing) > 10 else ''}"  # noqa: PLR2004 - a line
        )


def _print(one: Told) -> None:
    typer.echo(f"{one.at:%Y-%m-%d %H:%M:%S}  {one.line}")
    for reason in one.reasons:
        typer.echo(f"{'':21}{reason}")


async def _find(url: str, chat_id: str, tenant: str | None) -> Any:
    """Return the chat's row. Raises Refusal when there is none, or one for each of several tenants."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select tenant_id, chat_id, pair_key, opened_at, state, version from routing.chats"
            " where chat_id = $1 and ($2::text is null or tenant_id = $2) order by tenant_id",
            chat_id,
            tenant,
        )
    except asyncpg.UndefinedTableError:
        raise Refusal("the database has no schema of routing yet: run `chatdesk migrate`") from None
    finally:
        await connection.close()
    if not rows:
        raise Refusal(f"there is no chat {chat_id}" + (f" of {tenant}" if tenant else ""))
    if len(rows) > 1:
        names = ", ".join(row["tenant_id"] for row in rows)
        raise Refusal(f"{names} each have a chat {chat_id}: name one with --tenant")
    return rows[0]


async def _events(kafka: str, topic: str, chat: Any) -> list[Event[Model]]:
    """Return the chat's facts and refusals from the one partition that has its pair's, first ones first."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        numbers = [tp.partition for tp in await partitions_of(consumer, topic)]
        number = DefaultPartitioner()(chat["pair_key"].encode(), numbers, numbers)
        return await _read(consumer, TopicPartition(topic, number), chat)
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, place: TopicPartition, chat: Any) -> list[Event[Model]]:
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    opened: datetime = chat["opened_at"]
    since = int((opened - _EARLIER).timestamp() * 1000)
    start = (await consumer.offsets_for_times({place: since}))[place]
    if start is None:
        return []
    consumer.seek(place, start.offset)
    seen: dict[str, Event[Model]] = {}
    while await consumer.position(place) < end:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                event = _event(record)
                if (
                    event is not None
                    and event.tenant_id == chat["tenant_id"]
                    and _is_of(event, chat["chat_id"])
                ):
                    seen.setdefault(event.id, event)
    return list(seen.values())


def _event(record: Any) -> Event[Model] | None:
    try:
        return cloudevents.decode(record.value, record.headers)
    except Rejected:  # somebody else's; routing never says what cannot be read
        return None


def _is_of(event: Event[Model], chat_id: str) -> bool:
    match event.data:
        case ChatFact() | ChatRecorded() | ChatCommandRefused():
            return event.data.chat_id == chat_id
        case _:
            return False
