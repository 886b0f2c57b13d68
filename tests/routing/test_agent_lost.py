"""An agent is lost or signs out: each sentence of docs/rules.md, 3, on the real store."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from shared.contracts.chats import ChatAssigned, ChatClosed, ChatDiverted, ChatRequeued
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.office import Office

pytestmark = pytest.mark.servers


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    database = Database(await migrated("routing"), "routing", connections=4)
    found = Office(database)
    await found.open()
    yield found
    await found.has_nothing_wrong()
    await database.close()


ANN, BOB = ("assigned", "ann"), ("assigned", "bob")
WAITS, TICKET = ("queued", None), ("diverted", None)


async def test_unanswered_chats_go_to_the_front_of_the_queue_by_their_original_arrival(
    office: Office,
) -> None:
    await office.writes(1, 2, 3, 4, 5)
    await office.agent("bob", capacity=1)
    await office.writes(6, 7, 8)
    assert await office.queue() == [7, 8]

    await office.is_now("ann", "offline")
    assert await office.queue() == [1, 2, 3, 4, 5, 7, 8]
    requeued = await office.said(ChatRequeued)
    assert [one.reason for one in requeued] == ["agent_lost"] * 5
    assert {one.previous_agent_id for one in requeued} == {"ann"}

    await office.agent("bob", capacity=4, revision=2)
    assert (await office.queue(), (await office.chats())[3]) == ([4, 5, 7, 8], BOB)


async def test_who_is_free_gets_the_lost_chats_in_the_order_of_the_queue(office: Office) -> None:
    await office.writes(1, 2)
    await office.writes(3, priority=5)
    await office.agent("bob", capacity=2)
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: BOB, 2: WAITS, 3: BOB}
    assert {one.reason for one in await office.said(ChatAssigned) if one.agent_id == "bob"} == {"agent_lost"}


async def test_the_lost_agent_gets_none_of_them_until_back(office: Office) -> None:
    await office.writes(1, 2)
    await office.agent("bob", capacity=1)
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: BOB, 2: WAITS}
    await office.is_now("ann", "away")
    assert await office.chats() == {1: BOB, 2: WAITS}
    await office.is_now("ann", "online")
    assert await office.chats() == {1: BOB, 2: ANN}


async def test_where_nobody_is_left_they_become_tickets(office: Office) -> None:
    await office.writes(1, 2)
    await office.agent("bob", state="away")
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: TICKET, 2: TICKET}
    assert {one.reason for one in await office.said(ChatDiverted)} == {"no_agents_online"}


async def test_out_of_hours_they_become_tickets_though_somebody_is_there(office: Office) -> None:
    await office.writes(1)
    await office.agent("bob", capacity=1)
    closed = desk.a_calendar_document("hours", closed_on=desk.NOON.date())
    await office.contact.hear(closed, desk.a_department("sales", revision=2, calendar="hours"))
    await office.contact.sweep()
    assert await office.chats() == {1: ANN}
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: TICKET}
    assert [one.reason for one in await office.said(ChatDiverted)] == ["outside_business_hours"]


async def test_answered_chats_stay_theirs_and_close_by_inactivity(office: Office) -> None:
    await office.writes(1)
    await office.answers("ann", 1)
    await office.agent("bob")
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: ANN}
    await office.goes_by(hours=3, minutes=59)
    assert await office.chats() == {1: ANN}
    await office.goes_by(minutes=2)
    (closed,) = await office.said(ChatClosed)
    assert (closed.reason, closed.by.role, closed.agent_id) == ("customer_inactive", "system", None)


async def test_answered_chats_are_routed_afresh_when_the_customer_writes(office: Office) -> None:
    await office.writes(1, 2)
    await office.answers("ann", 1)
    await office.answers("ann", 2)
    await office.agent("bob", capacity=1)
    await office.is_now("ann", "offline")
    await office.writes(1, 2)
    assert await office.chats() == {1: BOB, 2: WAITS}
    await office.is_now("bob", "offline")
    assert await office.chats() == {1: TICKET, 2: TICKET}


async def test_a_fresh_route_keeps_the_first_arrival(office: Office) -> None:
    await office.writes(1)
    await office.answers("ann", 1)
    await office.agent("bob", capacity=1)
    await office.is_now("ann", "offline")
    await office.writes(2, 3)
    assert await office.queue() == [3]
    await office.writes(1)
    assert await office.queue() == [1, 3]


async def test_pending_stays(office: Office) -> None:
    await office.writes(1)
    async with office.contact.database.transaction() as tx:
        await tx.execute(text("update chats set state = 'pending'"))
        await tx.execute(text("update agents set load = 0"))
    await office.agent("bob")
    await office.is_now("ann", "offline")
    ((state, agent),) = await office.contact.rows("select state, agent_id from chats")
    assert (state, agent) == ("pending", "ann")
    async with office.contact.database.transaction() as tx:
        await tx.execute(text("update chats set state = 'closed', agent_id = null"))


async def test_who_is_back_before_the_sweep_ran_keeps_everything(office: Office) -> None:
    await office.writes(1, 2)
    await office.agent("bob")
    await office.is_now("ann", "offline", "online")
    assert await office.chats() == {1: ANN, 2: ANN}


async def test_who_is_back_as_away_before_the_sweep_ran_keeps_everything_too(office: Office) -> None:
    await office.writes(1)
    await office.agent("bob")
    await office.is_now("ann", "offline", "away")
    assert await office.chats() == {1: ANN}


async def test_who_wrote_while_the_agent_was_away_for_a_moment_is_placed_once(office: Office) -> None:
    """Routed afresh by the message itself; what the agent holds besides is the sweep's, which comes late."""
    await office.writes(1, 2)
    await office.answers("ann", 2)
    await office.agent("bob", capacity=1)
    await office.is_now("ann", "offline", swept=False)
    await office.contact.hear(desk.a_message(customer="+27820000001"))
    assert (await office.chats())[1] == BOB
    await office.is_now("ann", "online")
    assert await office.chats() == {1: BOB, 2: ANN}


async def test_a_flapping_agent_leaves_every_chat_with_one_agent(office: Office) -> None:
    await office.writes(1, 2, 3)
    await office.agent("bob", capacity=2)
    for _ in range(5):
        await office.is_now("ann", "offline", "online", "offline", swept=False)
        await office.contact.hear(desk.a_message(customer="+27820000002"))
        await office.is_now("ann", "online")
        await office.is_now("bob", "offline", "online")
        await office.has_nothing_wrong()
    assert {state for state, _ in (await office.chats()).values()} == {"assigned"}


async def test_an_older_loss_that_comes_late_takes_nothing(office: Office) -> None:
    await office.writes(1)
    await office.agent("bob")
    await office.is_now("ann", "away", "online")
    await office.contact.hear(desk.agent_changed("ann", "offline", version=2))
    await office.contact.sweep()
    assert await office.chats() == {1: ANN}


async def test_each_department_of_a_lost_agent_takes_its_own(office: Office) -> None:
    await office.writes(1)
    await office.writes(2, 3, words="care")
    await office.agent("bob", capacity=9, departments=("sales",))
    await office.agent("cleo", capacity=1, departments=("care",))
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: BOB, 2: ("assigned", "cleo"), 3: WAITS}
    assert await office.queue("care") == [3]


async def test_one_department_left_alone_becomes_tickets_the_other_goes_on(office: Office) -> None:
    await office.writes(1)
    await office.writes(2, words="care")
    await office.agent("bob", capacity=9, departments=("sales",))
    await office.is_now("ann", "offline")
    assert await office.chats() == {1: BOB, 2: TICKET}


async def test_a_command_of_the_agent_who_just_left_comes_too_late(office: Office) -> None:
    await office.writes(1)
    await office.agent("bob", capacity=1)
    await office.is_now("ann", "offline")
    await office.answers("ann", 1)
    ((refused,),) = await office.contact.rows(
        "select count(*) from outbox where convert_from(value, 'UTF8') like '%not_your_chat%'"
    )
    assert (refused, await office.chats()) == (1, {1: BOB})


async def test_five_hundred_chats_of_one_agent_are_all_looked_after_in_order(office: Office) -> None:
    async with office.contact.database.transaction() as tx:
        await tx.execute(text("update agents set capacity = 500"))
    numbers = [f"+2783{n:07}" for n in range(500)]
    for at in range(0, 500, 100):
        office.clock.time += timedelta(seconds=1)
        await office.contact.hear(*(desk.a_message(customer=one) for one in numbers[at : at + 100]))
    assert await office.contact.count("select count(*) from chats where agent_id = 'ann'") == 500
    await office.agent("bob", capacity=100)
    await office.is_now("ann", "offline")
    count = office.contact.count
    assert await count("select load from agents where agent_id = 'ann'") == 0
    assert await count("select count(*) from chats where agent_id = 'bob'") == 100
    assert await count("select count(*) from chats where state = 'queued'") == 400
    first = "select max(waiting_since) from chats where agent_id = 'bob'"
    assert (
        await count(f"select count(*) from chats where state = 'queued' and waiting_since < ({first})") == 0
    )
