"""An agent who does not answer: when the chat goes to another, when it stays, and who is told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import ANSWER_OVERDUE, CUSTOMER_SILENT
from services.routing.decisions.fold import fold, fold_dues
from services.routing.decisions.needs import needs_of_dues, places_into
from services.routing.model import PARTED, Agent, Changes, Chat, Documents, State
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAssign, ChatClose, ChatMarkPending, ChatReply
from shared.contracts.content import Text
from shared.contracts.event import Model
from shared.platform.database import Database
from shared.platform.outcome import Due
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, a_message, received
from tests.pipeline.builders import SetClock
from tests.routing.builders import (
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

ANN, SUE = Actor(role="agent", id="ann"), Actor(role="supervisor", id="sue")
OWED = an_assigned_chat(owes_since=NOON)
ANSWERED = replace(OWED, last_word="business", silent_since=NOON, owes_since=NOON - minutes(60))
BUSY_ANN, BOB = an_agent(load=1), an_agent("bob")


def rang(chat: Chat, *team: Agent, at: float = 10, **known: Any) -> Changes:
    row = Due(ANSWER_OVERDUE, f"{TENANT}:{chat.chat_id}", TENANT, NOON + minutes(at), generation=1)
    found = facts(agents=team or (BUSY_ANN, BOB), chats=(chat,), **known)
    return fold_dues(found, [row], NOON + minutes(at + 30))


def after(chat: Chat, *inputs: Model, team: tuple[Agent, ...] = (BUSY_ANN, BOB), **known: Any) -> Changes:
    found = facts(agents=team, chats=(chat,), **known)
    return fold(found, [received(one) for one in inputs], STEPS, NOON)


def set_timers(changes: Changes) -> list[tuple[str, object]]:
    return [(due.kind, due.at) for due in changes.outcome.schedule if not due.sweep]


def said(changes: Changes) -> list[tuple[str, str | None]]:
    return [
        (event.type.split(".")[2], getattr(event.data, "reason", None)) for event in changes.outcome.outgoing
    ]


def test_the_time_to_answer_begins_with_the_customer_s_first_word_since_ours() -> None:
    sales = a_department(answer_timeout=minutes(3))
    changes = after(ANSWERED, a_message("1"), a_message("2"), departments=(sales,))
    assert set_timers(changes) == [(ANSWER_OVERDUE, NOON + minutes(3))]
    assert changes.chats[0].owes_since == NOON


def test_further_words_of_the_customer_give_no_more_time() -> None:
    changes = after(replace(OWED, owes_since=NOON - minutes(5)), a_message())
    assert (set_timers(changes), changes.chats[0].owes_since) == ([], NOON - minutes(5))


def test_whoever_gets_a_chat_has_the_whole_time() -> None:
    opened = fold(facts(agents=(an_agent(),)), [received(a_message())], STEPS, NOON)
    assert set_timers(opened) == [(ANSWER_OVERDUE, NOON + minutes(10))]
    given = after(
        replace(OWED, owes_since=NOON - minutes(9)),
        ChatAssign(by=SUE, chat_id=OWED.chat_id, agent_id="bob"),
    )
    assert set_timers(given) == [(ANSWER_OVERDUE, NOON + minutes(10))]


def test_an_answered_chat_that_is_given_away_owes_nothing() -> None:
    given = after(ANSWERED, ChatAssign(by=SUE, chat_id=OWED.chat_id, agent_id="bob"))
    assert (set_timers(given), given.outcome.cancel) == ([], [])


def test_an_answer_ends_the_wait_for_it() -> None:
    words = ChatReply(by=ANN, chat_id=OWED.chat_id, request_id="r1", content=Text(text="hi"))
    changes = after(replace(OWED, were_silent="bob"), words)
    assert [kind for kind, _ in changes.outcome.cancel] == [ANSWER_OVERDUE]
    assert [kind for kind, _ in set_timers(changes)] == [CUSTOMER_SILENT]
    assert changes.chats[0].were_silent == ""


@pytest.mark.parametrize(
    "command",
    [
        ChatClose(by=ANN, chat_id=OWED.chat_id),
        ChatMarkPending(by=ANN, chat_id=OWED.chat_id, reason="internal"),
    ],
    ids=["closed", "parked"],
)
def test_nobody_owes_an_answer_in_a_chat_that_is_over_or_parked(command: Model) -> None:
    changes = after(OWED, command)
    assert (ANSWER_OVERDUE, f"{TENANT}:{OWED.chat_id}") in changes.outcome.cancel
    assert ANSWER_OVERDUE not in {kind for kind, _ in set_timers(changes)}


def test_a_parked_chat_that_wakes_gives_its_agent_the_whole_time() -> None:
    changes = after(a_pending_chat(owes_since=NOON - minutes(90)), a_message())
    assert set_timers(changes) == [(ANSWER_OVERDUE, NOON + minutes(10))]


def test_a_silent_agent_s_chat_goes_to_another_who_is_available() -> None:
    changes = rang(OWED)
    assert said(changes) == [("assigned", "agent_silent")]
    (chat,) = changes.chats
    assert (chat.agent_id, chat.previous_agent_id, chat.were_silent) == ("bob", "ann", "ann")
    assert {agent.agent_id: agent.load for agent in changes.agents} == {"ann": 0, "bob": 1}
    assert set_timers(changes) == [(ANSWER_OVERDUE, NOON + minutes(50))]
    why = changes.outcome.outgoing[0].data.why  # type: ignore[attr-defined]
    assert (why["silent"], [agent_id for agent_id, *_ in why["shortlist"]]) == (["ann"], ["bob"])


def test_it_goes_to_nobody_who_was_silent_in_it_before() -> None:
    known = replace(OWED, agent_id="bob", were_silent="ann")
    team = (an_agent("ann"), an_agent("bob", load=1))
    assert said(rang(known, *team)) == [("alerted", None)]
    changes = rang(known, *team, an_agent("cid", load=2))
    assert changes.chats[0].agent_id == "cid"
    assert changes.chats[0].were_silent == PARTED.join(("ann", "bob"))


@pytest.mark.parametrize(
    ("others", "known"),
    [
        ((), {}),
        ((replace(BOB, load=3),), {}),
        ((replace(BOB, state="away"),), {}),
        ((replace(BOB, draining=True),), {}),
        ((replace(BOB, departments=frozenset({"care"})),), {}),
        ((replace(BOB, roles=frozenset({"supervisor"})),), {}),
        (
            (BOB,),
            {
                "departments": (a_department(calendar_id="hours"),),
                "calendars": {"hours": a_calendar("13:00", "17:00")},
            },
        ),
        ((BOB,), {"departments": (a_department("care"),)}),
    ],
    ids=[
        *("nobody else", "full", "away", "draining", "of another department", "no agent"),
        *("after hours", "its department is not known"),
    ],
)
def test_with_nobody_else_available_it_stays_and_supervisors_are_alerted_once(
    others: tuple[Agent, ...], known: dict[str, Any]
) -> None:
    changes = rang(OWED, BUSY_ANN, *others, **known)
    (event,) = changes.outcome.outgoing
    assert isinstance(event.data, chats.ChatAlerted)
    assert (event.data.kind, event.data.due_at) == ("answer_overdue", NOON + minutes(10))
    (chat,) = changes.chats
    assert (chat.agent_id, chat.version) == ("ann", OWED.version + 1)
    assert (changes.agents, changes.outcome.schedule) == ((), [])


@pytest.mark.parametrize(
    "chat",
    [
        ANSWERED,
        replace(OWED, flagged=True),
        a_pending_chat(owes_since=NOON),
        a_chat(owes_since=NOON),
        a_diverted_chat(owes_since=NOON),
        replace(OWED, state=State.CLOSED),
        replace(OWED, owes_since=None),
    ],
    ids=["answered", "flagged", "parked", "queued", "diverted", "closed", "from before there was a limit"],
)
def test_no_other_chat_is_taken_from_anybody(chat: Chat) -> None:
    changes = rang(chat)
    assert (changes.chats, changes.outcome.schedule) == ((), [])


@pytest.mark.parametrize(
    ("chat", "department", "until"),
    [
        (replace(OWED, owes_since=NOON + minutes(4)), {}, 14),
        (OWED, {"answer_timeout": minutes(20)}, 20),
    ],
    ids=["a later word", "a longer patience"],
)
def test_the_time_goes_on_though_the_clock_is_past_it_since_inputs_are_read_no_further(
    chat: Chat, department: dict[str, Any], until: int
) -> None:
    changes = rang(chat, departments=(a_department(**department),))
    assert not changes.chats
    assert set_timers(changes) == [(ANSWER_OVERDUE, NOON + minutes(until))]


def test_a_chat_of_a_retired_department_goes_on_in_the_one_that_took_over() -> None:
    found = facts(departments=(a_department("care"),)).directory[TENANT]
    moved = {TENANT: replace(found, moves={"sales": "care"})}
    bob = an_agent("bob", departments=frozenset({"care"}))
    changes = rang(OWED, BUSY_ANN, bob, departments=(a_department("care"),), directory=moved)
    assert [word for word, _ in said(changes)] == ["moved", "assigned"]
    assert (changes.chats[0].agent_id, changes.chats[0].department_id) == ("bob", "care")


def test_the_chat_s_department_is_locked_to_give_it_to_another() -> None:
    row = Due(ANSWER_OVERDUE, f"{TENANT}:{OWED.chat_id}", TENANT, NOON, generation=1)
    locked = places_into(needs_of_dues([row]), {OWED.key: OWED}, {}, {TENANT: Documents()})
    assert locked.keys() == {(TENANT, "sales")}


@pytest.fixture
async def centre(migrated: Migrated) -> AsyncIterator[tuple[Contact, SetClock]]:
    """Ann has a chat, Bob is away, nothing has been read up to anywhere yet; answers within 5 minutes."""
    clock = SetClock(NOON)
    database = Database(await migrated("routing"), "routing", connections=4)
    contact = Contact(database, workers=1, clock=clock)
    await contact.hear(
        desk.a_tenant(),
        desk.a_department(answer_timeout_seconds=300),
        desk.an_agent_document(),
        desk.an_agent_document("bob"),
        desk.agent_changed(),
        desk.agent_changed("bob", "away"),
        a_message(),
    )
    yield contact, clock
    await database.close()


async def holder(contact: Contact) -> str:
    return str((await contact.rows("select agent_id from chats"))[0][0])


async def alerts(contact: Contact) -> int:
    return sum(isinstance(event.data, chats.ChatAlerted) for _, event in await contact.said())


@pytest.mark.servers
async def test_the_first_who_is_free_when_the_time_is_over_gets_the_chat(
    centre: tuple[Contact, SetClock],
) -> None:
    contact, clock = centre
    await contact.has_heard_everything()
    await contact.hear(desk.agent_changed("bob", version=2))
    clock.pass_time(299)
    await contact.sweep()
    assert await holder(contact) == "ann"
    clock.pass_time(1)
    await contact.sweep()
    assert await holder(contact) == "bob"
    clock.pass_time(300)
    await contact.sweep()
    assert (await holder(contact), await alerts(contact)) == ("bob", 1)
    assert [tuple(row) for row in await contact.rows("select agent_id, load from agents order by 1")] == [
        ("ann", 0),
        ("bob", 1),
    ]


@pytest.mark.servers
async def test_nobody_is_judged_before_all_was_read_that_they_may_have_said(
    centre: tuple[Contact, SetClock],
) -> None:
    contact, clock = centre
    clock.pass_time(3_600)
    await contact.sweep()
    assert await alerts(contact) == 0
    (chat_id,) = (await contact.rows("select chat_id from chats"))[0]
    await contact.hear(ChatReply(by=ANN, chat_id=chat_id, request_id="r1", content=Text(text="hi")))
    await contact.has_heard_everything()
    await contact.sweep()
    assert (await holder(contact), await alerts(contact)) == ("ann", 0)


@pytest.mark.servers
async def test_supervisors_are_alerted_once_however_long_it_takes(centre: tuple[Contact, SetClock]) -> None:
    contact, clock = centre
    await contact.has_heard_everything()
    for _ in range(3):
        clock.pass_time(300)
        await contact.hear(a_message())
        await contact.sweep()
    assert (await holder(contact), await alerts(contact)) == ("ann", 1)
