"""Many workers, one PostgreSQL: capacity, one chat per pair, nobody forgotten, whatever the interleaving."""

import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.contact import WORKERS, Contact

pytestmark = pytest.mark.servers


@pytest.fixture
async def contact(migrated: Migrated) -> AsyncIterator[Contact]:
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    found = Contact(database)
    await found.hear(desk.a_tenant(), desk.a_department(), desk.an_agent_document(capacity=5))
    await found.hear(desk.agent_changed())
    await found.sweep()
    yield found
    await database.close()


def customers(count: int) -> list[str]:
    return [f"+2782{n:07}" for n in range(count)]


async def test_eight_workers_never_exceed_one_agent_s_capacity(contact: Contact) -> None:
    await contact.hear_at_once([[desk.a_message(customer=one)] for one in customers(200)])
    await contact.sweep()
    assert await contact.count("select load from agents") == 5
    assert await contact.count("select count(*) from chats where state = 'assigned'") == 5
    assert await contact.count("select count(*) from chats where state = 'queued'") == 195


@pytest.mark.parametrize("strategy", ["round_robin", "longest_idle"])
async def test_eight_workers_share_chats_out_evenly_and_exactly_by_turns(
    contact: Contact, strategy: str
) -> None:
    team = ["ann", "bob", "cid"]
    await contact.hear(desk.a_department(strategy=strategy, revision=2))
    await contact.hear(*(desk.an_agent_document(one, capacity=9, revision=2) for one in team))
    await contact.hear(*(desk.agent_changed(one, version=2) for one in team))
    await contact.hear_at_once([[desk.a_message(customer=one)] for one in customers(9)])
    assert await contact.count("select count(*) from agents where load = 3") == len(team)
    await contact.hear_at_once([[desk.a_message(customer=one)] for one in customers(60)])
    assert await contact.count("select sum(load) from agents") == 9 * len(team)
    assert await contact.count("select max(load) from agents") == 9


async def test_a_burst_over_many_workers_makes_one_chat_without_gaps(contact: Contact) -> None:
    burst = [[desk.a_message(str(n), customer="+27825550000")] for n in range(50)]
    await contact.hear_at_once(burst)
    assert await contact.count("select count(*) from chats") == 1
    assert await contact.count("select version from chats") == 52
    assert await contact.count("select count(*) from outbox where topic = 'chats.v1'") == 52


async def test_freeing_slots_while_others_queue_leaves_nobody_waiting_beside_a_free_agent(
    contact: Contact,
) -> None:
    await contact.hear(*(desk.a_message(customer=one) for one in customers(5)))
    async with contact.database.transaction() as tx:
        rows = await tx.execute(text("select chat_id from chats where state = 'assigned'"))
        held = [chat_id for (chat_id,) in rows]
    closes = [[ChatClose(by=Actor(role="agent", id="ann"), chat_id=chat_id)] for chat_id in held]
    arrivals = [[desk.a_message(customer=f"+2783{n:07}")] for n in range(5)]
    await contact.hear_at_once(itertools.chain.from_iterable(zip(closes, arrivals, strict=True)))
    await contact.sweep()
    assert await contact.count("select count(*) from chats where state = 'queued'") == 0
    assert await contact.count("select load from agents") == 5


async def test_an_append_racing_the_loss_of_its_agent_is_not_left_behind(contact: Contact) -> None:
    await contact.hear(*(desk.a_message(customer=one) for one in customers(5)))
    async with contact.database.transaction() as tx:
        await tx.execute(text("update chats set last_word = 'business'"))
    appends = [[desk.a_message(customer=one)] for one in customers(5)]
    await contact.hear_at_once([*appends, [desk.agent_changed(state="offline", version=2)]])
    await contact.sweep()
    stuck = "select count(*) from chats where state = 'assigned' and last_word = 'customer'"
    assert await contact.count(stuck) == 0
    assert await contact.count("select load from agents") == 0
