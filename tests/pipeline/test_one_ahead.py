"""Behind a full batch the next one is handed over and decoded; it is settled after it, or read again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.contracts.event import Model
from shared.platform.limit import MOST
from shared.platform.reading import Reader
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import ANN, BOB, INBOUND, gate_of, messages, pair_of
from tests.pipeline.commands import dead_letters
from tests.pipeline.counting import WAIT
from tests.pipeline.here import reading, running
from tests.pipeline.installed import Counting, CountingProcess, installed, waiting_at_the_gate
from tests.pipeline.waiting import until, until_holds

pytestmark = pytest.mark.servers

FULL = 5


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


def values(*said: Model | bytes) -> list[bytes | None]:
    return [one if isinstance(one, bytes) else cloudevents.encode(an_event(one)) for one in said]


async def start(counting: Counting) -> CountingProcess:
    return await counting.start(CHATDESK_BATCH_RECORDS=str(FULL)).ready()


async def send_and_wait_at_the_gate(counting: Counting) -> dict[str, list[str]]:
    """Send several batches of which the first one waits in its transaction; returns what will be counted."""
    await counting.send(INBOUND, values(a_message(WAIT, message_id="first"), *messages(29)), partition=0)
    await until(lambda: waiting_at_the_gate(counting), at_least=1)
    return {pair_of(ANN): ["first", *(f"m{n}" for n in range(1, 30))]}


def unsettled_of(reader: Reader) -> Callable[[], Awaitable[float]]:
    async def unsettled() -> float:
        return reader._begun - reader._settled

    return unsettled


async def test_one_batch_is_taken_over_while_a_full_one_runs_and_no_more(counting: Counting) -> None:
    async with reading(counting, batch_records=FULL) as parts:
        reader = parts._reader
        assert reader is not None
        async with gate_of(counting.database):
            expected = await send_and_wait_at_the_gate(counting)
            await until(unsettled_of(reader), at_least=2)
            assert reader._handed[INBOUND, 0] - reader._next[INBOUND, 0] == 2 * FULL
            assert not reader._idle.is_set()
        await counting.until_settled_reading()
        await reader._idle.wait()
        assert reader._handed == reader._next
    assert await counting.counted() == expected


async def test_batch_that_is_not_full_is_waited_for(counting: Counting) -> None:
    async with reading(counting, batch_records=FULL) as parts:
        reader = parts._reader
        assert reader is not None
        async with gate_of(counting.database):
            await counting.send(INBOUND, values(a_message(WAIT, message_id="alone")), partition=0)
            await until(lambda: waiting_at_the_gate(counting), at_least=1)
            begun = reader._begun
            await counting.send(INBOUND, values(*messages(3)), partition=0)
            ends = await counting.ends()
            assert sum(ends.values()) == 4
            assert reader._begun == begun
        await counting.until_settled_reading()
    assert await counting.counted() == {pair_of(ANN): ["alone", "m1", "m2", "m3"]}


async def test_what_was_taken_over_before_a_rebalance_is_read_by_whoever_has_it_then(
    counting: Counting,
) -> None:
    first = await start(counting)
    async with gate_of(counting.database):
        expected = await send_and_wait_at_the_gate(counting)
        second = counting.start(CHATDESK_BATCH_RECORDS=str(FULL))
        await until_holds(counting.group_state, lambda state: state == "PreparingRebalance")
    await second.ready()
    await counting.prove(expected)
    assert await first.measured("records_repeated_total") == 0
    assert await second.measured("records_repeated_total") == 0


async def test_stopping_settles_the_batch_that_runs_and_leaves_the_next(counting: Counting) -> None:
    async with running(counting, batch_records=FULL) as parts:
        reader = parts._reader
        assert reader is not None
        async with gate_of(counting.database):
            expected = await send_and_wait_at_the_gate(counting)
            await until(unsettled_of(reader), at_least=2)
            stopping = asyncio.create_task(parts._stop_working())
            await asyncio.sleep(0)
            assert reader._ending
        await stopping
        assert await counting.count() == FULL
    assert not await counting.outbox()
    second = await start(counting)
    await counting.prove(expected)
    assert await second.measured("records_repeated_total") == 0


async def test_partition_paused_in_one_batch_is_not_read_in_the_next(counting: Counting) -> None:
    process = await start(counting)
    good = messages(2 * MOST)
    spread = [value for one in good[:MOST] for value in values(b"{", one)]
    await counting.send(INBOUND, [*spread, *values(*good[MOST:])], partition=0)
    await counting.send(INBOUND, values(*messages(3, customer=BOB)), partition=1)
    await until_holds(process.status, lambda status: status == 503)
    await counting.until_counted(MOST - 1 + 3)
    assert await counting.count() == MOST - 1 + 3
    assert (await dead_letters(counting, "resume", "counting", f"{INBOUND}/0")).code == 0
    await counting.until_counted(2 * MOST + 3)
    await counting.until_settled()
    assert (await counting.counted())[pair_of(ANN)] == [f"m{n}" for n in range(1, 2 * MOST + 1)]
