"""Servers and processes fail at the worst moments: nothing is lost, doubled, reordered or left over."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import text

from ops.stack import LocalStack
from shared.contracts import cloudevents
from shared.contracts.event import Model
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import ANN, INBOUND, first_occurrences, gate_of, messages, pair_of
from tests.pipeline.counting import WAIT
from tests.pipeline.flow import Flow
from tests.pipeline.installed import Counting, hold_outbox, installed, waiting_at_the_gate
from tests.pipeline.waiting import until, until_holds

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Servers of this module's own, to be killed and frozen without disturbing anybody."""
    private = LocalStack(tmp_path_factory.mktemp("faults"))
    try:
        yield private
    finally:
        private.reset()


@pytest.fixture
async def counting(stack: LocalStack) -> AsyncIterator[Counting]:
    addresses = await asyncio.to_thread(stack.up)
    async with installed(addresses) as counting:
        yield counting


async def send(counting: Counting, *said: Model, partition: int = 0) -> None:
    await counting.send(INBOUND, [cloudevents.encode(an_event(one)) for one in said], partition=partition)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process where it stands until the block ends: it answers nobody and forgets nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_killed_after_the_commit_and_before_publishing(stack: LocalStack, counting: Counting) -> None:
    """The broker is frozen while the handler works: what it commits cannot leave before the kill."""
    process = await counting.start().ready()
    broker = stack.server("kafka").standing()
    assert broker is not None
    sent = [*messages(20), a_message(WAIT, message_id="last")]
    with ExitStack() as freezing:
        async with gate_of(counting.database):
            await send(counting, *sent)
            await until(lambda: waiting_at_the_gate(counting), at_least=1)
            freezing.enter_context(frozen(broker.pid))
        await until_holds(lambda: process.measured("outbox_rows"), lambda rows: rows == 21)
        assert await counting.outbox() == 21
        process.kill()
    assert first_occurrences(await counting.published()) == {}
    await counting.start().ready()
    await counting.prove({pair_of(ANN): [*(f"m{n}" for n in range(1, 21)), "last"]})


async def test_killed_after_publishing_and_before_the_outbox_forgets(counting: Counting) -> None:
    """What was published is published again: repeats of the same ids, and nothing out of order."""
    await hold_outbox(counting)
    process = await counting.start().ready()
    async with gate_of(counting.database):
        await send(counting, *messages(20))
        await until_holds(counting.published, lambda said: len(said) == 20)
        await until(lambda: waiting_at_the_gate(counting), at_least=1)
        process.kill()
    await counting.start().ready()
    await counting.prove({pair_of(ANN): [f"m{n}" for n in range(1, 21)]})
    assert len(await counting.published()) == 40


async def test_killed_again_and_again_while_records_flow(counting: Counting) -> None:
    """Each kill comes when more was counted since the last, wherever that finds the process."""
    async with Flow(counting).running() as flow:
        for progress in (1, 30, 77):
            process = counting.start()
            await flow.until_more_is_counted(progress)
            process.kill()
        await counting.start().ready()
        await flow.until_more_is_counted(50)
    await counting.prove(flow.sent, ordered=False)


async def test_database_goes_away_and_returns(stack: LocalStack, counting: Counting) -> None:
    process = await counting.start().ready()
    postgres = stack.server("postgres")
    async with Flow(counting).running() as flow:
        await flow.until_more_is_counted(30)
        await asyncio.to_thread(postgres.kill)
        await until_holds(process.status, lambda status: status == 503)
        assert await process.status("/healthz") == 200
        await asyncio.to_thread(postgres.start)
        await flow.until_more_is_counted(60)
    await counting.prove(flow.sent, ordered=False)
    assert await counting.number("select count(*) from parked_records") == 0
    assert process.alive


async def test_broker_restarts(stack: LocalStack, counting: Counting) -> None:
    process = await counting.start().ready()
    broker = stack.server("kafka")
    async with Flow(counting).running() as flow:
        await flow.until_more_is_counted(30)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        await flow.until_more_is_counted(60)
    await counting.prove(flow.sent, ordered=False)
    assert process.alive


async def test_broker_freezes_longer_than_it_takes_to_give_up(stack: LocalStack, counting: Counting) -> None:
    """Requests run out and the group loses its members; what was on its way may arrive all the same."""
    process = await counting.start().ready()
    broker = stack.server("kafka").standing()
    assert broker is not None
    with ExitStack() as freezing:
        async with gate_of(counting.database):
            await send(counting, *messages(20), a_message(WAIT, message_id="last"))
            await until(lambda: waiting_at_the_gate(counting), at_least=1)
            freezing.enter_context(frozen(broker.pid))
        await until_holds(lambda: process.measured("publish_failures_total"), bool)
    await counting.prove({pair_of(ANN): [*(f"m{n}" for n in range(1, 21)), "last"]})


async def test_frozen_process_wakes_to_find_its_work_done(counting: Counting) -> None:
    """A zombie: its partitions, its lanes and its transaction are others' by then."""
    zombie = await counting.start().ready()
    with ExitStack() as freezing:
        async with gate_of(counting.database):
            await send(counting, *messages(20), a_message(WAIT, message_id="last"))
            await until(lambda: waiting_at_the_gate(counting), at_least=1)
            freezing.enter_context(frozen(zombie.pid))
        await counting.start().ready()
        await counting.until_counted(21)
        await counting.until_settled()
    await send(counting, *messages(20, word="later"), partition=1)
    await counting.until_counted(41)
    expected = [*(f"m{n}" for n in range(1, 21)), "last", *(f"later{n}" for n in range(1, 21))]
    await counting.prove({pair_of(ANN): expected})
    assert zombie.alive


async def test_process_that_cannot_bring_a_batch_to_its_end_ends_and_loses_nothing(
    counting: Counting,
) -> None:
    """Nowhere to put a broken record: going on would skip it, so the process ends and the next one tries."""
    process = await counting.start().ready()
    await change(counting, "alter table parked_records rename to elsewhere")
    await counting.send(INBOUND, [b"no event"], partition=0)
    await send(counting, a_message(message_id="behind it"))
    await until_holds(lambda: asyncio.sleep(0, not process.alive), bool)
    assert await process.stopped() != 0
    await change(counting, "alter table elsewhere rename to parked_records")
    await counting.start().ready()
    await counting.prove({pair_of(ANN): ["behind it"]})
    assert [letter.reason for letter in await counting.dead_letters()] == ["broken_json"]


async def change(counting: Counting, statement: str) -> None:
    async with counting.database.transaction() as tx:
        await tx.execute(text(statement))
