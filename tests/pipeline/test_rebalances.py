"""Partitions move in mid-batch: with the drain nobody reads it twice, without it nobody counts it twice."""

from collections.abc import AsyncIterator

import pytest

from ops.stack import Addresses
from shared.contracts import cloudevents
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import ANN, INBOUND, gate_of, messages, pair_of
from tests.pipeline.counting import WAIT
from tests.pipeline.installed import Counting, installed, waiting_at_the_gate
from tests.pipeline.waiting import until, until_holds

pytestmark = [pytest.mark.servers, pytest.mark.long]

EXPECTED = {pair_of(ANN): [*(f"m{n}" for n in range(1, 21)), "last"]}


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


async def send_and_wait_at_the_gate(counting: Counting) -> None:
    said = [*messages(20), a_message(WAIT, message_id="last")]
    for partition in range(4):  # wherever the newcomer's share is, it finds the same messages there
        await counting.send(INBOUND, [cloudevents.encode(an_event(one)) for one in said], partition=partition)
    await until(lambda: waiting_at_the_gate(counting), at_least=1)


async def somebody_waits_for_somebody(counting: Counting) -> int:
    return await counting.number(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock' and wait_event <> 'advisory'"
    )


async def test_with_the_drain_nothing_is_read_twice(counting: Counting) -> None:
    first = await counting.start().ready()
    async with gate_of(counting.database):
        await send_and_wait_at_the_gate(counting)
        second = counting.start()
        await until_holds(counting.group_state, lambda state: state == "PreparingRebalance")
        assert await second.status() != 200, "it has partitions of which a batch still runs"
    await second.ready()
    await counting.prove(EXPECTED)
    repeats = [await one.measured("records_repeated_total") for one in (first, second)]
    assert repeats == [3 * 21, 0], "what others published twice is all that repeats"


async def test_without_the_drain_nothing_is_counted_twice(counting: Counting) -> None:
    """The newcomer works on the same messages while the first still has its transaction open."""
    first = await counting.start("nothing_drains").ready()
    async with gate_of(counting.database):
        await send_and_wait_at_the_gate(counting)
        second = await counting.start().ready()
        await until(lambda: somebody_waits_for_somebody(counting), at_least=1)
    await until(lambda: second.measured("records_repeated_total"), at_least=1)
    await counting.prove(EXPECTED)
    repeats = [await one.measured("records_repeated_total") for one in (first, second)]
    assert sum(repeats) > 3 * 21
