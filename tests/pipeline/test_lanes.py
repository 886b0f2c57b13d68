"""The outbox leaves in order: each key's events first appear as they were said, whatever fails in between."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, KafkaTimeoutError

from ops.stack import Addresses
from ops.topics import read
from shared.platform.database import Database
from shared.platform.journal import Journal, OutboxRow
from shared.platform.lanes import LEASE_SECONDS, RENEW_SECONDS, ROWS_A_ROUND, Lanes
from shared.platform.letters import LARGEST_EVENT, lane_of
from shared.platform.publisher import KafkaPublisher, Published
from shared.platform.tables import LANES
from tests.desk_events import NOON
from tests.pipeline.builders import CountingDesk, SetClock
from tests.pipeline.installed import installed
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers

KEYS = [f"key-{n}" for n in range(8)]
MANY = [f"one-of-many-{n}" for n in range(150)]


class Edge:
    """A broker of lists: takes a prefix of what each key has, and fails when told to."""

    def __init__(self, *, most: int = 3) -> None:
        self.log: list[tuple[str, str]] = []
        self._most = most
        self.fails: Callable[[OutboxRow], bool] = lambda _: False
        self.loses_answers = False

    async def publish(self, rows: Sequence[OutboxRow]) -> Published:
        acknowledged: list[OutboxRow] = []
        failure: Exception | None = None
        for key in dict.fromkeys(row.key for row in rows):
            mine = [row for row in rows if row.key == key][: self._most]
            if any(map(self.fails, mine)):
                failure = KafkaTimeoutError()
                continue
            self.log += [(row.key, (row.value or b"").decode()) for row in mine]
            acknowledged += mine
        if self.loses_answers:
            return Published((), KafkaTimeoutError())
        return Published(tuple(acknowledged), failure)

    def first(self, key: str) -> list[str]:
        """Return the first occurrences of what was said of a key."""
        return list(dict.fromkeys(value for of, value in self.log if of == key))


def lanes_of(database: Database, edge: Edge, owner: str = "a", clock: SetClock | None = None) -> Lanes:
    return Lanes(owner, database.transaction, edge, clock or SetClock())


async def say(database: Database, *said: tuple[str, str]) -> None:
    async with database.transaction() as tx:
        rows = [OutboxRow(lane_of(key), "chats.v1", key, value.encode()) for key, value in said]
        await Journal().say(tx, rows, NOON)


async def drained(lanes: Lanes) -> None:
    while await lanes.drain_once():
        pass


async def waiting(database: Database) -> int:
    return len(await CountingDesk(database).rows("select 1 from outbox"))


async def owners(database: Database) -> dict[str, int]:
    rows = await CountingDesk(database).rows(
        "select owner, count(*) from lanes where owner is not null and leased_until > now() group by owner"
    )
    return dict(iter(rows))


async def test_rows_leave_in_order_and_are_gone_when_acknowledged(database: Database) -> None:
    edge = Edge()
    for n in range(10):
        await say(database, *((key, str(n)) for key in KEYS))
    await drained(lanes_of(database, edge))
    assert {key: edge.first(key) for key in KEYS} == {key: [str(n) for n in range(10)] for key in KEYS}
    assert len(edge.log) == 80
    assert await waiting(database) == 0


async def test_lane_that_fails_waits_at_its_oldest_row_and_others_go_on(database: Database) -> None:
    edge = Edge()
    edge.fails = lambda row: row.key == "key-0" and row.value == b"0"
    for n in range(5):
        await say(database, *((key, str(n)) for key in KEYS))
    lanes = lanes_of(database, edge)
    await drained(lanes)
    assert edge.first("key-0") == []
    assert edge.first("key-1") == ["0", "1", "2", "3", "4"]
    assert await waiting(database) == 5
    edge.fails = lambda _: False
    await drained(lanes)
    assert edge.first("key-0") == ["0", "1", "2", "3", "4"]


async def test_lane_that_fails_does_not_starve_the_others_however_long_it_is(database: Database) -> None:
    edge = Edge(most=1000)
    edge.fails = lambda row: row.key == "stuck"
    await say(database, *(("stuck", str(n)) for n in range(2500)))
    await say(database, ("key-1", "0"))
    lanes = lanes_of(database, edge)
    for _ in range(2):
        await lanes.drain_once()
    assert edge.first("key-1") == ["0"]


async def test_a_long_outbox_leaves_once_and_in_order_though_rounds_are_read_ahead(
    database: Database,
) -> None:
    edge = Edge(most=ROWS_A_ROUND)
    await say(database, *((key, str(n)) for n in range(50) for key in MANY))
    await drained(lanes_of(database, edge))
    assert {key: edge.first(key) for key in MANY} == {key: [str(n) for n in range(50)] for key in MANY}
    assert len(edge.log) == 50 * len(MANY)
    assert await waiting(database) == 0


async def test_the_round_read_ahead_does_not_overtake_what_was_not_acknowledged(database: Database) -> None:
    edge = Edge(most=ROWS_A_ROUND)
    edge.fails = lambda row: row.key == MANY[0]
    await say(database, *((key, str(n)) for n in range(50) for key in MANY))
    lanes = lanes_of(database, edge)
    await lanes.drain_once()
    edge.fails = lambda _: False
    await drained(lanes)
    assert {key: edge.first(key) for key in MANY} == {key: [str(n) for n in range(50)] for key in MANY}


async def test_row_that_was_committed_late_is_found_behind_rounds_read_ahead(database: Database) -> None:
    """Its id is smaller than those on their way, and its lane has more to read behind them."""
    edge, clock = Edge(most=ROWS_A_ROUND), SetClock()
    lanes = lanes_of(database, edge, clock=clock)
    late = next(f"late-{n}" for n in itertools.count() if lane_of(f"late-{n}") == lane_of(MANY[0]))
    async with database.transaction() as tx:
        await Journal().say(tx, [OutboxRow(lane_of(late), "chats.v1", late, b"0")], NOON)
        await say(database, *((key, str(n)) for n in range(50) for key in MANY))
        await lanes.drain_once()
    await lanes.drain_once()
    assert edge.first(late) == []
    clock.pass_time(RENEW_SECONDS)
    await lanes.drain_once()
    assert edge.first(late) == ["0"]


async def test_answer_that_is_lost_is_sent_again_and_first_occurrences_stay_in_order(
    database: Database,
) -> None:
    edge = Edge()
    for n in range(5):
        await say(database, ("key-0", str(n)))
    lanes = lanes_of(database, edge)
    edge.loses_answers = True
    for _ in range(3):
        await lanes.drain_once()
    edge.loses_answers = False
    await drained(lanes)
    assert edge.first("key-0") == ["0", "1", "2", "3", "4"]
    assert len(edge.log) > 5


async def test_two_drainers_of_the_same_rows_keep_first_occurrences_in_order(database: Database) -> None:
    """One that was frozen past its lease wakes and sends what it holds: late duplicates, nothing new."""
    frozen, alive, log = Edge(), Edge(), list[str]()
    for n in range(6):
        await say(database, ("key-0", str(n)))
    gate = asyncio.Event()
    publish = frozen.publish

    async def freezes(rows: Sequence[OutboxRow]) -> Published:
        await gate.wait()
        return await publish(rows)

    frozen.publish = freezes  # type: ignore[method-assign]
    asleep = asyncio.create_task(lanes_of(database, frozen, "frozen").drain_once())
    await until_holds(lambda: owners(database), bool)
    await expire_leases(database, "frozen")
    await drained(lanes_of(database, alive, "alive"))
    log += [value for _, value in alive.log]
    gate.set()
    await asleep
    log += [value for _, value in frozen.log]
    assert list(dict.fromkeys(log)) == ["0", "1", "2", "3", "4", "5"]
    assert len(log) > 6


async def expire_leases(database: Database, owner: str) -> None:
    """Let an owner's leases run out, as they do when it renews them no more."""
    await CountingDesk(database).rows(
        f"with gone as (update lane_owners set seen_until = now() - interval '1 s' where owner = '{owner}')"
        f" update lanes set leased_until = now() - interval '1 s' where owner = '{owner}' returning 1"
    )


async def test_lanes_are_shared_fairly_and_go_on_to_who_is_left(database: Database) -> None:
    clock = SetClock()
    trio = [lanes_of(database, Edge(), name, clock) for name in "abc"]

    async def rounds(*living: Lanes) -> None:
        for _ in range(2):
            clock.pass_time(LEASE_SECONDS)
            for lanes in living:
                await lanes.drain_once()

    await rounds(trio[0])
    assert await owners(database) == {"a": LANES}
    await rounds(*trio)
    assert sorted((await owners(database)).values()) == [20, 22, 22]
    await expire_leases(database, "b")
    await rounds(trio[0], trio[2])
    assert await owners(database) == {"a": LANES // 2, "c": LANES // 2}


async def test_lane_has_one_owner_at_a_time(database: Database) -> None:
    """Many drainers start at once: every lane is leased, none of them twice."""
    crowd = [lanes_of(database, Edge(), f"owner-{n}") for n in range(5)]
    await asyncio.gather(*(lanes.drain_once() for lanes in crowd))
    held = [lane for lanes in crowd for lane in lanes._held]
    assert sorted(held) == sorted(set(held))


async def test_stopping_empties_the_outbox_and_gives_the_lanes_back(database: Database) -> None:
    edge, stopping = Edge(most=1), asyncio.Event()
    for n in range(20):
        await say(database, ("key-0", str(n)))
    stopping.set()
    async with asyncio.timeout(10):
        await lanes_of(database, edge).run(stopping)
    assert edge.first("key-0") == [str(n) for n in range(20)]
    assert await owners(database) == {}


async def test_stopping_ends_though_nothing_can_be_sent(database: Database) -> None:
    edge, stopping = Edge(), asyncio.Event()
    edge.fails = lambda _: True
    await say(database, ("key-0", "0"))
    stopping.set()
    async with asyncio.timeout(10):
        await lanes_of(database, edge).run(stopping)
    assert await waiting(database) == 1


class TestOnKafka:
    """A broker that refuses one batch for good: the topic takes less than the batch holds."""

    async def test_nothing_overtakes_a_refused_batch(self, servers: Addresses) -> None:
        async with installed(servers, topic_settings={"chats.v1": {"max.message.bytes": "2000"}}) as counting:
            publisher = KafkaPublisher(servers.kafka, counting.settings.topic_prefix)
            clock = SetClock()
            lanes = Lanes("a", counting.database.transaction, publisher, clock)
            neighbours = [key for key in KEYS if lane_of(key) != lane_of("key-0")]
            await say(counting.database, ("key-0", "large " + noise(6000)), ("key-0", "behind it"))
            await say(counting.database, *((key, "another key") for key in neighbours))
            topic = counting.settings.topic_prefix + "chats.v1"
            for _ in range(3):
                await lanes.drain_once()
            assert await told(servers.kafka, topic, "key-0") == []
            assert "key-0" in await keys_waiting(counting.database)
            await allow(servers.kafka, topic, 1_000_000)

            async def emptied() -> int:
                with contextlib.suppress(KafkaError):
                    await lanes.drain_once()
                return await waiting(counting.database)

            await until_holds(emptied, lambda rows: rows == 0)
            assert await told(servers.kafka, topic, "key-0") == ["large", "behind"]
            assert await told(servers.kafka, topic, neighbours[0]) == ["another"]
            await publisher.close()

    async def test_a_plain_idempotent_producer_goes_on_behind_what_it_lost(self, servers: Addresses) -> None:
        """What the lanes are for: the same two events by sends that do not wait for one another."""
        async with installed(servers, topic_settings={"chats.v1": {"max.message.bytes": "2000"}}) as counting:
            topic = counting.settings.topic_prefix + "chats.v1"
            producer = AIOKafkaProducer(bootstrap_servers=servers.kafka, enable_idempotence=True)
            await producer.start()
            sent = [
                await producer.send(topic, value.encode(), key=b"key-0")
                for value in ("large " + noise(6000), "behind it")
            ]
            results = await asyncio.gather(*sent, return_exceptions=True)
            with contextlib.suppress(Exception):
                await producer.send_and_wait(topic, b"later", key=b"key-0")
            await producer.stop()
            assert isinstance(results[0], KafkaError)
            assert "large" not in await told(servers.kafka, topic, "key-0")

    async def test_largest_event_leaves(self, servers: Addresses) -> None:
        async with installed(servers) as counting:
            publisher = KafkaPublisher(servers.kafka, counting.settings.topic_prefix)
            largest = "largest " + noise(LARGEST_EVENT - 8)
            await say(counting.database, ("key-0", "small"), ("key-0", largest), ("key-0", "last"))
            await drained(Lanes("a", counting.database.transaction, publisher, SetClock()))
            topic = counting.settings.topic_prefix + "chats.v1"
            assert await told(servers.kafka, topic, "key-0") == ["small", "largest", "last"]
            await publisher.close()

    async def test_more_than_one_batch_of_a_partition_leaves_in_a_round(self, servers: Addresses) -> None:
        async with installed(servers) as counting:
            publisher = KafkaPublisher(servers.kafka, counting.settings.topic_prefix)
            rows = [a_row(str(n) + " " + "x" * 100_000) for n in range(30)]
            assert await publisher.publish(rows) == Published(tuple(rows))
            topic = counting.settings.topic_prefix + "chats.v1"
            assert await told(servers.kafka, topic, "key-0") == [str(n) for n in range(30)]
            await publisher.close()

    async def test_what_is_behind_a_refused_batch_stays(self, servers: Addresses) -> None:
        """Of three batches the second is refused: the first is acknowledged, the third is not even sent."""
        async with installed(
            servers, topic_settings={"chats.v1": {"max.message.bytes": "20000"}}
        ) as counting:
            publisher = KafkaPublisher(servers.kafka, counting.settings.topic_prefix)
            plain = ("1 " + "x" * 500_000, "3 " + "x" * 500_000)
            rows = [a_row(plain[0]), a_row("2 " + noise(500_000)), a_row(plain[1])]
            published = await publisher.publish(rows)
            assert published.acknowledged == (rows[0],)
            assert isinstance(published.failure, KafkaError)
            topic = counting.settings.topic_prefix + "chats.v1"
            assert await told(servers.kafka, topic, "key-0") == ["1"]
            await publisher.close()

    async def test_topic_that_is_not_there_holds_up_nothing_else(self, servers: Addresses) -> None:
        async with installed(servers) as counting:
            publisher = KafkaPublisher(servers.kafka, counting.settings.topic_prefix)
            lanes = Lanes("a", counting.database.transaction, publisher, SetClock())
            async with counting.database.transaction() as tx:
                await Journal().say(tx, [OutboxRow(lane_of("key-0"), "absent.v1", "key-0", b"0")], NOON)
            await say(counting.database, ("key-1", "said"))
            assert await lanes.drain_once()
            assert await told(servers.kafka, counting.settings.topic_prefix + "chats.v1", "key-1") == ["said"]
            (published,) = [await publisher.publish([OutboxRow(0, "absent.v1", "key-0", b"0")])]
            assert "run `chatdesk topics apply`" in str(published.failure)
            await publisher.close()


def a_row(value: str) -> OutboxRow:
    """Return one row of the topic of chats."""
    return OutboxRow(lane_of("key-0"), "chats.v1", "key-0", value.encode())


def noise(length: int) -> str:
    """Return text that does not compress to nothing."""
    return "".join(f"{n * 2654435761 % 2**32:08x}" for n in range(length // 8))


async def told(kafka: str, topic: str, key: str) -> list[str]:
    """Return the first words of what a topic holds of a key."""
    found: list[Any] = [record async for record in read(kafka, topic)]
    return [record.value.decode().split()[0] for record in found if record.key == key.encode()]


async def keys_waiting(database: Database) -> set[str]:
    return {key for (key,) in await CountingDesk(database).rows("select key from outbox")}


async def allow(kafka: str, topic: str, size: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        changed = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})
        await admin.alter_configs([changed])
    finally:
        await admin.close()
