"""Flags, priorities and moves by hand: who may, what follows, and every refusal."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import ANSWER_OVERDUE, CUSTOMER_SILENT, WAITED_TOO_LONG
from services.routing.decisions.fold import fold
from services.routing.model import Agent, Changes, Chat, Department, Facts, State
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatClose,
    ChatCommand,
    ChatFlag,
    ChatReply,
    ChatSetDepartment,
    ChatSetPriority,
    ChatUnflag,
)
from shared.contracts.content import Text
from shared.contracts.event import Model
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, received
from tests.pipeline.builders import SetClock
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
    facts,
    minutes,
)
from tests.routing.contact import Contact

CUSTOMER = Actor(role="customer")

HELD, QUEUED, PARKED = an_assigned_chat(), a_chat(), a_pending_chat()
FLAGGED = replace(HELD, flagged=True)
ANSWERED: dict[str, Any] = {"last_word": "business", "silent_since": NOON - minutes(90)}
CARE = frozenset({"care"})
ABOUT = {"chat_id": HELD.chat_id}


def a_command(kind: type[ChatCommand], by: Actor = SUE, **fields: Any) -> ChatCommand:
    needed: dict[type[ChatCommand], dict[str, Any]] = {
        ChatSetPriority: {"priority": 5},
        ChatSetDepartment: {"department_id": "care"},
    }
    return kind(**{"by": by, **ABOUT, **needed.get(kind, {}), **fields})


def here(chat: Chat | None = HELD, *team: Agent, care: Department | None = None, **fields: Any) -> Facts:
    """Ann, of sales, holds the chat; Bob, of care, is free."""
    return facts(
        chats=(chat,) if chat else (),
        agents=team or (an_agent(load=1), an_agent("bob", departments=CARE)),
        departments=(a_department(), care or a_department("care")),
        calendars={"afternoons": a_calendar("13:00", "17:00")},
        **fields,
    )


def after(known: Facts, *inputs: Model) -> Changes:
    return fold(known, [received(one) for one in inputs], STEPS, NOON)


def said(changes: Changes) -> list[str]:
    return [event.type.split(".")[2] for event in changes.outcome.outgoing]


def refusal(changes: Changes) -> chats.ChatCommandRefused:
    (event,) = changes.outcome.outgoing
    assert isinstance(event.data, chats.ChatCommandRefused)
    assert not changes.chats
    return event.data


HOLDERS = (ChatFlag, ChatUnflag)
SUPERVISORS = (ChatSetPriority, ChatSetDepartment)


@pytest.mark.parametrize(
    ("kinds", "chat", "by", "reason"),
    [
        (HOLDERS, None, ANN, "unknown_chat"),
        (HOLDERS, a_diverted_chat(), SUE, "chat_not_live"),
        (HOLDERS, replace(FLAGGED, state=State.CLOSED), SUE, "chat_not_live"),
        (HOLDERS, FLAGGED, BOB, "not_your_chat"),
        (HOLDERS, QUEUED, ANN, "not_your_chat"),
        (HOLDERS, FLAGGED, CUSTOMER, "role_not_allowed"),
        (HOLDERS, FLAGGED, Actor(role="system"), "role_not_allowed"),
        (SUPERVISORS, None, SUE, "unknown_chat"),
        (SUPERVISORS, a_diverted_chat(), SUE, "chat_not_live"),
        (SUPERVISORS, replace(HELD, state=State.CLOSED), SUE, "chat_not_live"),
        (SUPERVISORS, HELD, ANN, "role_not_allowed"),
        (SUPERVISORS, HELD, CUSTOMER, "role_not_allowed"),
    ],
)
def test_who_may_not_mark_or_move_a_chat(
    kinds: tuple[type[ChatCommand], ...], chat: Chat | None, by: Actor, reason: str
) -> None:
    for kind in kinds:
        assert refusal(after(here(chat), a_command(kind, by))).reason == reason


@pytest.mark.parametrize("kind", [*HOLDERS, *SUPERVISORS])
def test_who_marks_by_an_older_assignment_is_refused(kind: type[ChatCommand]) -> None:
    command = a_command(kind, SUE, expected_assignment_version=7)
    assert refusal(after(here(FLAGGED), command)).reason == "stale_assignment"


@pytest.mark.parametrize("by", [ANN, SUE, ADA], ids=["its agent", "a supervisor", "an admin"])
def test_who_may_flag_and_unflag(by: Actor) -> None:
    assert said(after(here(), a_command(ChatFlag, by))) == ["flagged"]
    assert said(after(here(FLAGGED), a_command(ChatUnflag, by))) == ["unflagged"]


@pytest.mark.parametrize("chat", [QUEUED, HELD, PARKED], ids=["queued", "assigned", "parked"])
def test_any_live_chat_can_be_flagged_and_says_so(chat: Chat) -> None:
    changes = after(here(chat), a_command(ChatFlag, SUE, note="a lawyer"))
    assert (changes.chats[0].flagged, changes.chats[0].state) == (True, chat.state)
    assert changes.outcome.outgoing[0].data.note == "a lawyer"  # type: ignore[attr-defined]


def test_only_what_is_flagged_can_be_unflagged() -> None:
    assert refusal(after(here(), a_command(ChatUnflag, ANN))).reason == "not_flagged"


def test_a_flag_holds_the_customer_s_silence_up_and_its_end_starts_it_anew() -> None:
    flagging = after(here(replace(HELD, **ANSWERED)), a_command(ChatFlag, ANN))
    assert flagging.outcome.cancel == [(CUSTOMER_SILENT, f"{TENANT}:{HELD.chat_id}")]
    words = ChatReply(by=ANN, **ABOUT, request_id="r1", content=Text(text="hi"))
    assert after(here(FLAGGED), words).outcome.schedule == []
    unflagging = after(here(replace(FLAGGED, **ANSWERED)), a_command(ChatUnflag, ANN))
    assert [(due.kind, due.at) for due in unflagging.outcome.schedule] == [
        (CUSTOMER_SILENT, NOON + timedelta(hours=4))
    ]


def test_a_flag_holds_the_agent_s_silence_up_and_its_end_starts_it_anew() -> None:
    flagging = after(here(replace(HELD, owes_since=NOON)), a_command(ChatFlag, SUE))
    assert flagging.outcome.cancel == [(ANSWER_OVERDUE, f"{TENANT}:{HELD.chat_id}")]
    unflagging = after(here(replace(FLAGGED, owes_since=NOON - minutes(90))), a_command(ChatUnflag, ANN))
    assert [(due.kind, due.at) for due in unflagging.outcome.schedule] == [
        (ANSWER_OVERDUE, NOON + minutes(10))
    ]


@pytest.mark.parametrize("chat", [QUEUED, HELD, PARKED], ids=["queued", "assigned", "parked"])
def test_a_priority_is_set_and_everything_else_stays(chat: Chat) -> None:
    changes = after(here(chat), a_command(ChatSetPriority, ADA))
    assert changes.chats == (replace(chat, priority=5, version=chat.version + 1),)
    (told,) = (event.data.model_dump() for event in changes.outcome.outgoing)
    assert (told["priority"], told["by"]["id"], changes.outcome.schedule) == (5, "ada", [])


def test_a_chat_that_waits_enters_the_other_queue_by_its_arrival() -> None:
    since = NOON - minutes(30)
    chat = replace(QUEUED, waiting_since=since)
    known = here(
        chat, an_agent(load=3), an_agent("bob", departments=CARE), queue_lengths={(TENANT, "care"): 1}
    )
    changes = after(known, a_command(ChatSetDepartment, note="wrong place"))
    assert said(changes) == ["moved", "queued"]
    (moved,) = changes.chats
    assert (moved.department_id, moved.waiting_since, moved.queued_at) == ("care", since, NOON)
    told = changes.outcome.outgoing[0].data.model_dump()
    assert (told["previous_department_id"], told["department_id"]) == ("sales", "care")
    assert (told["reason"], told["note"], told["by"]["id"]) == ("by_hand", "wrong place", "sue")
    assert (WAITED_TOO_LONG, f"{TENANT}:{chat.chat_id}") in changes.outcome.cancel


def test_a_chat_that_waits_goes_to_whoever_is_free_there() -> None:
    changes = after(here(QUEUED), a_command(ChatSetDepartment))
    assert said(changes) == ["moved", "assigned"]
    assert (changes.chats[0].agent_id, changes.chats[0].department_id) == ("bob", "care")


@pytest.mark.parametrize("chat", [HELD, PARKED], ids=["assigned", "parked"])
def test_a_chat_that_somebody_has_stays_theirs_in_the_other_department(chat: Chat) -> None:
    changes = after(here(chat), a_command(ChatSetDepartment))
    assert said(changes) == ["moved"]
    (moved,) = changes.chats
    assert (moved.department_id, moved.agent_id, moved.state) == ("care", "ann", chat.state)
    assert moved.assignment_version == chat.assignment_version
    assert not changes.agents


def test_an_answered_chat_waits_for_its_customer_by_the_patience_of_its_new_department() -> None:
    chat = replace(HELD, last_word="business", silent_since=NOON)
    care = a_department("care", inactivity_timeout=minutes(20))
    changes = after(here(chat, care=care), a_command(ChatSetDepartment))
    assert [(due.kind, due.at) for due in changes.outcome.schedule] == [(CUSTOMER_SILENT, NOON + minutes(20))]


FULL_BOB = an_agent("bob", departments=CARE, load=3)
BOTH = frozenset({"sales", "care"})


@pytest.mark.parametrize(
    ("known", "to", "reason"),
    [
        (here(), "nowhere", "unknown_department"),
        (here(), "sales", "same_department"),
        (here(care=a_department("care", calendar_id="afternoons")), "care", "department_closed"),
        (here(care=a_department("care", calendar_id="lost")), "care", "department_closed"),
        (here(HELD, an_agent(load=1)), "care", "nobody_online"),
        (here(HELD, an_agent(load=1), replace(FULL_BOB, state="away")), "care", "nobody_online"),
        (here(HELD, an_agent(load=1), FULL_BOB), "care", "all_full"),
        (here(QUEUED, an_agent(load=3, departments=BOTH), FULL_BOB), "care", "all_full"),
        (here(PARKED, an_agent(load=3, departments=BOTH), FULL_BOB), "care", "all_full"),
        (
            here(HELD, an_agent(load=3, state="away", departments=BOTH), FULL_BOB),
            "care",
            "all_full",
        ),
    ],
)
def test_no_chat_is_moved_where_nobody_is_available(known: Facts, to: str, reason: str) -> None:
    assert refusal(after(known, a_command(ChatSetDepartment, department_id=to))).reason == reason


def test_who_holds_the_chat_and_works_there_too_is_somebody_available() -> None:
    known = here(HELD, an_agent(load=3, departments=BOTH), FULL_BOB)
    assert said(after(known, a_command(ChatSetDepartment))) == ["moved"]


def test_a_refused_move_says_who_is_available_and_what_departments_there_are() -> None:
    known = here(HELD, an_agent(load=1), FULL_BOB)
    available = refusal(after(known, a_command(ChatSetDepartment))).available
    assert available is not None
    assert (available.departments, available.agents) == (("sales",), ("ann",))
    unknown = refusal(after(known, a_command(ChatSetDepartment, department_id="nowhere")))
    assert unknown.detail == "department_id 'nowhere' is none of: care, sales"
    role = refusal(after(known, a_command(ChatSetPriority, ANN)))
    assert role.detail == "by.role is 'agent', allowed here: supervisor, admin"


@pytest.fixture
async def centre(migrated: Migrated) -> AsyncIterator[tuple[Contact, SetClock]]:
    """Ann of sales has one chat and is full; three wait, a minute apart. Bob is of care."""
    clock = SetClock(NOON)
    database = Database(await migrated("routing"), "routing", connections=4)
    contact = Contact(database, workers=1, clock=clock)
    await contact.hear(
        desk.a_tenant(),
        desk.a_department(),
        desk.a_department("care"),
        desk.an_agent_document(capacity=1),
        desk.an_agent_document("bob", capacity=1, departments=("care",)),
        desk.agent_changed(),
        desk.agent_changed("bob"),
    )
    for n in range(4):
        await contact.hear(desk.a_message(customer=f"+2782000000{n}"))
        clock.pass_time(60)
    await contact.has_heard_everything()
    yield contact, clock
    await database.close()


async def chat_of(contact: Contact, n: int) -> str:
    rows = await contact.rows(f"select chat_id from chats where customer_address = '+2782000000{n}'")
    return str(rows[0][0])


async def with_agent(contact: Contact, agent: str) -> list[str]:
    rows = await contact.rows(
        f"select customer_address from chats where agent_id = '{agent}' and state = 'assigned'"
    )
    return [str(address)[-1] for (address,) in rows]


@pytest.mark.servers
async def test_priority_goes_before_arrival_and_arrival_orders_the_rest(
    centre: tuple[Contact, SetClock],
) -> None:
    contact, _ = centre
    await contact.hear(ChatSetPriority(by=SUE, chat_id=await chat_of(contact, 3), priority=1))
    served = []
    for _ in range(4):
        (now,) = await with_agent(contact, "ann")
        served.append(now)
        await contact.hear(ChatClose(by=ANN, chat_id=await chat_of(contact, int(now))))
        await contact.sweep()
    assert served == ["0", "3", "1", "2"]


@pytest.mark.servers
async def test_moved_chats_are_served_there_and_wait_there_at_most_as_long_as_there(
    centre: tuple[Contact, SetClock],
) -> None:
    contact, clock = centre
    for n in (2, 1):
        await contact.hear(ChatSetDepartment(by=SUE, chat_id=await chat_of(contact, n), department_id="care"))
    await contact.sweep()
    assert await with_agent(contact, "bob") == ["2"]
    assert [
        event.data.reason
        for _, event in await contact.said()
        if isinstance(event.data, chats.ChatCommandRefused)
    ] == ["all_full"]
    clock.pass_time(15 * 60)
    await contact.sweep()
    assert await contact.count("select count(*) from chats where state = 'diverted'") == 2


@pytest.mark.servers
async def test_a_flagged_chat_outlives_its_customer_s_silence(centre: tuple[Contact, SetClock]) -> None:
    contact, clock = centre
    first = await chat_of(contact, 0)
    await contact.hear(
        ChatReply(by=ANN, chat_id=first, request_id="r1", content=Text(text="hi")),
        ChatFlag(by=ANN, chat_id=first),
    )
    clock.pass_time(timedelta(hours=9).total_seconds())
    await contact.sweep()
    assert await with_agent(contact, "ann") == ["0"]
    await contact.hear(ChatUnflag(by=ANN, chat_id=first))
    clock.pass_time(timedelta(hours=4).total_seconds())
    await contact.sweep()
    assert await with_agent(contact, "ann") == []
