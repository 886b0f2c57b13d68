"""The counting service on real servers: its topics, its database, its processes, and what came of them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import text

from ops import topics
from ops.stack import Addresses
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.event import Event
from shared.platform.database import Database
from shared.platform.faults import is_transient
from shared.platform.settings import PlatformSettings
from tests.conftest import create_database, drop_database, unique
from tests.pipeline.builders import first_occurrences, gap_free
from tests.pipeline.counting import COMPACTED, COUNTS, DEAD_LETTERS, GATE, HEARS, NAME, create_schema
from tests.pipeline.waiting import PATIENCE_SECONDS, until_holds
from tests.processes import ServiceProcess
from tests.topics import events_on, publish_raw

PARTITIONS = 4


class CountingProcess(ServiceProcess):
    """The counting service, run by uvicorn as `chatdesk run` does."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.pipeline.counting", str(self.port)]

    def signal(self, which: signal.Signals) -> None:
        self._process.send_signal(which)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it where it stands until the block ends: it answers nobody and forgets nothing."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.wake()

    def wake(self) -> None:
        self.signal(signal.SIGCONT)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    async def status(self, path: str = "/readyz") -> int:
        return (await asyncio.to_thread(self.get, path))[0]

    async def ready(self) -> "CountingProcess":
        """Wait until it is ready, without holding up what else the test does."""
        await asyncio.to_thread(self.until_ready)
        return self

    async def stopped(self) -> int:
        """Ask it to stop, wait until it did, and return its exit code."""
        return await asyncio.to_thread(self.stop)

    async def measured(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        return await asyncio.to_thread(self.metric, f"chatdesk_{name}")


class Sabotaged(CountingProcess):
    """The counting service with one part of it broken (`tests.pipeline.sabotage`)."""

    def __init__(self, how: str, environment: dict[str, str]) -> None:
        self._how = how
        super().__init__(NAME, environment)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.pipeline.sabotage", str(self.port), self._how]


class Counting:
    """One installation of the counting service."""

    def __init__(self, settings: PlatformSettings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url, NAME, connections=2)
        self._processes: list[CountingProcess] = []

    @property
    def group(self) -> str:
        return f"{self.settings.topic_prefix}chatdesk-{NAME}"

    def start(self, sabotage: str = "", **environment: str) -> CountingProcess:
        """Start a process of the service, whole or with one part broken, and return at once."""
        given = {
            "CHATDESK_KAFKA": self.settings.kafka,
            "CHATDESK_DATABASE_URL": self.settings.database_url,
            "CHATDESK_TOPIC_PREFIX": self.settings.topic_prefix,
        } | environment
        self._processes.append(Sabotaged(sabotage, given) if sabotage else CountingProcess(NAME, given))
        return self._processes[-1]

    def stop_all(self) -> None:
        for process in self._processes:
            process.kill()

    async def send(self, topic: str, values: Iterable[bytes | None], *, partition: int | None = None) -> None:
        """Publish values as somebody who sets no keys; each topic partition keeps their order."""
        await publish_raw(self.settings, [(topic, None, value, []) for value in values], partition=partition)

    async def rows(self, query: str, **values: Any) -> Sequence[Any]:
        """Ask the database; while it is away, ask again."""
        deadline = monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with self.database.transaction() as tx:
                    return (await tx.execute(text(query), values)).all()
            except Exception as error:
                if not is_transient(error) or monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def number(self, query: str, **values: Any) -> int:
        return int((await self.rows(query, **values))[0][0])

    async def counted(self) -> dict[str, list[str]]:
        """Return each pair's message ids as the database has them, in the order of their versions."""
        rows = await self.rows("select pair_key, n, message_id from effects order by pair_key, n")
        return gap_free([(key, n, message_id) for key, n, message_id in rows])

    async def count(self) -> int:
        return await self.number("select count(*) from effects")

    async def outbox(self) -> int:
        return await self.number("select count(*) from outbox")

    async def published(self) -> list[Event[Any]]:
        return list(await events_on(self.settings, COUNTS))

    async def dead_letters(self) -> list[DeadLetter]:
        return [event.data for event in await events_on(self.settings, DEAD_LETTERS)]  # type: ignore[misc]

    async def until_counted(self, count: int, *, seconds: float = PATIENCE_SECONDS) -> None:
        await until_holds(self.count, lambda found: found >= count, seconds=seconds)

    async def until_settled(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every offset is committed to the end, and the outbox is empty."""
        await self.until_settled_reading(seconds=seconds)
        await until_holds(self.outbox, lambda rows: rows == 0, seconds=seconds)

    async def until_settled_reading(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every offset is committed to the end."""
        await until_holds(self.uncommitted, lambda left: not left, seconds=seconds)

    async def uncommitted(self) -> dict[str, tuple[int, int]]:
        """Return the partitions that hold more than was committed: committed offset and end."""
        ends, admin = await self.ends(), AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        committed = {tp: held.offset for tp, held in offsets.items()}
        return {
            f"{tp.topic}/{tp.partition}": (committed.get(tp, 0), end)
            for tp, end in ends.items()
            if end > max(0, committed.get(tp, 0))
        }

    async def group_state(self) -> str:
        """Return what the broker says of the consumer group: Stable, PreparingRebalance …"""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([self.group])
        finally:
            await admin.close()
        state: str = answer.groups[0][2]
        return state

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end offset of every partition that the service hears."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka)
        await consumer.start()
        try:
            found: dict[TopicPartition, int] = await consumer.end_offsets(
                [
                    TopicPartition(self.settings.topic_prefix + topic, partition)
                    for topic in HEARS
                    for partition in range(PARTITIONS)
                ]
            )
            return found
        finally:
            await consumer.stop()

    async def prove(self, sent: Mapping[str, Sequence[str]], *, ordered: bool = True) -> None:
        """Check that what was sent was counted once and said once, in order, and that nothing is left."""
        await self.until_settled()
        counted = await self.counted()
        said = first_occurrences(await self.published())
        assert said == counted, "what was said is not what was counted"
        if ordered:
            assert counted == {key: list(ids) for key, ids in sent.items()}
        else:
            assert {key: sorted(ids) for key, ids in counted.items()} == {
                key: sorted(ids) for key, ids in sent.items()
            }


@asynccontextmanager
async def installed(
    servers: Addresses, *, topic_settings: Mapping[str, Mapping[str, str]] | None = None
) -> AsyncIterator[Counting]:
    """Install the counting service on these servers; nothing is left of it afterwards."""
    name, prefix = unique(NAME), unique("counting-") + "."
    url = await create_database(servers, name)
    await create_schema(url)
    await create_topics(servers.kafka, prefix, topic_settings or {})
    counting = Counting(
        PlatformSettings(
            kafka=servers.kafka,
            database_url=url,
            redis_url=servers.redis_url,
            topic_prefix=prefix,
        )
    )
    try:
        yield counting
    finally:
        counting.stop_all()
        await counting.database.close()
        await drop_database(servers, name)
        await topics.delete_topics(servers.kafka, prefix)


async def create_topics(kafka: str, prefix: str, settings: Mapping[str, Mapping[str, str]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        wanted = [
            NewTopic(
                prefix + name,
                PARTITIONS,
                1,
                topic_configs={
                    **({"cleanup.policy": "compact"} if name in COMPACTED else {}),
                    **settings.get(name, {}),
                },
            )
            for name in (*HEARS, COUNTS, DEAD_LETTERS)
        ]
        await admin.create_topics(wanted)
        await topics._until_led(admin, [topic.name for topic in wanted])
    finally:
        await admin.close()


@asynccontextmanager
async def transactional(counting: Counting) -> AsyncIterator[AIOKafkaProducer]:
    """Lend a producer of somebody else's transactions."""
    producer = AIOKafkaProducer(
        bootstrap_servers=counting.settings.kafka,
        transactional_id=counting.settings.topic_prefix + "foreign",
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def hold_outbox(counting: Counting) -> None:
    """Let whoever deletes from the outbox wait at the gate first."""
    wait = f"begin perform pg_advisory_xact_lock_shared({GATE}); return null; end"
    async with counting.database.transaction() as tx:
        await tx.execute(
            text(f"create function wait_at_gate() returns trigger language plpgsql as $$ {wait} $$")
        )
        await tx.execute(
            text(
                "create trigger gate before delete on outbox"
                " for each statement execute function wait_at_gate()"
            )
        )


async def waiting_at_the_gate(counting: Counting) -> int:
    return await counting.number(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
    )
