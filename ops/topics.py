"""`chatdesk topics` and `chatdesk tail`: create the catalogue's topics, and read one as it comes."""

import asyncio
import contextlib
import difflib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code
from rich.console import Console
from rich.text import Text

from ops.contracts import broker_settings
from ops.printable import printable
from ops.refusal import Refusal
from ops.stack import address_of
from ops.topic_checks import faults, look_closely
from shared.contracts.topics import DEAD_LETTER_TOPICS, TOPICS, Topic

PARTITIONS = Annotated[
    int | None,
    typer.Option(
        envvar="CHATDESK_TOPIC_PARTITIONS",
        min=1,
        help="Partitions of every topic, where fewer or more are meant than the catalogue declares.",
    ),
]
_PREFIX = Annotated[str, typer.Option(envvar="CHATDESK_TOPIC_PREFIX", help="Put before every topic's name.")]

app = typer.Typer(help="Topics of the catalogue.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """Topics of the catalogue."""


@app.command()
def apply(
    prefix: _PREFIX = "",
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    partitions: PARTITIONS = None,
) -> None:
    """Create what is missing. Existing topics stay as they are; one that is unfit is refused first of all."""
    made = asyncio.run(
        create_topics(address_of("kafka"), prefix, replication=replication, partitions=partitions)
    )
    total = len(TOPICS) + len(DEAD_LETTER_TOPICS)
    typer.echo(f"{len(made)} topics created, {total - len(made)} were there")


async def create_topics(
    bootstrap: str,
    prefix: str,
    *,
    replication: int = 1,
    partitions: int | None = None,
    configs: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Create the missing topics and wait until all of them have leaders. Returns the names created.

    ``configs`` are settings of Kafka's for each new topic, beside those of the catalogue. Raises Refusal, and
    creates nothing, when a topic is there that does not do.
    """
    topics = (*TOPICS, *DEAD_LETTER_TOPICS)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        there = await look_closely(admin, [prefix + topic.name for topic in topics])
        if unfit := faults(topics, there, prefix, partitions):
            raise Refusal("\n".join(unfit))
        missing = [topic for topic in topics if prefix + topic.name not in there]
        if missing:
            answer = await admin.create_topics(
                [
                    NewTopic(
                        prefix + topic.name,
                        partitions or topic.partitions,
                        replication,
                        topic_configs={**_settings(topic, replication), **configs},
                    )
                    for topic in missing
                ]
            )
            _refuse_failed(answer.topic_errors)
        await _until_led(admin, [prefix + topic.name for topic in missing])
    finally:
        await admin.close()
    return [prefix + topic.name for topic in missing]


def _refuse_failed(answers: Sequence[tuple[str, int, str | None]]) -> None:
    """Say why the broker made no topic. That somebody else made it just now is fine."""
    failed = [
        f"{name} was not created: {reason or for_code(code).__name__}"
        for name, code, reason in answers
        if code not in (0, TopicAlreadyExistsError.errno)
    ]
    if failed:
        raise Refusal("\n".join(failed))


async def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete every topic whose name begins so; what consumers committed of them goes with them.

    Raises ValueError for no prefix at all: that would be every topic there is.
    """
    if not prefix:
        raise ValueError("a prefix is needed")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        ours = [topic for topic in await admin.list_topics() if topic.startswith(prefix)]
        if ours:
            await admin.delete_topics(ours)
    finally:
        await admin.close()


def _settings(topic: Topic, replication: int) -> dict[str, str]:
    told = {name: str(value) for name, value in broker_settings(topic).items()}
    return {**told, "min.insync.replicas": str(max(1, replication - 1))}


async def _until_led(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    async with asyncio.timeout(30):
        while names:
            described = await admin.describe_topics(list(names))
            if all(_is_led(topic) for topic in described):
                return
            await asyncio.sleep(0.05)


def _is_led(topic: Any) -> bool:
    partitions = topic["partitions"]
    return bool(partitions) and all(one["leader"] >= 0 for one in partitions)


def tail(
    topic: Annotated[str, typer.Argument(help="A topic of the catalogue, e.g. chats.v1.")],
    prefix: _PREFIX = "",
    *,
    beginning: Annotated[bool, typer.Option("--beginning", help="Start with the oldest record.")] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at the newest record.")] = False,
) -> None:
    """Print the events of a topic as they come."""
    known = [one.name for one in (*TOPICS, *DEAD_LETTER_TOPICS)]
    if topic not in known:
        near = difflib.get_close_matches(topic, known, n=1)
        hint = f": did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
        raise typer.BadParameter(f"{topic} is not in the catalogue{hint}")
    console = Console(soft_wrap=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            _tail(address_of("kafka"), prefix + topic, console, beginning=beginning, until_end=until_end)
        )


async def _tail(bootstrap: str, topic: str, console: Console, *, beginning: bool, until_end: bool) -> None:
    async for record in read(bootstrap, topic, beginning=beginning, until_end=until_end):
        place = (f"{record.partition}/{record.offset}", "dim")
        console.print(Text.assemble(place, " ", (printable(_text(record.key)), "cyan")))
        if _is_json(record.value):
            console.print_json(_text(record.value))
        else:
            console.print(Text(printable(_text(record.value))))


async def read(
    bootstrap: str, topic: str, *, beginning: bool = True, until_end: bool = True
) -> AsyncIterator[Any]:
    """Yield a topic's records, outside any consumer group. Raises LookupError for a topic that is none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, topic)
        consumer.assign(partitions)
        await (consumer.seek_to_beginning(*partitions) if beginning else consumer.seek_to_end(*partitions))
        left = {tp: end for tp, end in (await consumer.end_offsets(partitions)).items() if end > 0}
        if beginning:
            begins = await consumer.beginning_offsets(partitions)
            left = {tp: end for tp, end in left.items() if end > begins[tp]}
        while left or not until_end:
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    yield record
                if tp in left and await consumer.position(tp) >= left[tp]:
                    del left[tp]
    finally:
        await consumer.stop()


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return a topic's partitions, sorted. Raises LookupError for a topic that is none."""
    found = (await consumer._client.fetch_all_metadata()).partitions_for_topic(topic)  # noqa: SLF001
    if not found:
        raise LookupError(f"there is no topic {topic}: run `chatdesk topics apply`")
    return [TopicPartition(topic, partition) for partition in sorted(found)]


def _text(value: bytes | None) -> str:
    return "∅" if value is None else value.decode(errors="replace")


def _is_json(value: bytes | None) -> bool:
    try:
        json.loads(value or b"")
    except ValueError:
        return False
    return True
