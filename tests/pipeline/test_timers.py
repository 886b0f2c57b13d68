"""Timers go by how far was read, sweeps by the clock; both are carried out once and never lost."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.contracts.event import Model
from shared.platform.database import Database
from shared.platform.outcome import Due, Outcome
from shared.platform.timers import PARK_AFTER, Timers
from tests.desk_events import NOON, a_message, an_event
from tests.pipeline.builders import ANN, BOB, INBOUND, CountingDesk, gate_of, pair_of
from tests.pipeline.counting import REMIND, WAIT
from tests.pipeline.here import running
from tests.pipeline.installed import installed
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers

TOPICS = ("agents.v1", INBOUND)
PLACES = [(topic, partition) for topic in TOPICS for partition in (0, 1)]


class TimedDesk(CountingDesk):
    """The counting desk with its timers, and how far it has read in the test's hand."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.timers = Timers(
            handlers=self.handlers,
            topics=TOPICS,
            transactions=database.transaction,
            journal=self.journal,
            pipeline=self.pipeline,
            clock=self.clock,
            fired=asyncio.Event(),
        )

    async def has_read(self, seconds: float, *places: tuple[str, int]) -> None:
        """Have read these partitions, else all, up to so many seconds after noon."""
        at = NOON + timedelta(seconds=seconds)
        async with self.database.transaction() as tx:
            await self.journal.know_partitions(tx, PLACES)
            await self.journal.mark_read(
                tx, dict.fromkeys(places or PLACES, at), dict.fromkeys(places or PLACES, 0)
            )

    async def reminded(self, customer: str = ANN) -> int:
        return (await self.counted()).get(pair_of(customer), []).count("reminder")


@pytest.fixture
def timed(database: Database) -> TimedDesk:
    return TimedDesk(database)


async def test_timer_waits_for_its_time(timed: TimedDesk) -> None:
    await timed.read(a_message(f"{REMIND}60"))
    await timed.has_read(100)
    timed.clock.pass_time(59)
    assert not await timed.timers.fire_once()
    timed.clock.pass_time(1)
    assert await timed.timers.fire_once()
    assert await timed.reminded() == 1
    assert not await timed.timers.fire_once()


@pytest.mark.parametrize("behind", PLACES)
async def test_timer_waits_until_the_last_partition_was_read_up_to_it(
    timed: TimedDesk, behind: tuple[str, int]
) -> None:
    await timed.read(a_message(f"{REMIND}60"))
    timed.clock.pass_time(3600)
    await timed.has_read(59.9, behind)
    await timed.has_read(3600, *(place for place in PLACES if place != behind))
    assert not await timed.timers.fire_once()
    await timed.has_read(60, behind)
    assert await timed.timers.fire_once()
    assert await timed.reminded() == 1


async def test_partition_nobody_ever_read_holds_timers_back(timed: TimedDesk) -> None:
    await timed.read(a_message(f"{REMIND}1"))
    await timed.has_read(3600, *PLACES[1:])
    timed.clock.pass_time(3600)
    assert not await timed.timers.fire_once()


async def test_input_of_which_nothing_is_known_holds_timers_back(timed: TimedDesk) -> None:
    """Such as a topic that did not exist when the partitions were dealt out."""
    await timed.read(a_message(f"{REMIND}1"))
    async with timed.database.transaction() as tx:
        await timed.journal.mark_read(tx, {(INBOUND, 0): NOON + timedelta(hours=1)}, {(INBOUND, 0): 1})
    timed.clock.pass_time(3600)
    assert not await timed.timers.fire_once()


async def test_sweep_does_not_wait_for_what_is_unread(timed: TimedDesk) -> None:
    await timed.read(a_message(f"{REMIND}0"))
    assert await timed.timers.fire_once()
    assert await timed.reminded() == 1


async def test_timer_set_again_replaces_the_earlier_one(timed: TimedDesk) -> None:
    await timed.read(a_message(f"{REMIND}10"), a_message(f"{REMIND}60"))
    await timed.has_read(1000)
    timed.clock.pass_time(30)
    assert not await timed.timers.fire_once()
    timed.clock.pass_time(30)
    assert await timed.timers.fire_once()
    assert await timed.reminded() == 1


async def test_timer_set_again_while_it_fires_is_not_lost(timed: TimedDesk) -> None:
    await timed.read(a_message(f"{REMIND}10"))
    await timed.has_read(1000)
    timed.clock.pass_time(10)
    async with timed.database.transaction() as tx:
        listed = await timed.journal.list_due(tx, timed.clock.now(), timed.clock.now(), 50)
    await timed.read(a_message(f"{REMIND}20"))
    await timed.timers._fire(listed)
    timed.clock.pass_time(20)
    assert await timed.timers.fire_once()
    assert await timed.reminded() == 1


async def test_two_replicas_fire_one_timer_once(database: Database) -> None:
    replicas = [TimedDesk(database), TimedDesk(database)]
    customers = [f"+2782000{n:04}" for n in range(60)]
    for customer in customers:
        await replicas[0].read(a_message(f"{REMIND}5", customer=customer))
    await replicas[0].has_read(1000)
    for replica in replicas:
        replica.clock.pass_time(10)

    async def fire_all(replica: TimedDesk) -> None:
        while await replica.timers.fire_once():
            pass

    await asyncio.gather(*map(fire_all, replicas))
    assert {c: await replicas[0].reminded(c) for c in customers[:60:7]} == dict.fromkeys(customers[:60:7], 1)
    assert await replicas[0].rows("select 1 from due") == []
    assert len(await replicas[0].said()) == 120


async def test_timer_that_raises_backs_off_and_is_parked_and_others_fire(timed: TimedDesk) -> None:
    fire = timed.handlers.fire

    async def fails_for_bob(tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        if any(due.key == pair_of(BOB) for due in dues):
            raise ValueError("nobody can decide on this")
        return await fire(tx, dues, now)

    timed.handlers.fire = fails_for_bob  # type: ignore[method-assign]
    await timed.read(a_message(f"{REMIND}5", customer=BOB), a_message(f"{REMIND}5"))
    await timed.has_read(10_000)
    timed.clock.pass_time(5)
    tried = 0
    for _ in range(PARK_AFTER + 2):
        tried += await timed.timers.fire_once()
        assert not await timed.timers.fire_once(), "it backs off"
        timed.clock.pass_time(6)
    assert await timed.reminded(ANN) == 1
    assert tried == PARK_AFTER
    ((reason, attempts),) = await timed.rows("select parked_reason, attempts from due")
    assert (reason, attempts) == ("ValueError('nobody can decide on this')", PARK_AFTER)


async def test_timer_fires_only_after_the_backlog_before_it_was_heard(servers: Addresses) -> None:
    """The reader is held by a message that came before the timer was due, until well after."""
    async with installed(servers) as counting, running(counting):
        await counting.send(INBOUND, [written(a_message(f"{REMIND}2", message_id="asks"))], partition=0)
        await counting.until_counted(1)
        async with gate_of(counting.database):
            await counting.send(INBOUND, [written(a_message(WAIT, message_id="backlog"))], partition=1)
            overdue = "select count(*) from due where at < now() - interval '1 second'"
            await until_holds(lambda: counting.number(overdue), bool)
            assert await counting.count() == 1
        await counting.until_counted(3)
        assert await counting.counted() == {pair_of(ANN): ["asks", "backlog", "reminder"]}


def written(said: Model) -> bytes:
    return cloudevents.encode(an_event(said))
