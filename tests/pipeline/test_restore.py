"""A database restored to an earlier point, while the topics are ahead of it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from ops.stack import Addresses
from shared.contracts import cloudevents
from tests.conftest import drop_database, unique
from tests.desk_events import an_event
from tests.pipeline.builders import ANN, BOB, INBOUND, first_occurrences, messages, pair_of
from tests.pipeline.installed import Counting, installed
from tests.pipeline.waiting import until_holds
from tests.restoring import copy, put_back

pytestmark = [pytest.mark.servers, pytest.mark.long]


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


@pytest.fixture
async def backup(servers: Addresses) -> AsyncIterator[str]:
    """The name that the copy of the database may have."""
    name = unique("backup_")
    yield name
    await drop_database(servers, name)


async def send(counting: Counting, word: str, customer: str, partition: int) -> list[str]:
    said = messages(20, customer=customer, word=word)
    await counting.send(INBOUND, [cloudevents.encode(an_event(one)) for one in said], partition=partition)
    return [f"{word}{n}" for n in range(1, 21)]


async def test_what_was_read_since_is_read_again_and_ends_as_it_was(
    servers: Addresses, counting: Counting, backup: str
) -> None:
    process = await counting.start().ready()
    early = await send(counting, "early", ANN, 0)
    await counting.until_settled()
    await process.stopped()
    await counting.database.close()
    await copy(servers, counting.settings.database_url, backup)

    process = await counting.start().ready()
    later = [await send(counting, "later", ANN, 0), await send(counting, "first", BOB, 1)]
    await counting.until_counted(60)
    await counting.until_settled()
    await process.stopped()
    before = await counting.counted()
    said = [event.id for event in await counting.published()]
    await counting.database.close()
    await put_back(servers, counting.settings.database_url, backup)
    assert await counting.count() == 20

    process = await counting.start().ready()
    await counting.until_counted(60)
    await counting.until_settled()
    assert await counting.counted() == before == {pair_of(ANN): early + later[0], pair_of(BOB): later[1]}
    again = [event.id for event in await counting.published()]
    assert sorted(again) == sorted([*said, *said[20:]]), (
        "what was said since is said again, with the same ids"
    )
    assert first_occurrences(await counting.published()) == before
    assert "database_is_behind_what_was_read" in process.log
    last = await send(counting, "last", ANN, 0)
    await counting.prove({pair_of(ANN): early + later[0] + last, pair_of(BOB): later[1]})


async def test_service_with_effects_elsewhere_refuses_to_go_back(counting: Counting) -> None:
    """Nothing of its own runs meanwhile: it ends before it reads or does anything."""
    process = await counting.start().ready()
    await send(counting, "early", ANN, 0)
    await counting.until_settled()
    await process.stopped()
    async with counting.database.transaction() as tx:
        await tx.execute(
            text("update positions set next_offset = 5 where topic = :topic and partition = 0"),
            {"topic": INBOUND},
        )
    refusing = counting.start("refusing_to_go_back")

    async def alive() -> bool:
        return refusing.alive

    await until_holds(alive, lambda alive: not alive)
    assert await refusing.stopped() != 0
    assert "the database stands before what was read: {'inbound-messages.v1/0': (5, 20)}" in refusing.log
    assert "background work ran" not in refusing.log
    assert await counting.count() == 20
