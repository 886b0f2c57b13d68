"""A decision that raises costs its own key alone: the event is parked, what follows waits behind it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.event import Model
from shared.contracts.inbound_messages import MessageRevoked
from shared.platform.database import Database
from shared.platform.outcome import Outcome, Received
from shared.platform.pipeline import ATTEMPTS_OF_A_BUG
from tests.desk_events import a_message
from tests.pipeline.builders import ANN, BOB, CountingDesk, a_note, messages, pair_of
from tests.pipeline.counting import POISON

pytestmark = pytest.mark.servers


def poison(customer: str = ANN) -> Model:
    return a_message(POISON, customer=customer, message_id=f"poison-{customer}")


def interleaved(*customers: str, each: int) -> list[Model]:
    """Build messages of several customers in turn."""
    return [
        said for turn in zip(*(messages(each, customer=c) for c in customers), strict=True) for said in turn
    ]


async def test_poison_is_parked_with_its_key_and_other_keys_go_on(desk: CountingDesk) -> None:
    before, after = interleaved(ANN, BOB, each=3), messages(2, customer=BOB, word="later")
    await desk.read(*before, poison(ANN), *after)
    assert await desk.counted() == {
        pair_of(ANN): ["m1", "m2", "m3"],
        pair_of(BOB): ["m1", "m2", "m3", "later1", "later2"],
    }
    (letter,) = await desk.dead_letters()
    assert (letter.reason, letter.parked_key, letter.attempts) == (
        "handler_failed",
        pair_of(ANN),
        ATTEMPTS_OF_A_BUG,
    )
    assert letter.detail == "ValueError: nobody can decide on this"


async def test_later_events_of_the_key_park_behind_it_in_order(desk: CountingDesk) -> None:
    records = await desk.read(a_message(message_id="m0"), poison(), *messages(2))
    records += await desk.read(*messages(2, word="next"))
    assert await desk.counted() == {pair_of(ANN): ["m0"]}
    assert [reason for _, reason, _ in await desk.parked()] == ["handler_failed", *["behind_parked"] * 4]
    offsets = await desk.rows("select record_offset from parked_records order by id")
    assert [offset for (offset,) in offsets] == [record.offset for record in records[1:]]


@pytest.mark.parametrize("poisons", [1, 7, 19])
async def test_every_poison_of_a_large_batch_is_found(desk: CountingDesk, poisons: int) -> None:
    customers = [f"+2782000{n:04}" for n in range(120)]
    bad = set(customers[:: 120 // poisons][:poisons])
    await desk.read(*(poison(c) if c in bad else a_message(customer=c, message_id=c) for c in customers))
    assert await desk.counted() == {pair_of(c): [c] for c in customers if c not in bad}
    assert {key for key, _, _ in await desk.parked()} == {pair_of(c) for c in bad}


async def test_poison_read_again_stays_parked_once(desk: CountingDesk) -> None:
    records = await desk.read(poison(), *messages(2))
    await desk.read(*records)
    assert len(await desk.parked()) == 3
    assert len(await desk.dead_letters()) == 3


async def test_event_nobody_handles_passes_by_behind_a_parked_key(desk: CountingDesk) -> None:
    revoked = MessageRevoked.model_validate(a_message().model_dump() | {"target": "m1"})
    await desk.read(poison(), revoked)
    assert [reason for _, reason, _ in await desk.parked()] == ["handler_failed"]


async def test_events_behind_it_are_known_so_that_republishing_them_adds_none(desk: CountingDesk) -> None:
    m1, m2 = messages(2)
    await desk.read(poison(), m1, m2)
    await desk.read(m1, m2)
    assert [reason for _, reason, _ in await desk.parked()] == ["handler_failed", *["behind_parked"] * 2]


async def test_gap_in_versions_parks_the_rest_of_the_key(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_note(2), a_note(4), a_note(5))
    await desk.read(a_note(3), a_note(1, ticket="ticket-2", customer=BOB))
    assert await desk.counted() == {
        pair_of(ANN): ["ticket-1/1", "ticket-1/2"],
        pair_of(BOB): ["ticket-2/1"],
    }
    assert [reason for _, reason, _ in await desk.parked()] == ["version_gap", *["behind_parked"] * 2]
    (gap, *_) = await desk.dead_letters()
    assert "version 3 of acme:ticket:ticket-1 has not been read, this is version 4" in gap.detail


async def test_first_version_read_is_taken_as_it_comes(desk: CountingDesk) -> None:
    await desk.read(a_note(7), a_note(8))
    assert await desk.counted() == {pair_of(ANN): ["ticket-1/7", "ticket-1/8"]}


async def test_older_version_said_anew_has_no_effect(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_note(2), a_note(1), a_note(2))
    assert await desk.counted() == {pair_of(ANN): ["ticket-1/1", "ticket-1/2"]}
    assert await desk.parked() == []


async def test_fault_that_heals_is_waited_out_with_growing_bounded_pauses(database: Database) -> None:
    failures = iter(range(12))

    @asynccontextmanager
    async def transactions() -> AsyncIterator[AsyncConnection]:
        if next(failures, None) is not None:
            raise ConnectionRefusedError("the database is away")
        async with database.transaction() as tx:
            yield tx

    desk = CountingDesk(database, transactions=transactions)
    await desk.read(*messages(3))
    assert await desk.counted() == {pair_of(ANN): ["m1", "m2", "m3"]}
    assert await desk.parked() == []
    assert len(desk.pauses) == 12
    assert desk.pauses[0] < 0.2
    assert 2.5 <= desk.pauses[-1] <= 5.0


async def test_poison_is_parked_also_when_the_database_stumbles_meanwhile(database: Database) -> None:
    opened = 0

    @asynccontextmanager
    async def transactions() -> AsyncIterator[AsyncConnection]:
        nonlocal opened
        opened += 1
        if opened in {2, 5, 6}:
            raise ConnectionResetError("cut")
        async with database.transaction() as tx:
            yield tx

    desk = CountingDesk(database, transactions=transactions)
    await desk.read(a_message(message_id="m1"), poison(), a_message(message_id="m2", customer=BOB))
    assert await desk.counted() == {pair_of(ANN): ["m1"], pair_of(BOB): ["m2"]}
    assert [reason for _, reason, _ in await desk.parked()] == ["handler_failed"]


async def test_failed_decision_leaves_no_trace_of_its_batch(desk: CountingDesk) -> None:
    """Whatever a batch did before it raised is rolled back; only the parking of the poison stays."""
    await desk.read(poison())
    assert await desk.rows("select 1 from pairs") == []
    assert await desk.said() == []
    positions = await desk.rows("select next_offset from positions")
    assert len(positions) == 1


async def test_violated_index_is_a_race_that_is_tried_again(desk: CountingDesk) -> None:
    """Such as two live chats for one pair, seen by the index: the winner's is there at the next try."""
    async with desk.database.transaction() as tx:
        await tx.execute(text("create unique index on effects (message_id)"))
        await tx.execute(text("insert into effects (message_id) values ('m1')"))
    tried = 0
    handle = desk.handlers.handle

    async def heals(tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        nonlocal tried
        tried += 1
        if tried > 1:
            await tx.execute(text("delete from effects"))
        return await handle(tx, batch, now)

    desk.handlers.handle = heals  # type: ignore[method-assign]
    await desk.read(a_message(message_id="m1"))
    assert tried == 2
    assert await desk.parked() == []
