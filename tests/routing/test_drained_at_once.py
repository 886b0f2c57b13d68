"""A queue is drained the moment anybody frees, comes or may take more, and emptied the moment nobody is left.

Every trigger has its case: without it the chat would wait beside somebody free, or for nobody.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from shared.contracts.chat_commands import ChatAssign, ChatClose, ChatMarkPending
from shared.contracts.chats import ChatDiverted
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.builders import ANN, SUE
from tests.routing.office import Office

pytestmark = pytest.mark.servers

Step = Callable[[Office], Awaitable[None]]


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Ann is full with customer 1; customer 2 waits, for up to a day. Bob is of care alone."""
    database = Database(await migrated("routing"), "routing", connections=4)
    found = Office(database)
    await found.open()
    await found.hears(desk.a_department("sales", revision=2, max_wait_seconds=86_400))
    await found.agent("ann", revision=2, capacity=1)
    await found.agent("bob", departments=("care",))
    await found.writes(1, 2)
    assert await found.chats() == {1: ("assigned", "ann"), 2: ("queued", None)}
    yield found
    await found.has_nothing_wrong()
    await database.close()


async def _close(office: Office) -> None:
    await office.hears(ChatClose(by=ANN, chat_id=await office.chat_id(1)))


async def _end_word(office: Office) -> None:
    await office.writes(1, words="//end")


async def _customer_silent(office: Office) -> None:
    await office.answers("ann", 1)
    await office.goes_by(hours=4, minutes=1)


async def _given_away(office: Office) -> None:
    await office.hears(ChatAssign(by=SUE, chat_id=await office.chat_id(1), agent_id="bob"))


async def _parked(office: Office) -> None:
    await office.hears(ChatMarkPending(by=ANN, chat_id=await office.chat_id(1), reason="customer"))


async def _capacity_raised(office: Office) -> None:
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=2))


async def _joined(office: Office) -> None:
    await office.hears(desk.an_agent_document("bob", revision=2, departments=("care", "sales")))


@pytest.mark.parametrize(
    "frees", [_close, _end_word, _customer_silent, _given_away, _parked, _capacity_raised, _joined]
)
async def test_who_waits_is_served_the_moment_somebody_has_room(office: Office, frees: Step) -> None:
    await frees(office)
    state, agent = (await office.chats())[2]
    assert (state, agent in {"ann", "bob"}) == ("assigned", True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("offline", False), ("online", False), id="signed in"),
        pytest.param(("away", False), ("online", False), id="back from away"),
        pytest.param(("online", True), ("online", False), id="no longer draining"),
        pytest.param(("away", True), ("online", False), id="away and draining, then neither"),
    ],
)
async def test_who_waits_is_served_the_moment_somebody_comes(
    office: Office, before: tuple[str, bool], after: tuple[str, bool]
) -> None:
    await office.is_now("bob", before[0], draining=before[1])
    await office.hears(desk.an_agent_document("bob", revision=2, departments=("sales",)))
    assert (await office.chats())[2] == ("queued", None)
    await office.is_now("bob", after[0], draining=after[1])
    assert (await office.chats())[2] == ("assigned", "bob")


@pytest.mark.parametrize("documents_first", [True, False])
async def test_who_waits_is_served_the_moment_somebody_new_is_known(
    office: Office, *, documents_first: bool
) -> None:
    if documents_first:
        await office.hears(desk.an_agent_document("cleo"))
        await office.is_now("cleo", "online")
    else:
        await office.is_now("cleo", "online")
        assert (await office.chats())[2] == ("queued", None)
        await office.hears(desk.an_agent_document("cleo"))
    assert (await office.chats())[2] == ("assigned", "cleo")


async def test_who_waits_is_served_the_moment_a_supervisor_works_as_an_agent_too(office: Office) -> None:
    await office.hears(desk.an_agent_document("bob", revision=2, roles=("supervisor",)))
    assert (await office.chats())[2] == ("queued", None)
    both = ("supervisor", "agent")
    await office.hears(desk.an_agent_document("bob", revision=3, roles=both))
    assert (await office.chats())[2] == ("assigned", "bob")


async def test_who_waits_is_served_the_moment_a_retired_agent_is_taken_back(office: Office) -> None:
    await office.hears(desk.an_agent_document("bob", revision=2, retired=True))
    assert (await office.chats())[2] == ("queued", None)
    await office.hears(desk.an_agent_document("bob", revision=3))
    assert (await office.chats())[2] == ("assigned", "bob")


@pytest.mark.parametrize("whose", ["department", "tenant"])
async def test_who_is_held_is_served_the_moment_the_calendar_comes(office: Office, whose: str) -> None:
    """A department that names a calendar nobody has heard of holds its queue beside whoever is free."""
    if whose == "department":
        await office.hears(desk.a_department("sales", revision=3, calendar="hours", max_wait_seconds=86_400))
    else:
        await office.hears(desk.a_tenant(revision=2, calendar="hours"))
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=2))
    assert (await office.chats())[2] == ("queued", None)
    await office.hears(desk.a_calendar_document("hours"))
    assert (await office.chats())[2] == ("assigned", "ann")


async def test_who_is_held_is_served_the_moment_the_department_names_no_calendar(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=3, calendar="hours", max_wait_seconds=86_400))
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=2))
    await office.hears(desk.a_department("sales", revision=4, max_wait_seconds=86_400))
    assert (await office.chats())[2] == ("assigned", "ann")


async def test_a_ticket_s_customer_is_served_when_the_department_has_reopened_and_they_write(
    office: Office,
) -> None:
    await _hours_cut(office)
    assert (await office.chats())[2] == ("diverted", None)
    await office.hears(desk.a_calendar_document("hours", revision=3))
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=2))
    await office.writes(2)
    assert (await office.chats())[2] == ("assigned", "ann")


async def _hours_cut(office: Office) -> None:
    await office.hears(desk.a_calendar_document("hours"))
    await office.hears(desk.a_department("sales", revision=3, calendar="hours", max_wait_seconds=86_400))
    assert (await office.chats())[2] == ("queued", None)
    await office.hears(desk.a_calendar_document("hours", revision=2, closed_on=desk.NOON.date()))


async def _other_calendar(office: Office) -> None:
    await office.hears(desk.a_calendar_document("never", closed_on=desk.NOON.date()))
    await office.hears(desk.a_department("sales", revision=3, calendar="never"))


async def _tenants_calendar(office: Office) -> None:
    await office.hears(desk.a_calendar_document("never", closed_on=desk.NOON.date()))
    await office.hears(desk.a_tenant(revision=2, calendar="never"))


async def _closing_time(office: Office) -> None:
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    hours = {day: [{"from": "08:00", "to": "13:00"}] for day in days}
    await office.hears(desk.a_calendar_document("hours", week=hours))
    await office.hears(desk.a_department("sales", revision=3, calendar="hours", max_wait_seconds=86_400))
    assert (await office.chats())[2] == ("queued", None)
    await office.goes_by(hours=1)


async def _no_queue_any_more(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=3, when_full="ticket"))


async def _wait_limit_lowered(office: Office) -> None:
    await office.goes_by(minutes=10)
    await office.hears(desk.a_department("sales", revision=3, max_wait_seconds=300))


async def _wait_limit_lowered_beforehand(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=3, max_wait_seconds=300))
    assert (await office.chats())[2] == ("queued", None)
    await office.goes_by(minutes=4)
    assert (await office.chats())[2] == ("queued", None)
    await office.goes_by(minutes=2)


async def _last_goes_away(office: Office) -> None:
    await office.is_now("ann", "away")


async def _last_drains(office: Office) -> None:
    await office.is_now("ann", "online", draining=True)


async def _last_leaves_the_department(office: Office) -> None:
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=1, departments=("care",)))


async def _last_is_retired(office: Office) -> None:
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=1, retired=True))


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (_hours_cut, "outside_business_hours"),
        (_other_calendar, "outside_business_hours"),
        (_tenants_calendar, "outside_business_hours"),
        (_closing_time, "outside_business_hours"),
        (_no_queue_any_more, "all_full"),
        (_wait_limit_lowered, "waited_too_long"),
        (_wait_limit_lowered_beforehand, "waited_too_long"),
        (_last_goes_away, "no_agents_online"),
        (_last_drains, "no_agents_online"),
        (_last_leaves_the_department, "no_agents_online"),
        (_last_is_retired, "no_agents_online"),
    ],
)
async def test_who_waits_becomes_a_ticket_the_moment_waiting_is_in_vain_and_who_is_held_stays(
    office: Office, happens: Step, reason: str
) -> None:
    await happens(office)
    assert await office.chats() == {1: ("assigned", "ann"), 2: ("diverted", None)}
    assert [one.reason for one in await office.said(ChatDiverted)] == [reason]


async def test_a_raised_wait_limit_lets_those_who_wait_already_wait_on(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=3, max_wait_seconds=600))
    await office.writes(3)
    await office.hears(desk.a_department("sales", revision=4, max_wait_seconds=1_200))
    await office.goes_by(minutes=19, seconds=50)
    assert await office.queue() == [2, 3]
    await office.goes_by(seconds=20)
    assert await office.queue() == []


async def test_a_lowered_wait_limit_ends_the_waits_of_more_than_one_look_in_their_order(
    office: Office,
) -> None:
    for _ in range(5):
        office.clock.time += timedelta(minutes=1)
        await office.contact.hear(
            *(desk.a_message(customer=f"+2784{n:07}") for n in range(_ * 90, _ * 90 + 90))
        )
    await office.hears(desk.a_department("sales", revision=3, max_wait_seconds=90))
    waiting = "select count(*) from chats where state = 'queued'"
    assert await office.contact.count(waiting) == 180
    await office.goes_by(minutes=1)
    assert await office.contact.count(waiting) == 90
    await office.goes_by(minutes=1)
    assert await office.contact.count(waiting) == 0


async def test_a_shorter_limit_of_the_department_that_took_over_counts_for_what_moved_there(
    office: Office,
) -> None:
    await office.agent("bob", revision=2, capacity=1, departments=("care",))
    await office.writes(5, words="care")
    await office.hears(desk.a_department("care", revision=2, max_wait_seconds=300))
    await office.hears(desk.a_department("sales", revision=3, retired=True, move_to="care"))
    assert await office.queue("care") == [2]
    await office.goes_by(minutes=6)
    assert (await office.chats())[2] == ("diverted", None)
