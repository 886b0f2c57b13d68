"""A frozen process wakes when its partitions and its lanes are others': what it still sends is a repeat."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.platform.tables import LANES
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import ANN, INBOUND, gate_of, messages, pair_of
from tests.pipeline.counting import WAIT
from tests.pipeline.installed import Counting, CountingProcess, installed, waiting_at_the_gate
from tests.pipeline.waiting import until, until_holds

pytestmark = [pytest.mark.servers, pytest.mark.long]


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


async def send(counting: Counting, word: str, *last: str, partition: int) -> list[str]:
    """Send twenty messages of one customer, and more that ask for something; returns their ids."""
    said = [*messages(20, word=word), *(a_message(text, message_id=word + text) for text in last)]
    await counting.send(INBOUND, [cloudevents.encode(an_event(one)) for one in said], partition=partition)
    return [one.provider_message_id for one in said]  # type: ignore[attr-defined]


async def taken_over(counting: Counting) -> None:
    """Wait until one living process holds every lane."""
    await until(
        lambda: counting.number(
            "select coalesce(max(n), 0) from (select count(*) as n from lanes"
            " where leased_until > now() group by owner) as shares"
        ),
        at_least=LANES,
        seconds=40,
    )


async def test_zombie_of_a_transaction(counting: Counting) -> None:
    zombie = await counting.start().ready()
    async with gate_of(counting.database):
        early = await send(counting, "early", WAIT, partition=0)
        await until(lambda: waiting_at_the_gate(counting), at_least=1)
        zombie.signal(signal.SIGSTOP)
    await counting.start().ready()
    await counting.until_settled()
    await taken_over(counting)
    later = await send(counting, "later", partition=1)
    await counting.until_counted(41)
    zombie.wake()
    last = await send(counting, "last", partition=0)
    await until(lambda: zombie.measured("records_repeated_total"), at_least=21)
    await counting.prove({pair_of(ANN): early + later + last})
    assert zombie.alive


@pytest.mark.parametrize("moment", ["freezing_before_it_sends", "freezing_before_it_forgets"])
async def test_zombie_of_a_lane(counting: Counting, moment: str) -> None:
    """Its rows leave through somebody else, newer ones of the same key behind them, before it wakes."""
    zombie = await counting.start(moment).ready()
    early = await send(counting, "early", partition=0)
    await until_frozen(zombie)
    await counting.start().ready()
    await taken_over(counting)
    later = await send(counting, "later", partition=1)
    await counting.until_counted(40)
    await counting.until_settled()
    zombie.wake()
    last = await send(counting, "last", partition=0)
    await until_holds(counting.published, lambda said: len(said) >= 80)
    await counting.prove({pair_of(ANN): early + later + last})
    assert len(await counting.published()) == 80, "the early ones were not sent twice"
    assert zombie.alive


async def until_frozen(process: CountingProcess) -> None:
    async def state() -> str:
        status = await asyncio.to_thread(Path(f"/proc/{process.pid}/stat").read_text)
        return status.rsplit(") ", 1)[1][0]

    await until_holds(state, lambda state: state == "T")
