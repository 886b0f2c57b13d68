"""What the dispatcher does with claimed messages when the database fails it, or when it is told to stop."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.model import PairState, SendState
from services.outbound.store.pairs import Pairs
from shared.contracts.pair import Pair
from shared.platform.faults import Retryable
from tests.conftest import Migrated
from tests.outbound.builders import a_request, a_word
from tests.outbound.harness import Desk, a_desk

pytestmark = pytest.mark.servers


@pytest.fixture
async def desk(migrated: Migrated) -> AsyncIterator[Desk]:
    async with a_desk(await migrated("outbound")) as desk:
        yield desk


class UnreadableOnce(Pairs):
    """Pairs whose first last look fails, after the claim was committed."""

    def __init__(self) -> None:
        self.failed = False

    async def read(self, tx: AsyncConnection, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        if not self.failed:
            self.failed = True
            raise Retryable("the connection is gone")
        return await super().read(tx, pairs)


class SlowPairs(Pairs):
    """Pairs whose last look takes until it is let go."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def read(self, tx: AsyncConnection, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        self.asked.set()
        await self.let_go.wait()
        return await super().read(tx, pairs)


async def test_claimed_messages_that_could_not_be_looked_at_again_are_queued_again(desk: Desk) -> None:
    await desk.hear(a_word(), a_request(), a_request("r2"))
    desk.store.pairs = UnreadableOnce()
    with pytest.raises(Retryable):
        await desk.dispatch()
    assert (await desk.send_of()).state is SendState.SENDING
    await desk.finish_calls()
    send = await desk.send_of()
    assert (send.state, send.reason, send.lease_until) == (SendState.QUEUED, "not_looked_at", None)
    await desk.dispatch_all()
    assert desk.called == ["r1", "r2"]
    assert await desk.deliveries() == [("accepted", None)], "nothing was ever in doubt"


async def test_a_stop_while_a_claim_is_under_way_loses_no_outcome(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    desk.store.pairs = slow = SlowPairs()
    claims = asyncio.create_task(desk.dispatcher.claims.run(desk.running))
    records = asyncio.create_task(desk.dispatcher.records.run(desk.running))
    async with asyncio.timeout(10):
        await slow.asked.wait()
        desk.running.stopping.set()
        await asyncio.wait([records], timeout=0.3)  # time enough to end too early
        slow.let_go.set()
        await asyncio.gather(claims, records)
    assert desk.called == ["r1"]
    assert await desk.deliveries() == [("accepted", None)]
