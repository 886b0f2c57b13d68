"""Parked chats: no slot, no timers, and back to their agent when they go on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import AGENT_LOST, CUSTOMER_SILENT, PENDING_OVER, SERVE_QUEUE
from services.routing.decisions.fold import fold, fold_dues
from services.routing.decisions.needs import needs_of_dues, places_into
from services.routing.decisions.pending import LONGEST
from services.routing.model import Agent, Changes, Chat, Documents, Facts, State
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAssign,
    ChatClose,
    ChatMarkPending,
    ChatReply,
    ChatUnmarkPending,
)
from shared.contracts.content import Text
from shared.contracts.event import Model
from shared.platform.database import Database
from shared.platform.outcome import Due
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, a_message, received
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

DAY = timedelta(hours=24)
HELD = an_assigned_chat()
PARKED = a_pending_chat()
OURS: dict[str, Any] = {"last_word": "business", "silent_since": NOON}


def a_mark(by: Actor = ANN, **fields: Any) -> ChatMarkPending:
    return ChatMarkPending(**{"by": by, "chat_id": HELD.chat_id, "reason": "customer", **fields})


def an_unmark(by: Actor = ANN, **fields: Any) -> ChatUnmarkPending:
    return ChatUnmarkPending(by=by, chat_id=HELD.chat_id, **fields)


def here(chat: Chat = HELD, *agents: Agent, **fields: Any) -> Facts:
    return facts(chats=(chat,), agents=agents or (an_agent(load=1),), **fields)


def after(known: Facts, *inputs: Model) -> Changes:
    return fold(known, [received(one) for one in inputs], STEPS, NOON)


def rang(chat: Chat, *agents: Agent, at: timedelta = DAY) -> Changes:
    row = Due(PENDING_OVER, f"{TENANT}:{chat.chat_id}", TENANT, NOON + at, generation=1)
    return fold_dues(here(chat, *agents or (an_agent(),)), [row], NOON + at)


def said(changes: Changes) -> list[tuple[str, str | None]]:
    return [
        (event.type.split(".")[2], getattr(event.data, "reason", None)) for event in changes.outcome.outgoing
    ]


def loads(changes: Changes) -> dict[str, int]:
    return {agent.agent_id: agent.load for agent in changes.agents}


def test_a_parked_chat_keeps_its_agent_and_frees_the_slot_for_those_who_wait() -> None:
    changes = after(here(), a_mark(note="asked the bank"))
    (parked,) = changes.chats
    assert (parked.state, parked.agent_id, parked.pending_until) == (State.PENDING, "ann", NOON + DAY)
    assert loads(changes) == {"ann": 0}
    assert {(due.kind, due.sweep) for due in changes.outcome.schedule} == {
        (PENDING_OVER, False),
        (SERVE_QUEUE, True),
    }
    (told,) = (event.data.model_dump() for event in changes.outcome.outgoing)
    assert (told["reason"], told["until"], told["agent_load"]) == ("customer", NOON + DAY, 0)
    assert told["note"] == "asked the bank"


def test_a_department_says_for_how_long_where_nobody_does() -> None:
    known = here(departments=(a_department(pending_timeout=minutes(90)),))
    assert after(known, a_mark()).chats[0].pending_until == NOON + minutes(90)
    assert after(known, a_mark(until=NOON + DAY)).chats[0].pending_until == NOON + DAY


def test_parking_a_parked_chat_again_only_moves_its_end() -> None:
    changes = after(here(PARKED), a_mark(until=NOON + minutes(5)))
    assert (changes.chats[0].pending_until, changes.agents) == (NOON + minutes(5), ())
    assert [(due.kind, due.at) for due in changes.outcome.schedule] == [(PENDING_OVER, NOON + minutes(5))]


@pytest.mark.parametrize(
    ("chat", "command", "reason"),
    [
        (None, a_mark(), "unknown_chat"),
        (replace(HELD, state=State.CLOSED, agent_id=None), a_mark(), "chat_not_live"),
        (a_diverted_chat(), a_mark(), "chat_not_live"),
        (HELD, a_mark(BOB), "not_your_chat"),
        (a_chat(), a_mark(ANN), "not_your_chat"),
        (a_chat(), a_mark(SUE), "not_assigned"),
        (HELD, a_mark(CUSTOMER), "role_not_allowed"),
        (HELD, a_mark(expected_assignment_version=9), "stale_assignment"),
        (HELD, a_mark(until=NOON), "until_is_past"),
        (HELD, a_mark(until=NOON + LONGEST + minutes(1)), "until_too_far"),
        (HELD, an_unmark(), "not_pending"),
        (PARKED, an_unmark(BOB), "not_your_chat"),
        (PARKED, an_unmark(CUSTOMER), "role_not_allowed"),
        (PARKED, an_unmark(expected_assignment_version=9), "stale_assignment"),
        (None, an_unmark(), "unknown_chat"),
    ],
)
def test_parking_is_refused_with_its_reason(chat: Chat | None, command: Model, reason: str) -> None:
    changes = after(here(chat) if chat else facts(), command)
    assert said(changes) == [("command_refused", reason)]
    assert not changes.chats


@pytest.mark.parametrize("by", [ANN, SUE, ADA], ids=["its agent", "a supervisor", "an admin"])
def test_who_may_park_and_let_go_on(by: Actor) -> None:
    assert said(after(here(), a_mark(by))) == [("pending_marked", "customer")]
    assert said(after(here(PARKED, an_agent()), an_unmark(by))) == [("pending_unmarked", "unmarked")]


def test_a_time_out_of_bounds_is_told_with_the_bounds() -> None:
    (refused,) = after(here(), a_mark(until=NOON)).outcome.outgoing
    assert refused.data.detail == (  # type: ignore[attr-defined]
        "until is 2026-11-18T12:00:00+00:00, allowed here: after 2026-11-18T12:00:00+00:00,"
        " by 2026-12-18T12:00:00+00:00"
    )
    (refused,) = after(here(), a_mark(CUSTOMER)).outcome.outgoing
    assert refused.data.detail == "by.role is 'customer', allowed here: agent, supervisor, admin"  # type: ignore[attr-defined]


def test_the_longest_parking_there_is() -> None:
    assert after(here(), a_mark(until=NOON + LONGEST)).chats[0].pending_until == NOON + LONGEST


@pytest.mark.parametrize("state", ["online", "away"])
def test_a_customer_who_writes_wakes_the_chat_at_once_even_over_capacity(state: str) -> None:
    changes = after(here(PARKED, an_agent(state=state, load=3, capacity=3)), a_message())
    assert said(changes) == [("message_added", None), ("pending_unmarked", "customer_wrote")]
    assert (changes.chats[0].state, changes.chats[0].agent_id, loads(changes)) == (
        State.ASSIGNED,
        "ann",
        {"ann": 4},
    )
    assert changes.outcome.outgoing[-1].data.agent_load == 4  # type: ignore[attr-defined]
    assert [kind for kind, _ in changes.outcome.cancel] == [PENDING_OVER]


def test_a_burst_wakes_it_once() -> None:
    changes = after(here(PARKED, an_agent()), a_message("1"), a_message("2"))
    assert [word for word, _ in said(changes)] == ["message_added", "pending_unmarked", "message_added"]
    assert loads(changes) == {"ann": 1}


def test_who_is_over_capacity_by_a_chat_that_woke_gets_nothing_new() -> None:
    known = here(PARKED, an_agent(load=3, capacity=3))
    changes = after(known, a_message(), a_message(customer="+27820000002"))
    assert [chat.state for chat in changes.chats] == [State.ASSIGNED, State.QUEUED]


@pytest.mark.parametrize(
    ("others", "reason", "state"),
    [
        ((an_agent("bob"),), "agent_lost", State.ASSIGNED),
        ((an_agent("bob", load=3),), "agent_lost", State.QUEUED),
        ((), "no_agents_online", State.DIVERTED),
    ],
    ids=["somebody is free", "all are full", "nobody is there"],
)
def test_a_customer_whose_agent_is_gone_is_routed_afresh(
    others: tuple[Agent, ...], reason: str, state: State
) -> None:
    changes = after(here(PARKED, an_agent(state="offline"), *others), a_message())
    (chat,) = changes.chats
    assert (chat.state, chat.pending_until) == (state, None)
    assert said(changes)[-1][1] == reason
    assert loads(changes).get("ann", 0) == 0
    assert PENDING_OVER in {kind for kind, _ in changes.outcome.cancel}


def test_an_agent_lost_in_the_same_moment_has_the_chat_looked_at_after_the_commit() -> None:
    changes = after(here(PARKED, an_agent(state="offline"), locked=frozenset()), a_message())
    assert (changes.chats[0].state, changes.chats[0].agent_id) == (State.ASSIGNED, "ann")
    assert AGENT_LOST in {due.kind for due in changes.outcome.schedule}


@pytest.mark.parametrize("by", [ANN, SUE])
def test_taking_a_chat_up_again_gives_its_customer_the_whole_time_anew(by: Actor) -> None:
    long_ago = NOON - timedelta(hours=20)
    chat = replace(PARKED, last_word="business", silent_since=long_ago)
    changes = after(here(chat, an_agent()), an_unmark(by))
    assert [(due.kind, due.at) for due in changes.outcome.schedule] == [
        (CUSTOMER_SILENT, NOON + timedelta(hours=4))
    ]


def test_nobody_waits_for_the_customer_of_a_parked_chat() -> None:
    parking = after(here(replace(HELD, **OURS)), a_mark())
    assert (CUSTOMER_SILENT, f"{TENANT}:{HELD.chat_id}") in parking.outcome.cancel
    words = ChatReply(by=ANN, chat_id=HELD.chat_id, request_id="r1", content=Text(text="still at it"))
    writing = after(here(PARKED), words)
    assert (writing.chats[0].state, writing.outcome.schedule) == (State.PENDING, [])
    row = Due(CUSTOMER_SILENT, f"{TENANT}:{HELD.chat_id}", TENANT, NOON + DAY, generation=1)
    assert not fold_dues(here(replace(PARKED, **OURS)), [row], NOON + DAY).chats


def test_a_parked_chat_can_be_closed_and_frees_no_slot_a_second_time() -> None:
    changes = after(here(PARKED, an_agent(load=2)), ChatClose(by=ANN, chat_id=HELD.chat_id))
    assert (changes.chats[0].state, changes.agents) == (State.CLOSED, ())
    assert PENDING_OVER in {kind for kind, _ in changes.outcome.cancel}


def test_a_parked_chat_is_given_away_by_hand() -> None:
    given = ChatAssign(by=SUE, chat_id=HELD.chat_id, agent_id="bob")
    changes = after(here(PARKED, an_agent(load=2), an_agent("bob")), given)
    assert (changes.chats[0].agent_id, changes.chats[0].pending_until) == ("bob", None)
    assert loads(changes) == {"bob": 1}


def test_an_agent_who_is_full_is_not_given_their_own_parked_chat_by_hand() -> None:
    given = ChatAssign(by=SUE, chat_id=HELD.chat_id, agent_id="ann")
    assert said(after(here(PARKED, an_agent(load=3)), given)) == [("command_refused", "agent_full")]


def test_a_parking_that_is_over_closes_a_chat_whose_last_word_is_ours() -> None:
    changes = rang(replace(PARKED, **OURS))
    assert said(changes) == [("closed", "pending_expired")]
    assert changes.outcome.outgoing[0].data.by.role == "system"  # type: ignore[attr-defined]
    assert not changes.agents


def test_a_parking_that_is_over_gives_an_unanswered_chat_back_to_its_agent() -> None:
    changes = rang(PARKED, an_agent(state="away", load=3))
    assert said(changes) == [("pending_unmarked", "pending_expired")]
    assert (changes.chats[0].state, loads(changes)) == (State.ASSIGNED, {"ann": 4})


def test_a_parking_that_is_over_routes_an_unanswered_chat_afresh_when_its_agent_is_gone() -> None:
    gone = an_agent(state="offline")
    assert said(rang(PARKED, gone, an_agent("bob"))) == [("assigned", "pending_expired")]
    assert said(rang(PARKED, gone, an_agent("bob", load=3))) == [("requeued", "pending_expired")]


def test_a_parking_that_is_over_locks_departments_only_where_an_agent_is_gone() -> None:
    row = Due(PENDING_OVER, f"{TENANT}:{PARKED.chat_id}", TENANT, NOON, generation=1)
    chats, documents = {PARKED.key: PARKED}, {TENANT: Documents()}
    for agent, locked in ((an_agent(), set()), (an_agent(state="offline"), {(TENANT, "sales")})):
        assert places_into(needs_of_dues([row]), chats, {agent.key: agent}, documents).keys() == locked


@pytest.mark.parametrize(
    "chat", [HELD, a_chat(), replace(PARKED, state=State.CLOSED)], ids=["assigned", "queued", "closed"]
)
def test_no_other_chat_is_touched_by_the_end_of_a_parking(chat: Chat) -> None:
    assert not rang(chat).chats


def test_a_parking_that_was_made_longer_goes_on() -> None:
    changes = rang(replace(PARKED, pending_until=NOON + 2 * DAY))
    assert not changes.chats
    assert [(due.kind, due.at) for due in changes.outcome.schedule] == [(PENDING_OVER, NOON + 2 * DAY)]


def test_a_customer_who_writes_after_hours_and_whose_agent_is_gone_becomes_a_ticket() -> None:
    known = facts(
        chats=(PARKED,),
        agents=(an_agent(state="offline"), an_agent("bob")),
        departments=(a_department(calendar_id="hours"),),
        calendars={"hours": a_calendar("13:00", "17:00")},
    )
    assert said(after(known, a_message()))[-1] == ("diverted", "outside_business_hours")


@pytest.fixture
async def centre(migrated: Migrated) -> AsyncIterator[tuple[Contact, SetClock]]:
    """Ann, who may hold one chat and has it, parked; a second customer whom she serves meanwhile."""
    clock = SetClock(NOON)
    database = Database(await migrated("routing"), "routing", connections=4)
    contact = Contact(database, workers=1, clock=clock)
    ann = desk.an_agent_document(capacity=1)
    sales = desk.a_department(pending_timeout_seconds=7_200)
    await contact.hear(desk.a_tenant(), sales, ann, desk.agent_changed(), a_message())
    (chat_id,) = (await contact.rows("select chat_id from chats"))[0]
    await contact.hear(ChatMarkPending(by=ANN, chat_id=chat_id, reason="customer"))
    await contact.hear(a_message(customer="+27820000002"))
    await contact.sweep()
    await contact.has_heard_everything()
    yield contact, clock
    await database.close()


async def standing(contact: Contact) -> tuple[list[str], int]:
    rows = await contact.rows("select state from chats order by opened_at, customer_address")
    return [state for (state,) in rows], await contact.count("select load from agents")


@pytest.mark.servers
async def test_a_parked_chat_makes_room_and_wakes_over_capacity(centre: tuple[Contact, SetClock]) -> None:
    contact, _ = centre
    assert await standing(contact) == (["pending", "assigned"], 1)
    await contact.hear(a_message())
    await contact.hear(a_message(customer="+27820000003"))
    await contact.sweep()
    assert await standing(contact) == (["assigned", "assigned", "queued"], 2)
    assert await contact.count("select count(*) from due where kind = 'pending_over'") == 0


@pytest.mark.servers
async def test_a_parking_ends_by_itself_and_not_before(centre: tuple[Contact, SetClock]) -> None:
    contact, clock = centre
    clock.pass_time(7_199)
    await contact.sweep()
    assert (await standing(contact))[0][0] == "pending"
    clock.pass_time(1)
    await contact.sweep()
    assert await standing(contact) == (["assigned", "assigned"], 2)


@pytest.mark.servers
async def test_parking_outlives_the_agent_s_absence(centre: tuple[Contact, SetClock]) -> None:
    contact, _ = centre
    await contact.hear(desk.agent_changed(state="offline", version=2))
    await contact.sweep()
    assert (await standing(contact))[0][0] == "pending"
    await contact.hear(desk.an_agent_document("bob"), desk.agent_changed("bob"), a_message())
    assert await contact.count("select count(*) from chats where agent_id = 'bob'") == 1
