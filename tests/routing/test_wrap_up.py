"""Wrap-up: the slot of a chat that ended stays held, until its time is over or its customer goes on in it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from services.routing.app import STEPS, unlike
from services.routing.decisions.fold import fold
from services.routing.model import Agent, Changes, Chat, Closing, Department, Documents, Facts, State, Tenant
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose, ChatEndWrapUp, ChatMarkPending
from shared.contracts.chats import ChatClosed, ChatCommandRefused, ChatFact, ChatWrapUpEnded
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import Hints
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, a_message, received
from tests.routing.builders import (
    ADA,
    ANN,
    BOB,
    SUE,
    a_calendar,
    a_chat,
    a_department,
    a_diverted_chat,
    a_pending_chat,
    an_agent,
    an_assigned_chat,
    an_offer,
    facts,
    minutes,
)
from tests.routing.contact import WORKERS
from tests.routing.office import Office
from tests.routing.wrongs import MISCOUNTED, WRAPPED_UP_BY_NOBODY

MINUTE = timedelta(minutes=1)
WRAPS_UP = a_department(wrap_up=MINUTE)
HELD = an_assigned_chat()
FULL = an_agent(load=3)


def said(changes: Changes, kind: type[Any]) -> list[Any]:
    return [event.data for event in changes.outcome.outgoing if isinstance(event.data, kind)]


def load_of(known: Facts, changes: Changes, agent: str) -> int:
    key = (TENANT, agent)
    return next((one.load for one in changes.agents if one.key == key), known.agents[key].load)


def here(chat: Chat, *team: Agent, department: Department = WRAPS_UP) -> Facts:
    return facts(chats=(chat,), agents=team, departments=(department, a_department("care")))


@pytest.mark.parametrize(
    ("known", "load", "until"),
    [
        pytest.param(here(HELD, FULL), 3, NOON + MINUTE, id="of a chat that somebody holds"),
        pytest.param(here(HELD, FULL, department=a_department()), 2, None, id="where nobody wraps up"),
        pytest.param(here(a_pending_chat(), FULL), 3, None, id="parked: it has no slot"),
        pytest.param(here(a_chat(), FULL), 3, None, id="in the queue"),
        pytest.param(here(HELD, an_agent(load=3, state="away")), 3, NOON + MINUTE, id="of somebody away"),
        pytest.param(here(HELD, an_agent(load=3, state="offline")), 2, None, id="of somebody offline"),
        pytest.param(here(replace(HELD, department_id="care"), FULL), 2, None, id="of another department"),
        pytest.param(
            here(replace(HELD, offer=an_offer("bob")), FULL, an_agent("bob", load=1)),
            3,
            NOON + MINUTE,
            id="while it is offered to another",
        ),
    ],
)
def test_a_chat_s_end_keeps_its_slot(known: Facts, load: int, until: datetime | None) -> None:
    (chat_id,) = (key[1] for key in known.chats)
    changes = fold(known, [received(ChatClose(by=SUE, chat_id=chat_id))], STEPS, NOON)
    (closed,) = said(changes, ChatClosed)
    assert (closed.wrap_up_until, load_of(known, changes, "ann")) == (until, load)
    assert [due.at for due in changes.outcome.schedule if due.kind == "wrap_up_over"] == [until] * bool(until)


def test_a_customer_s_own_end_is_wrapped_up_too_and_a_ticket_s_is_not() -> None:
    known = here(HELD, FULL)
    assert load_of(known, fold(known, [received(a_message("//end"))], STEPS, NOON), "ann") == 3
    known = here(a_diverted_chat(), FULL)
    (closed,) = said(fold(known, [received(a_message("//end"))], STEPS, NOON), ChatClosed)
    assert closed.wrap_up_until is None


def test_a_retired_department_s_chats_are_wrapped_up_as_its_heir_has_it() -> None:
    known = Documents(Tenant(TENANT, "sales"), {"sales": WRAPS_UP}, moves={"shop": "sales"})
    found = replace(here(replace(HELD, department_id="shop"), FULL), directory={TENANT: known})
    changes = fold(found, [received(ChatClose(by=ANN, chat_id=HELD.chat_id))], STEPS, NOON)
    assert said(changes, ChatClosed)[0].wrap_up_until == NOON + MINUTE


ENDED = an_assigned_chat(
    chat_id="chat-before",
    state=State.CLOSED,
    agent_id=None,
    previous_agent_id="ann",
    wrap_up_until=NOON + MINUTE,
)
HOURS = {"mornings": a_calendar("08:00", "11:00"), "days": a_calendar("08:00", "17:00")}


def after_the_end(ann: Agent, *, ago: float = 1, waiting: int = 0, **sales: Any) -> Facts:
    """Ann wraps up; Bob is idle, unless others wait: then he is full."""
    return facts(
        chats=(ENDED,),
        agents=(ann, an_agent("bob", load=3 if waiting else 0)),
        departments=(a_department(**{"wrap_up": MINUTE, **sales}),),
        calendars=HOURS,
        waiting=waiting,
        closings={ENDED.pair.key: Closing("chat-before", "ann", NOON - minutes(ago), wrapping_up=True)},
    )


HERS = ("ann", "assigned", 3, ["continued"])


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(after_the_end(FULL), HERS, id="full but for it"),
        pytest.param(after_the_end(an_agent(load=1)), ("ann", "assigned", 1, ["continued"]), id="with room"),
        pytest.param(after_the_end(FULL, waiting=4), HERS, id="while others wait: they cannot have it"),
        pytest.param(after_the_end(FULL, calendar_id="days"), HERS, id="during hours"),
        pytest.param(
            after_the_end(FULL, mode="offer"), (None, "queued", 3, ["continued"]), id="who is asked first"
        ),
        pytest.param(
            after_the_end(FULL, calendar_id="mornings"), (None, "diverted", 3, []), id="after hours"
        ),
        pytest.param(
            after_the_end(FULL, calendar_id="lost"),
            (None, "queued", 3, []),
            id="while the calendar is missing",
        ),
        pytest.param(after_the_end(an_agent(load=3, state="away")), ("bob", "assigned", 3, []), id="away"),
        pytest.param(
            after_the_end(an_agent(load=3, state="offline")), ("bob", "assigned", 3, []), id="offline"
        ),
        pytest.param(
            after_the_end(an_agent(load=3, draining=True)), ("bob", "assigned", 3, []), id="draining"
        ),
        pytest.param(
            after_the_end(an_agent(load=3, departments=frozenset({"care"}))),
            ("bob", "assigned", 3, []),
            id="no member any more",
        ),
        pytest.param(
            after_the_end(an_agent(load=3, capacity=2)), ("bob", "assigned", 3, []), id="above their capacity"
        ),
        pytest.param(
            after_the_end(FULL, ago=15.1, last_agent_within=timedelta(0)),
            ("bob", "assigned", 3, []),
            id="too late to be preferred",
        ),
        pytest.param(
            after_the_end(FULL, waiting=4, ago=15.1, last_agent_within=timedelta(0)),
            (None, "queued", 3, []),
            id="too late, while others wait",
        ),
    ],
)
def test_whether_a_customer_who_writes_again_has_the_slot_of_their_agent_s_wrap_up(
    known: Facts, expected: tuple[str | None, str, int, list[str]]
) -> None:
    changes = fold(known, [received(a_message())], STEPS, NOON)
    chat = said(changes, ChatFact)[-1]
    ends = [one.reason for one in said(changes, ChatWrapUpEnded)]
    if chat.state == "assigned":
        assert list(unlike(cast(Event[ChatFact], changes.outcome.outgoing[-1]), {})) == []
    assert (chat.agent_id, chat.state, load_of(known, changes, "ann"), ends) == expected
    if ends:
        assert chat.why["wrap_up_of"] == "chat-before"
        assert changes.closings[ENDED.pair.key].wrapping_up is False


@pytest.mark.parametrize(
    ("ann", "bob", "gets_it", "ends"),
    [
        pytest.param({"french"}, {"french"}, "ann", ["continued"], id="which she has"),
        pytest.param({"dutch"}, {"french"}, "bob", [], id="which somebody else has"),
        pytest.param(set(), set(), None, [], id="which nobody has"),
    ],
)
def test_a_customer_who_asks_for_skills_next_has_the_slot_of_who_has_them(
    ann: set[str], bob: set[str], gets_it: str | None, ends: list[str]
) -> None:
    known = after_the_end(replace(FULL, skills=frozenset(ann)))
    other = an_agent("bob", skills=frozenset(bob))
    known = replace(known, agents={**known.agents, other.key: other})
    message = a_message(hints=Hints(skills=("french",)))
    changes = fold(known, [received(message)], STEPS, NOON)
    assert said(changes, ChatFact)[-1].agent_id == gets_it
    assert [one.reason for one in said(changes, ChatWrapUpEnded)] == ends


def test_a_fallback_may_be_where_the_agent_goes_on() -> None:
    ann = an_agent(load=3, departments=frozenset({"care"}))
    departments = (a_department(calendar_id="mornings", fallback_id="care"), a_department("care"))
    known = replace(after_the_end(ann), agents={ann.key: ann})
    known.directory[TENANT].departments.update({one.department_id: one for one in departments})
    known = replace(known, locked=frozenset(one.key for one in departments))
    changes = fold(known, [received(a_message())], STEPS, NOON)
    chat = said(changes, ChatFact)[-1]
    assert (chat.department_id, chat.agent_id, load_of(known, changes, "ann")) == ("care", "ann", 3)


def done(**command: Any) -> ChatEndWrapUp:
    return ChatEndWrapUp(**{"by": ANN, "chat_id": "chat-before", **command})


DONE = done()


@pytest.mark.parametrize(
    ("known", "command", "reason", "detail"),
    [
        pytest.param(ENDED, DONE, None, None, id="whose it is"),
        pytest.param(ENDED, done(by=SUE), None, None, id="a supervisor"),
        pytest.param(ENDED, done(by=ADA), None, None, id="an admin"),
        pytest.param(ENDED, done(by=BOB), "not_your_chat", None, id="somebody else"),
        pytest.param(
            ENDED,
            done(by=Actor(role="customer")),
            "role_not_allowed",
            "by.role is 'customer', allowed here: agent, supervisor, admin",
            id="the customer",
        ),
        pytest.param(
            ENDED.but(wrap_up_until=None),
            DONE,
            "not_wrapping_up",
            "chat_id names a chat that is closed, and that nobody wraps up",
            id="when it is over",
        ),
        pytest.param(
            an_assigned_chat(chat_id="chat-before"),
            DONE,
            "not_wrapping_up",
            "chat_id names a chat that is assigned, and that nobody wraps up",
            id="before the end",
        ),
        pytest.param(
            ENDED,
            done(expected_assignment_version=0),
            "stale_assignment",
            "expected_assignment_version is 0, the chat's is 1",
            id="by an older view",
        ),
        pytest.param(
            a_chat(chat_id="another"),
            DONE,
            "unknown_chat",
            "chat_id 'chat-before' is no chat of this tenant",
            id="of an unknown chat",
        ),
    ],
)
def test_who_may_say_that_a_wrap_up_is_done(
    known: Chat, command: ChatEndWrapUp, reason: str | None, detail: str | None
) -> None:
    changes = fold(here(known, FULL), [received(command)], STEPS, NOON)
    (told,) = (event.data for event in changes.outcome.outgoing)
    if reason is None:
        assert isinstance(told, ChatWrapUpEnded)
        assert (told.reason, told.by, told.previous_agent_id, told.agent_load) == (
            "done",
            command.by,
            "ann",
            2,
        )
        assert ("wrap_up_over", "acme:chat-before") in changes.outcome.cancel
    else:
        assert isinstance(told, ChatCommandRefused)
        assert (told.reason, told.detail, changes.agents) == (reason, detail, ())


def test_a_slot_is_given_back_once_however_often_somebody_says_so() -> None:
    known = here(ENDED, FULL)
    changes = fold(known, [received(DONE), received(DONE)], STEPS, NOON)
    assert [one.reason for one in said(changes, ChatCommandRefused)] == ["not_wrapping_up"]
    assert load_of(known, changes, "ann") == 2


def test_a_chat_that_ends_and_goes_on_in_one_batch_is_hers_in_the_same_slot() -> None:
    known = here(HELD, FULL, an_agent("bob"))
    close = ChatClose(by=ANN, chat_id=HELD.chat_id)
    changes = fold(known, [received(close), received(a_message())], STEPS, NOON)
    assert said(changes, ChatFact)[-1].agent_id == "ann"
    assert load_of(known, changes, "ann") == 3


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Ann, of sales and care, has two slots; sales wraps up for a minute."""
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    office = Office(database)
    await office.open()
    await office.hears(
        desk.a_department("sales", revision=2, wrap_up_seconds=60),
        desk.an_agent_document("ann", revision=2, capacity=2, departments=("sales", "care")),
    )
    yield office
    assert await office.contact.rows(WRAPPED_UP_BY_NOBODY) == []
    await office.has_nothing_wrong()
    await database.close()


async def closes(office: Office, *customers: int) -> None:
    for customer in customers:
        await office.hears(ChatClose(by=SUE, chat_id=await office.chat_id(customer)))


async def load(office: Office) -> int:
    return await office.contact.count("select load from agents where agent_id = 'ann'")


async def held(office: Office) -> int:
    return await office.contact.count("select count(*) from chats where wrap_up_until is not null")


@pytest.mark.servers
async def test_who_waits_gets_the_slot_the_moment_the_wrap_up_is_over(office: Office) -> None:
    await office.writes(1, 2, 3)
    await closes(office, 1)
    await office.goes_by(seconds=59)
    assert await office.queue() == [3]
    await office.goes_by(seconds=1)
    assert (await office.chats())[3] == ("assigned", "ann")
    (ended,) = await office.said(ChatWrapUpEnded)
    assert (ended.reason, ended.previous_agent_id, ended.agent_load) == ("over", "ann", 1)


@pytest.mark.servers
async def test_who_is_done_early_gets_the_next_chat_at_once_and_no_second_one_later(office: Office) -> None:
    await office.writes(1, 2, 3, 4)
    await closes(office, 1)
    await office.hears(ChatEndWrapUp(by=ANN, chat_id=await office.chat_id(1)))
    assert (await office.queue(), await load(office)) == ([4], 2)
    await office.goes_by(minutes=5)
    assert (await office.queue(), await load(office)) == ([4], 2)
    assert [one.reason for one in await office.said(ChatWrapUpEnded)] == ["done"]


@pytest.mark.servers
async def test_its_end_waits_for_no_input_that_was_not_read_yet(office: Office) -> None:
    await office.writes(1, 2, 3)
    await closes(office, 1)
    await office.contact.rows("delete from positions returning 1")
    await office.goes_by(seconds=60)
    assert await office.queue() == []


@pytest.mark.servers
async def test_after_an_outage_all_slots_are_free_at_once(office: Office) -> None:
    await office.writes(1, 2, 3, 4)
    await closes(office, 1, 2)
    office.clock.time += timedelta(hours=5)
    await office.contact.sweep_once()
    assert await held(office) == 0
    await office.contact.sweep()


@pytest.mark.servers
async def test_the_slot_is_held_in_every_department_of_theirs(office: Office) -> None:
    await office.writes(1, 2)
    await closes(office, 1)
    await office.writes(3, words="care")
    assert await office.queue("care") == [3]
    await office.goes_by(minutes=1)
    assert await office.queue("care") == []


@pytest.mark.servers
async def test_a_customer_who_writes_again_has_the_slot_and_nobody_else_gets_one_more(office: Office) -> None:
    await office.writes(1, 2, 3)
    await closes(office, 1)
    await office.writes(1)
    assert await office.contact.rows(
        "select state, agent_id from chats where customer_address like '%01' order by opened_at"
    ) == [("closed", None), ("assigned", "ann")]
    assert (await office.queue(), await load(office), await held(office)) == ([3], 2, 0)
    await office.goes_by(minutes=2)
    assert (await office.queue(), await load(office)) == ([3], 2)
    assert [one.reason for one in await office.said(ChatWrapUpEnded)] == ["continued"]
    assert await office.contact.count("select count(*) from pairs where wrapping_up") == 0


@pytest.mark.servers
async def test_two_chats_of_one_customer_are_wrapped_up_by_each_of_their_agents(office: Office) -> None:
    await office.agent("bob", capacity=1, departments=("sales",))
    await office.writes(1)
    await closes(office, 1)
    holder = "bob" if (await load(office)) == 0 else "ann"
    await office.is_now(holder, "away")
    await office.writes(1)
    (chat,) = await office.contact.rows("select chat_id from chats where state = 'assigned'")
    await office.hears(ChatClose(by=SUE, chat_id=chat[0]))
    assert await held(office) == 2
    await office.goes_by(minutes=1)
    assert await held(office) == 0


@pytest.mark.servers
async def test_what_is_held_keeps_its_time_whatever_becomes_of_department_and_agent(office: Office) -> None:
    await office.writes(1, 2)
    await closes(office, 1)
    await office.hears(
        desk.a_department("sales", revision=3),
        desk.an_agent_document("ann", revision=3, capacity=1, departments=("sales", "care")),
    )
    await office.is_now("ann", "offline", "online")
    assert (await load(office), await held(office)) == (2, 1)
    await closes(office, 2)
    assert (await load(office), await held(office)) == (1, 1), "the department wraps up no more"
    await office.hears(
        desk.a_department("sales", revision=4, retired=True, move_to="care"),
        desk.an_agent_document("ann", revision=4, capacity=1, retired=True),
    )
    await office.goes_by(minutes=1)
    assert (await load(office), await held(office)) == (0, 0)


@pytest.mark.servers
async def test_a_parked_chat_that_is_closed_leaves_nothing_to_wrap_up(office: Office) -> None:
    await office.writes(1)
    await office.hears(ChatMarkPending(by=SUE, chat_id=await office.chat_id(1), reason="internal"))
    await closes(office, 1)
    assert (await load(office), await held(office)) == (0, 0)


@pytest.mark.servers
async def test_loads_stay_right_when_ends_closes_and_new_messages_meet(office: Office) -> None:
    """Customers go on, or supervisors end a wrap-up, at the very moment at which it is over, or do not."""
    await office.hears(desk.an_agent_document("ann", revision=3, capacity=6))
    customers = range(10, 22)
    await office.contact.connect()
    for _ in range(4):
        await office.contact.hear_at_once(
            [[a_message(customer=f"+278200000{n:02}", sent_at=office.clock.time)] for n in customers]
        )
        live = await office.contact.rows("select chat_id from chats where state = 'assigned'")
        await office.contact.hear_at_once([[ChatClose(by=SUE, chat_id=chat_id)] for (chat_id,) in live])
        office.clock.time += MINUTE
        again = [n for n in customers if n % 3]
        at = office.clock.time
        batches: list[list[Model]] = [[a_message(customer=f"+278200000{n:02}", sent_at=at)] for n in again]
        batches += [[ChatEndWrapUp(by=SUE, chat_id=chat_id)] for (chat_id,) in live[::2]]
        await asyncio.gather(office.contact.sweep(), office.contact.hear_at_once(batches))
        assert await office.contact.rows(MISCOUNTED) == []
        await office.contact.sweep()
        await office.has_nothing_wrong()
    await office.goes_by(minutes=1)
    begun = [one.chat_id for one in await office.said(ChatClosed) if one.wrap_up_until is not None]
    ended = [one.chat_id for one in await office.said(ChatWrapUpEnded)]
    assert sorted(begun) == sorted(ended), "each has one end"
