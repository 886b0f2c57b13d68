"""A server is away for longer than anybody waits for one answer: the same processes go on by themselves.

Real time is the point here: the outages are longer than every timeout, and than the watchdog's patience.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import pytest

from ops.stack import LocalStack
from tests.pipeline.flow import Flow
from tests.pipeline.installed import Counting, CountingProcess, installed
from tests.pipeline.waiting import until, until_holds

pytestmark = [pytest.mark.servers, pytest.mark.long]

BROKER_AWAY_SECONDS = 60
DATABASE_AWAY_SECONDS = 15
IDLE_SECONDS = 8
PATIENCE_SECONDS = 180
WITHIN_SECONDS = 60
"""How soon everything has to go on; what it was is printed."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    private = LocalStack(tmp_path_factory.mktemp("outages"))
    try:
        yield private
    finally:
        private.reset()


@pytest.fixture
async def counting(stack: LocalStack) -> AsyncIterator[Counting]:
    addresses = await asyncio.to_thread(stack.up)
    async with installed(addresses) as counting:
        yield counting


async def until_everything_goes_on(processes: list[CountingProcess], flow: Flow) -> float:
    """Wait until what was sent is counted, said and committed, and all are ready; returns the seconds."""
    back_at = monotonic()
    await flow.until_more_is_counted(60, seconds=WITHIN_SECONDS)
    recovered = monotonic() - back_at
    for process in processes:
        await until_holds(process.status, lambda status: status == 200, seconds=WITHIN_SECONDS)
    return recovered


async def until_behind(process: CountingProcess) -> None:
    await until(lambda: process.measured("read_lag_seconds"), at_least=20)


@pytest.mark.parametrize("by", ["frozen", "killed"])
async def test_leader_is_away_for_a_minute(
    stack: LocalStack, counting: Counting, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broker = stack.server("kafka")
    standing = broker.standing()
    assert standing is not None
    processes = [await counting.start(CHATDESK_STUCK_SECONDS="20").ready() for _ in range(2)]
    async with Flow(counting, PATIENCE_SECONDS).running() as flow:
        await flow.until_more_is_counted(60)
        if by == "frozen":
            os.kill(standing.pid, signal.SIGSTOP)
        else:
            await asyncio.to_thread(broker.kill)
        try:
            await asyncio.sleep(BROKER_AWAY_SECONDS / 2)
            for process in processes:
                await until_holds(process.status, lambda status: status == 503)
                await until_behind(process)
                assert await process.status("/healthz") == 200
            await asyncio.sleep(BROKER_AWAY_SECONDS / 2)
        finally:
            if by == "frozen":
                os.kill(standing.pid, signal.SIGCONT)
            else:
                await asyncio.to_thread(broker.start)
        recovered = await until_everything_goes_on(processes, flow)
    with capsys.disabled():
        sys.stdout.write(
            f"\nleader away for {BROKER_AWAY_SECONDS} s ({by}), counting again {recovered:.1f} s later\n"
        )
    await counting.prove(flow.sent, ordered=False)
    assert all(process.alive for process in processes)


async def test_database_is_away_for_longer_than_the_watchdog_waits(
    stack: LocalStack, counting: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    processes = [await counting.start(CHATDESK_STUCK_SECONDS="4").ready() for _ in range(2)]
    await asyncio.sleep(IDLE_SECONDS)
    postgres = stack.server("postgres")
    async with Flow(counting, PATIENCE_SECONDS).running() as flow:
        await flow.until_more_is_counted(60)
        await asyncio.to_thread(postgres.kill)
        for process in processes:
            await until_holds(process.status, lambda status: status == 503)
        await asyncio.sleep(DATABASE_AWAY_SECONDS)
        await asyncio.to_thread(postgres.start)
        recovered = await until_everything_goes_on(processes, flow)
    with capsys.disabled():
        sys.stdout.write(
            f"\ndatabase away for {DATABASE_AWAY_SECONDS} s, counting again {recovered:.1f} s later\n"
        )
    await counting.prove(flow.sent, ordered=False)
    assert all(process.alive for process in processes)
