"""A consumer that is stuck ends its process; one that has nothing to read, or waits on purpose, does not."""

import signal
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.platform.clock import SystemClock
from shared.platform.watchdog import APART_SECONDS, Watchdog
from tests.desk_events import an_event
from tests.pipeline.builders import ANN, BOB, INBOUND, messages, pair_of
from tests.pipeline.installed import Counting, CountingProcess, installed, transactional
from tests.pipeline.waiting import until_holds

PATIENCE = 10
HERE, THERE = ("inbound-messages.v1", 0), ("inbound-messages.v1", 1)
LOOKS = [float(second) for second in range(12)]


def looks(
    times: Sequence[float], nexts: Sequence[dict[tuple[str, int], int]], begun: Sequence[int] = ()
) -> list[frozenset[tuple[str, int]]]:
    """Look at these times; the last of ``nexts`` and ``begun`` hold on."""
    watchdog = Watchdog(PATIENCE)
    numbers = begun or (0,)
    return [
        watchdog.unread(time, numbers[min(n, len(numbers) - 1)], nexts[min(n, len(nexts) - 1)])
        for n, time in enumerate(times)
    ]


def test_stuck_when_no_batch_begins_for_as_long_as_patience_lasts() -> None:
    assert looks(LOOKS, [{HERE: 7}]) == [frozenset()] * 10 + [{HERE}] * 2


def test_not_stuck_when_there_is_nothing_to_read() -> None:
    assert not any(looks(LOOKS, [{}]))


def test_time_without_anything_to_read_is_no_time_of_waiting() -> None:
    assert not any(looks(LOOKS, [{}, {}, {HERE: 7}]))


def test_not_stuck_while_batches_begin() -> None:
    assert not any(looks(LOOKS, [{HERE: 7}], begun=range(12)))


def test_one_place_that_never_moves_is_stuck_in_the_end() -> None:
    found = looks([float(n) for n in range(102)], [{HERE: 7, THERE: n} for n in range(102)], range(102))
    assert found == [frozenset()] * 100 + [{HERE}] * 2


def test_frozen_process_that_wakes_begins_to_count_anew() -> None:
    assert not any(looks([0.0, 1.0, 1.0 + APART_SECONDS + 1, 20.0], [{HERE: 7}]))


def test_running_batch_takes_as_long_as_it_takes() -> None:
    watchdog = Watchdog(PATIENCE)
    watchdog.unread(0.0, 0, {HERE: 7})
    for time in range(1, 500):
        watchdog.working(float(time))
    assert not watchdog.unread(500.0, 1, {HERE: 7})


def test_group_that_owes_an_answer() -> None:
    watchdog = Watchdog(PATIENCE)
    assert [watchdog.without_assignment(time, 1) for time in LOOKS] == [False] * 10 + [True] * 2


def test_every_rebalance_has_its_own_patience() -> None:
    watchdog = Watchdog(PATIENCE)
    assert not any(watchdog.without_assignment(time, int(time) // 6) for time in LOOKS)


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


async def send(counting: Counting, customer: str) -> None:
    values = [cloudevents.encode(an_event(one)) for one in messages(20, customer=customer)]
    await counting.send(INBOUND, values, partition=0)


async def until_ended(process: CountingProcess, seconds: float = 30) -> int:
    async def alive() -> bool:
        return process.alive

    await until_holds(alive, lambda alive: not alive, seconds=seconds)
    return await process.stopped()


@pytest.mark.servers
@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("fetching_ends", "nothing was read for 2 s from {'inbound-messages.v1/0': 20}"),
        ("fetching_and_stopping_hang", "nothing was read for 2 s from {'inbound-messages.v1/0': 20}"),
        ("rejoining_hangs", "the group has not answered for 2 s"),
    ],
)
async def test_stuck_process_ends_with_one_line_and_the_next_reads_on(
    counting: Counting, how: str, says: str
) -> None:
    process = await counting.start(how, CHATDESK_STUCK_SECONDS="2").ready()
    await send(counting, ANN)
    await counting.until_counted(20)
    await counting.until_settled()
    process.signal(signal.SIGUSR1)
    await send(counting, BOB)
    assert await until_ended(process) != 0
    critical = [line for line in process.log.splitlines() if "[critical" in line]
    assert len(critical) == 1
    assert says in critical[0]
    assert await counting.count() == 20
    await counting.start().ready()
    await counting.prove({pair_of(who): [f"m{n}" for n in range(1, 21)] for who in (ANN, BOB)})


@pytest.mark.servers
async def test_message_that_waits_for_an_open_transaction_is_nobodys_fault(counting: Counting) -> None:
    process = await counting.start(CHATDESK_STUCK_SECONDS="0.5").ready()
    async with transactional(counting) as producer:
        await producer.begin_transaction()
        (value,) = [cloudevents.encode(an_event(one)) for one in messages(1)]
        await producer.send_and_wait(counting.settings.topic_prefix + INBOUND, value, partition=0)
        await until_looked_for(counting, seconds=3)
        assert process.alive
        await producer.commit_transaction()
    await counting.prove({pair_of(ANN): ["m1"]})
    assert process.alive


async def until_looked_for(counting: Counting, *, seconds: float) -> None:
    """Wait until the process has seen its other partitions read for so long."""
    goal = SystemClock().now() + timedelta(seconds=seconds)

    async def reached() -> bool:
        rows = await counting.rows(
            "select read_up_to > :goal from positions where topic = :topic and partition = 1",
            goal=goal,
            topic=INBOUND,
        )
        return bool(rows[0][0])

    await until_holds(reached, bool)
