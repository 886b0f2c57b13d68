"""A chat that ends and one that begins, of one customer, within one batch and on the real store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.routing.decisions.needs import needs_of, places_into
from shared.contracts.chat_commands import ChatClose
from shared.contracts.content import Text
from shared.contracts.event import Model
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import TENANT, received
from tests.routing.builders import SUE, an_agent, an_assigned_chat, facts
from tests.routing.office import Office

Ending = Callable[[Office], Awaitable[Model]]
PATIENCE_SECONDS = 20
"""A batch that a unique index turns away is tried again for most of a minute, and then halved."""
CUSTOMER_1 = "+27820000001"


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Ann has a chat with customer 1."""
    database = Database(await migrated("routing"), "routing", connections=4)
    found = Office(database)
    await found.open()
    await found.writes(1)
    yield found
    await found.has_nothing_wrong()
    await database.close()


def writes(text: str) -> Model:
    return desk.a_message(content=Text(text=text), customer=CUSTOMER_1)


async def by_customer(_: Office) -> Model:
    return writes("//end")


async def by_supervisor(office: Office) -> Model:
    return ChatClose(by=SUE, chat_id=await office.chat_id(1))


@pytest.mark.servers
@pytest.mark.parametrize("ends", [by_customer, by_supervisor])
async def test_a_chat_may_end_and_the_next_begin_in_one_batch(office: Office, ends: Ending) -> None:
    batch = [await ends(office), writes("one thing more")]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await office.hears(*batch)
    assert await states(office) == ["assigned", "closed"]


@pytest.mark.servers
async def test_several_chats_may_begin_and_end_in_one_batch(office: Office) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await office.hears(*map(writes, ("//end", "second", "//end", "third", "//end", "fourth")))
    assert await states(office) == ["assigned", "closed", "closed", "closed"]


@pytest.mark.parametrize(
    "ends",
    [desk.a_message("//end"), ChatClose(by=SUE, chat_id=an_assigned_chat().chat_id), None],
    ids=["//end", "close", "-"],
)
def test_the_department_of_the_next_chat_is_locked_only_where_the_first_may_end(ends: Model | None) -> None:
    chat, agent, department = an_assigned_chat(), an_agent(load=1), (TENANT, "sales")
    heard = [received(one) for one in (ends, desk.a_message("more")) if one is not None]
    known = facts(agents=(agent,), chats=(chat,))
    found = places_into(needs_of(heard), {chat.key: chat}, {agent.key: agent}, known.directory)
    assert found.keys() == (set() if ends is None else {department})


async def states(office: Office) -> list[str]:
    return sorted(row[0] for row in await office.contact.rows("select state from chats"))
