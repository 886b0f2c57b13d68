"""How far was read: positions are the truth about offsets, `read_up_to` about time."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.contracts.event import Model
from shared.platform import metrics
from shared.platform.clock import SystemClock
from shared.platform.observer import Observer
from shared.platform.parking import Parking, Place
from shared.platform.reading import Reader
from tests.desk_events import a_message, agent_changed, an_event
from tests.pipeline.builders import ANN, INBOUND, gate_of, messages, pair_of
from tests.pipeline.counting import WAIT
from tests.pipeline.here import reading, running
from tests.pipeline.installed import (
    PARTITIONS,
    Counting,
    hold_outbox,
    installed,
    transactional,
    waiting_at_the_gate,
)
from tests.pipeline.waiting import until, until_holds
from tests.topics import publish

pytestmark = pytest.mark.servers

CLOCK = SystemClock()


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


def values(*said: Model) -> list[bytes | None]:
    return [cloudevents.encode(an_event(one)) for one in said]


async def read_up_to(counting: Counting, topic: str = "%", partition: int | None = None) -> datetime:
    """Return up to when everything was read, or one topic, or one partition of it."""
    ((at,),) = await counting.rows(
        "select greatest(coalesce(min(read_up_to), '-infinity'), '2000-01-01Z')"
        " from positions where topic like :topic"
        " and (cast(:partition as int) is null or partition = :partition)",
        topic=topic,
        partition=partition,
    )
    assert isinstance(at, datetime)
    return at


async def until_read_up_to(counting: Counting, time: datetime, partition: int | None = None) -> None:
    await until_holds(
        lambda: read_up_to(counting, INBOUND if partition is not None else "%", partition),
        lambda at: at >= time,
    )


async def test_time_read_up_to_grows_while_nothing_comes(counting: Counting) -> None:
    async with reading(counting) as parts:
        for _ in range(3):
            asked = CLOCK.now()
            await until_read_up_to(counting, asked)
            known = await parts._running.read_up_to()
            assert known is not None
            assert asked <= known <= CLOCK.now()
        assert await counting.number("select count(*) from positions") == 4 * PARTITIONS


class Held:
    """A lock on the positions, so that nothing can be taken up or committed."""

    def __init__(self, counting: Counting, release: "AsyncIterator[None]") -> None:
        self._counting = counting
        self._release = release

    async def somebody_waits(self) -> None:
        await until(
            lambda: self._counting.number(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock'"
            ),
            at_least=1,
        )

    async def released(self) -> None:
        await anext(self._release, None)


@asynccontextmanager
async def holding_positions(counting: Counting) -> AsyncIterator[Held]:
    async def hold() -> AsyncIterator[None]:
        async with counting.database.transaction() as tx:
            await tx.execute(text("lock table positions in share row exclusive mode"))
            yield

    release = hold()
    await anext(release)
    held = Held(counting, release)
    yield held
    await held.released()


async def test_lag_is_told_by_a_process_whose_broker_goes_before_its_first_look(
    counting: Counting,
) -> None:
    async with reading(counting):
        await until_read_up_to(counting, CLOCK.now())
    then = await read_up_to(counting)
    metrics.READ_LAG_SECONDS.set(math.nan)

    async with reading(counting) as parts:
        assert parts._reader is not None
        parts._reader._observer = AnsweredOnce(counting.settings.kafka)
        await until(lag, at_least=0.0)
        assert await read_up_to(counting) == then
        assert await lag() <= (CLOCK.now() - then).total_seconds()


class AnsweredOnce(Observer):
    """What looks at the log, when the broker goes away after its first answer."""

    _answered = False

    async def log_ends(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self._answered:
            raise KafkaConnectionError("there was a broker")
        self._answered = True
        return await super().log_ends(places)


async def lag() -> float:
    return float(metrics.READ_LAG_SECONDS._value.get())


async def test_markers_of_a_foreign_transaction_do_not_stall_time(counting: Counting) -> None:
    topic = counting.settings.topic_prefix + INBOUND
    async with reading(counting), transactional(counting) as producer:
        for partition in range(PARTITIONS):
            async with producer.transaction():
                await producer.send(topic, *values(a_message()), partition=partition)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, *values(a_message("taken back")), partition=0)
        await producer.abort_transaction()
        await until_read_up_to(counting, CLOCK.now())
        await counting.until_settled_reading()
        assert await counting.count() == PARTITIONS
        ends = {tp.partition: end for tp, end in (await counting.ends()).items() if tp.topic == topic}
        rows = await counting.rows("select partition, next_offset from positions where topic = :t", t=INBOUND)
        assert dict(iter(rows)) == ends


async def test_message_behind_an_open_transaction_holds_time_back(counting: Counting) -> None:
    """It is in the log and nobody can read it yet: no timer may judge as if it were not there."""
    topic = counting.settings.topic_prefix + INBOUND
    async with reading(counting), transactional(counting) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, *values(a_message("in doubt")), partition=0)
        await counting.send(INBOUND, values(a_message("behind it")), partition=0)
        sent = CLOCK.now()
        await until_read_up_to(counting, sent + timedelta(seconds=1), partition=1)
        assert await counting.count() == 0
        assert await read_up_to(counting, INBOUND, 0) < sent
        await producer.commit_transaction()
        await counting.until_counted(2)
        await until_read_up_to(counting, sent)


async def test_conversation_is_untouched_until_the_compacted_inputs_are_read(counting: Counting) -> None:
    """One fact is held back by a transaction that is still open: nothing is decided without it."""
    agents = [agent_changed(f"agent-{n}") for n in range(20)]
    topic = counting.settings.topic_prefix + "agents.v1"
    await publish(counting.settings, map(an_event, agents))
    await counting.send(INBOUND, values(*messages(40)))
    async with transactional(counting) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, *values(agent_changed("the last")), key=b"last", partition=0)
        async with holding_positions(counting) as held, reading(counting, batch_records=25) as parts:
            await held.somebody_waits()
            await held.released()
            await until_holds(
                lambda: read_up_to(counting, "agents.v1", 1),
                lambda at: at > CLOCK.now() - timedelta(seconds=1),
            )
            assert not (await parts._ready())["facts"]
            assert await counting.count() == 0
            await producer.commit_transaction()
            await counting.until_counted(40)
            assert (await parts._ready())["facts"]
    ((least,),) = await counting.rows("select min(agents_known) from effects")
    assert least == len(agents) + 1


async def test_records_before_the_position_are_not_read_again(counting: Counting) -> None:
    """A crash between the database's commit and Kafka's leaves the committed offset behind."""
    await counting.send(INBOUND, values(*messages(200)), partition=0)
    async with reading(counting):
        await counting.until_counted(200)
        await counting.until_settled_reading()
    await set_committed(counting, 0)
    repeated = repeats()
    async with holding_positions(counting) as held, reading(counting):
        await held.somebody_waits()
        await held.released()
        await counting.until_settled_reading()
        await counting.send(INBOUND, values(a_message()), partition=0)
        await counting.until_counted(201)
    assert repeats() == repeated


async def test_reading_starts_where_a_restored_database_stands(counting: Counting) -> None:
    """Kafka's committed offset is ahead of it then."""
    await counting.send(INBOUND, values(*messages(50)), partition=0)
    async with reading(counting):
        await counting.until_counted(50)
        await counting.until_settled_reading()
    async with counting.database.transaction() as tx:
        for statement in (
            "update positions set next_offset = 20 where topic = 'inbound-messages.v1' and partition = 0",
            "delete from effects where n > 20",
            "update counters set count = 20",
            "delete from processed_events",
        ):
            await tx.execute(text(statement))
    async with reading(counting):
        await counting.until_counted(50)
    assert await counting.counted() == {pair_of(ANN): [f"m{n}" for n in range(1, 51)]}


async def test_batch_that_was_given_up_is_never_stepped_over(counting: Counting) -> None:
    """Its records are behind the fetcher's position, and nothing else of it is anywhere."""
    async with reading(counting) as parts:
        reader = parts._reader
        assert reader is not None
        await until_read_up_to(counting, CLOCK.now())
        async with counting.database.transaction() as tx:
            await tx.execute(text("alter table parked_records rename to elsewhere"))
        await counting.send(INBOUND, [b"no event"], partition=0)

        async def failure() -> BaseException | None:
            return reader.failure

        await until_holds(failure, lambda failed: failed is not None)
        for _ in range(4):
            await reader._look()
        ((position,),) = await counting.rows(
            "select coalesce(next_offset, 0) from positions where topic = :t and partition = 0", t=INBOUND
        )
        assert position == 0


async def test_partitions_go_to_a_newcomer_only_after_the_running_batch(counting: Counting) -> None:
    """Handed over in the middle of it, its records would be read a second time."""
    repeated = repeats()
    async with reading(counting) as first, AsyncExitStack() as later:
        async with gate_of(counting.database):
            await counting.send(INBOUND, values(*messages(50), a_message(WAIT)), partition=0)
            await until(lambda: waiting_at_the_gate(counting), at_least=1)
            second = await later.enter_async_context(reading(counting))
            assert first._reader is not None
            assert second._reader is not None
            consumer = first._reader._subscriber.consumer
            await until_holds(lambda: now(consumer._subscription.reassignment_in_progress), bool)
            for _ in range(50):
                assert not second._reader.assigned, "a batch of these partitions still runs"
                await asyncio.sleep(0.02)
        await until_holds(lambda: now(second._reader is not None and second._reader.assigned), bool)
        await counting.until_settled_reading()
        assert await counting.count() == 51
    assert repeats() == repeated


async def now(value: bool) -> bool:
    return value


async def test_service_that_stops_finishes_its_batch(counting: Counting) -> None:
    """The handler is held while the stop begins."""
    gate = AsyncExitStack()
    async with running(counting) as parts:
        await gate.enter_async_context(gate_of(counting.database))
        await counting.send(INBOUND, values(*messages(30), a_message(WAIT, message_id="last")), partition=0)
        await until(lambda: waiting_at_the_gate(counting), at_least=1)
        released = asyncio.create_task(let_go(gate, parts._running.stopping))
    await released
    assert await counting.outbox() == 0
    assert await counting.uncommitted() == {}
    await counting.prove({pair_of(ANN): [*(f"m{n}" for n in range(1, 31)), "last"]})


async def test_service_that_stops_empties_its_outbox(counting: Counting) -> None:
    """The outbox is held full until the lanes were told to stop."""
    gate = AsyncExitStack()
    await hold_outbox(counting)
    async with running(counting) as parts:
        await gate.enter_async_context(gate_of(counting.database))
        await counting.send(INBOUND, values(*messages(30)), partition=0)
        await until(lambda: waiting_at_the_gate(counting), at_least=1)
        await counting.until_counted(30)
        released = asyncio.create_task(let_go(gate, parts._lanes_stop))
    await released
    assert await counting.outbox() == 0
    await counting.prove({pair_of(ANN): [f"m{n}" for n in range(1, 31)]})


async def let_go(gate: AsyncExitStack, when: asyncio.Event) -> None:
    await when.wait()
    await gate.aclose()


async def set_committed(counting: Counting, offset: int) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=counting.settings.kafka, group_id=counting.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = [TopicPartition(counting.settings.topic_prefix + INBOUND, n) for n in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.commit(dict.fromkeys(places, offset))
    finally:
        await consumer.stop()


def repeats() -> float:
    return sum(
        sample.value
        for family in metrics.RECORDS_REPEATED.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    )


class PausesMeanwhile(Parking):
    """Answers which partitions are paused just before a batch pauses another one."""

    def __init__(self, counting: Counting, reader: Reader) -> None:
        self._counting = counting
        self._reader = reader

    async def paused(self, tx: AsyncConnection) -> set[Place]:
        found = await super().paused(tx)
        async with self._counting.database.transaction() as other:
            await self.pause(other, [(INBOUND, 1)], CLOCK.now())
        self._reader._pause([(INBOUND, 1)])
        return found


async def test_partition_that_is_paused_while_others_are_looked_at_stays_paused(counting: Counting) -> None:
    async with reading(counting) as parts:
        assert parts._reader is not None
        reader: Reader = parts._reader
        await until_read_up_to(counting, CLOCK.now())
        reader._parking = PausesMeanwhile(counting, reader)
        reader._pause([(INBOUND, 0)])  # resumed already: the database has nothing of it
        await until_holds(lambda: now((INBOUND, 0) not in reader.pausing), bool)
        assert (INBOUND, 1) in reader.pausing
        asked = CLOCK.now()
        await until_read_up_to(counting, asked, partition=0)
        assert (INBOUND, 1) in reader.pausing
