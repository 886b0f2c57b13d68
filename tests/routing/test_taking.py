"""Agents take chats out of a queue: where it is allowed, who may, what becomes of an offer, and races."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.fold import fold
from services.routing.model import Agent, Facts, State
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatTake
from shared.contracts.chats import Availability, ChatAssigned, ChatCommandRefused, ChatOfferEnded
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, received
from tests.routing.builders import ANN, BOB, a_calendar, a_chat, a_department, an_agent, an_offer, facts
from tests.routing.contact import WORKERS
from tests.routing.office import Office
from tests.routing.wrongs import MISCOUNTED

WAITS = a_chat()
OFFERED = a_chat(offer=an_offer("bob", kind="assign", department_id="sales"))
HOURS = {"afternoons": a_calendar("13:00", "17:00")}


def here(*team: Agent, **sales: Any) -> Facts:
    departments = (a_department(**{"take_allowed": True, **sales}), a_department("care"))
    return facts(chats=(WAITS,), agents=team, departments=departments, calendars=HOURS)


def answer(known: Facts, by: Actor = ANN) -> str:
    changes = fold(known, [received(ChatTake(by=by, chat_id=WAITS.chat_id))], STEPS, NOON)
    (said,) = [
        e.data for e in changes.outcome.outgoing if isinstance(e.data, ChatAssigned | ChatCommandRefused)
    ]
    return str(said.reason)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(here(an_agent()), "taken", id="with a free slot"),
        pytest.param(here(an_agent(load=3)), "agent_full", id="without one"),
        pytest.param(here(an_agent(state="away")), "agent_away", id="away"),
        pytest.param(here(an_agent(draining=True)), "agent_away", id="draining"),
        pytest.param(here(an_agent(state="offline")), "agent_offline", id="offline"),
        pytest.param(here(an_agent(departments=frozenset({"care"}))), "not_a_member", id="of another one"),
        pytest.param(here(an_agent(roles=frozenset({"supervisor"}))), "unknown_agent", id="no agent"),
        pytest.param(here(), "unknown_agent", id="nobody"),
        pytest.param(here(an_agent(), take_allowed=False), "take_not_allowed", id="where it is not allowed"),
        pytest.param(here(an_agent(), calendar_id="afternoons"), "department_closed", id="after hours"),
        pytest.param(here(an_agent(), calendar_id="lost"), "department_closed", id="while it is held"),
        pytest.param(
            facts(chats=(replace(WAITS, department_id="gone"),), agents=(an_agent(),)),
            "unknown_department",
            id="of a department that is not there",
        ),
    ],
)
def test_who_may_take_a_chat_that_waits(known: Facts, expected: str) -> None:
    assert answer(known) == expected


def test_who_is_no_longer_in_time_is_told_what_became_of_the_chat() -> None:
    held = replace(WAITS, state=State.ASSIGNED, agent_id="bob", queued_at=None)
    known = facts(chats=(held,), agents=(an_agent(), an_agent("bob", load=1)))
    (event,) = fold(known, [received(ChatTake(by=ANN, chat_id=held.chat_id))], STEPS, NOON).outcome.outgoing
    assert isinstance(event.data, ChatCommandRefused)
    assert (event.data.reason, event.data.detail) == (
        "not_queued",
        "chat_id names a chat that is assigned, allowed here: queued",
    )


@pytest.mark.parametrize(("by", "outcome", "loads"), [(ANN, "taken", (1, 0)), (BOB, "accepted", (0, 1))])
def test_a_chat_that_somebody_is_asked_for_can_be_taken_by_others_and_by_them(
    by: Actor, outcome: str, loads: tuple[int, int]
) -> None:
    known = replace(
        here(an_agent(), an_agent("bob", load=1, capacity=1, misses=1)), chats={OFFERED.key: OFFERED}
    )
    changes = fold(known, [received(ChatTake(by=by, chat_id=OFFERED.chat_id))], STEPS, NOON)
    said = [event.data for event in changes.outcome.outgoing]
    assert [one.outcome for one in said if isinstance(one, ChatOfferEnded)] == [outcome]
    assert [one.agent_id for one in said if isinstance(one, ChatAssigned)] == [by.id]
    after = {agent.agent_id: agent for agent in changes.agents}
    assert (getattr(after.get("ann"), "load", 0), after["bob"].load) == loads
    assert after["bob"].misses == (0 if by is BOB else 1), "who is overtaken did not miss it"


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Eight agents of sales are away while three customers write; then all are there, for one chat each."""
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    office = Office(database)
    await office.open()
    await office.hears(desk.a_department("sales", revision=2, take_allowed=True, calendar="lost"))
    for n in range(WORKERS):
        await office.agent(f"agent-{n}", capacity=1, departments=("sales",))
    await office.writes(1, 2, 3)
    await office.contact.connect()
    yield office
    await database.close()


@pytest.mark.servers
async def test_of_eight_who_take_one_chat_one_has_it(office: Office) -> None:
    """The queue is held for a calendar that has not come; once it is there, whoever is first has the chat."""
    assert await office.queue() == [1, 2, 3]
    chat_id = await office.chat_id(2)
    await office.contact.hear(desk.a_department("sales", revision=3, take_allowed=True))
    takes = [[ChatTake(by=Actor(role="agent", id=f"agent-{n}"), chat_id=chat_id)] for n in range(WORKERS)]
    await office.contact.hear_at_once(takes)
    said = [event.data for _, event in await office.contact.said()]
    refusals = [one.reason for one in said if isinstance(one, ChatCommandRefused)]
    assert refusals == ["not_queued"] * (WORKERS - 1)
    assert [one.reason for one in said if isinstance(one, ChatAssigned)] == ["taken"]
    await office.contact.sweep()
    assert await office.queue() == []
    assert await office.contact.rows(MISCOUNTED) == []


@pytest.mark.servers
async def test_who_takes_three_chats_at_once_with_one_slot_has_one(office: Office) -> None:
    await office.contact.hear(desk.a_department("sales", revision=3, take_allowed=True))
    me = Actor(role="agent", id="agent-0")
    await office.contact.hear_at_once([[ChatTake(by=me, chat_id=await office.chat_id(n))] for n in (1, 2, 3)])
    said = [event.data for _, event in await office.contact.said()]
    refusals = [one.reason for one in said if isinstance(one, ChatCommandRefused)]
    assert refusals == ["agent_full"] * 2
    others = (*(f"agent-{n}" for n in range(1, WORKERS)), "ann")
    available = [one.available for one in said if isinstance(one, ChatCommandRefused)]
    assert available == [Availability(departments=("sales",), agents=others)] * 2
    assert await office.contact.count("select load from agents where agent_id = 'agent-0'") == 1
