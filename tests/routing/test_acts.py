"""Replies, closes and assignments by hand, and every way they are refused."""

from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import SERVE_QUEUE
from services.routing.decisions.fold import fold
from services.routing.model import Agent, Changes, Chat, Facts, State
from shared.contracts import catalogue, cloudevents
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAssign, ChatClose, ChatReply
from shared.contracts.content import Text
from shared.contracts.event import Model
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from tests.desk_events import NOON, TENANT, a_message, received
from tests.routing.builders import (
    ANN,
    BOB,
    SUE,
    a_calendar,
    a_chat,
    a_department,
    a_diverted_chat,
    an_agent,
    an_assigned_chat,
    facts,
)

HELD = an_assigned_chat("ann")


def a_reply(by: Actor = ANN, chat: Chat = HELD, **fields: Any) -> ChatReply:
    return ChatReply(
        **{"by": by, "chat_id": chat.chat_id, "request_id": "r1", "content": Text(text="hi"), **fields}
    )


def after(known: Facts, command: Model) -> Changes:
    return fold(known, [received(command)], STEPS, NOON)


def refusal(changes: Changes) -> str | None:
    (event,) = changes.outcome.outgoing
    return getattr(event.data, "reason", None) if event.type.endswith("command_refused.v1") else None


def here(chat: Chat = HELD, *agents: Agent) -> Facts:
    return facts(chats=(chat,), agents=agents or (an_agent(load=1),))


def test_the_agent_who_holds_the_chat_writes_to_its_customer() -> None:
    changes = after(here(), a_reply())
    assert [event.type for event in changes.outcome.outgoing] == [
        "chatdesk.chat.message_added.v1",
        "chatdesk.message.send.v1",
    ]
    assert changes.chats[0].last_word == "business"


@pytest.mark.parametrize(
    ("channel", "business", "customer"),
    [
        ("whatsapp", "+27110000000", "+27820000001"),
        ("whatsapp", "+27110000009", "US.13491208655302741918"),
        ("sms", "+27110000000", "27820000001"),
    ],
)
def test_an_answer_goes_back_the_way_its_customer_came(channel: str, business: str, customer: str) -> None:
    pair = Pair.of(TENANT, channel, business, customer)
    chat = an_assigned_chat(pair=pair, business_address=business, customer_address=customer)
    send = after(here(chat), a_reply(chat=chat)).outcome.outgoing[-1]
    assert isinstance(send.data, MessageSend)
    assert (send.data.channel, send.data.business_address, send.data.customer_address) == (
        channel,
        business,
        customer,
    )
    assert send.pair_key == pair.key


@pytest.mark.parametrize(
    ("known", "command", "reason"),
    [
        (facts(), a_reply(), "unknown_chat"),
        (here(an_assigned_chat(state=State.CLOSED)), a_reply(), "chat_not_live"),
        (here(a_diverted_chat()), a_reply(chat=a_diverted_chat()), "chat_not_live"),
        (here(), a_reply(BOB), "not_your_chat"),
        (here(), a_reply(SUE), "not_your_chat"),
        (here(a_chat()), a_reply(chat=a_chat()), "not_your_chat"),
        (here(), a_reply(Actor(role="customer")), "role_not_allowed"),
        (here(), a_reply(expected_assignment_version=7), "stale_assignment"),
    ],
)
def test_everybody_else_s_reply_is_refused_with_its_reason(
    known: Facts, command: ChatReply, reason: str
) -> None:
    assert refusal(after(known, command)) == reason


def test_a_refusal_about_no_known_pair_can_be_read_by_everybody() -> None:
    (refused,) = after(facts(), a_reply()).outcome.outgoing
    assert cloudevents.decode(cloudevents.encode(refused)) == refused
    assert catalogue.key_of(refused) == f"{refused.tenant_id}:chat:{HELD.chat_id}"


def test_a_supervisor_who_holds_the_chat_as_an_agent_may_write() -> None:
    chat = an_assigned_chat("sue")
    assert refusal_free(after(here(chat, an_agent("sue", load=1)), a_reply(SUE, chat)))


def refusal_free(changes: Changes) -> bool:
    return not any(event.type.endswith("command_refused.v1") for event in changes.outcome.outgoing)


def test_closing_frees_the_slot_for_those_who_wait() -> None:
    changes = after(here(), ChatClose(by=ANN, chat_id=HELD.chat_id))
    assert changes.chats[0].state is State.CLOSED
    assert changes.agents[0].load == 0
    assert [due.kind for due in changes.outcome.schedule] == [SERVE_QUEUE]


@pytest.mark.parametrize(
    ("by", "reason"), [(ANN, "closed_by_agent"), (SUE, "closed_by_supervisor")], ids=["agent", "supervisor"]
)
def test_a_close_tells_by_whom_with_their_tags_and_note(by: Actor, reason: str) -> None:
    command = ChatClose(by=by, chat_id=HELD.chat_id, tags=("refund", "parcel"), note="paid back")
    (closed,) = (event.data.model_dump() for event in after(here(), command).outcome.outgoing)
    assert (closed["by"]["id"], closed["reason"]) == (by.id, reason)
    assert (list(closed["tags"]), closed["note"]) == (["refund", "parcel"], "paid back")


@pytest.mark.parametrize(
    ("by", "reason"), [(BOB, "not_your_chat"), (Actor(role="customer"), "role_not_allowed"), (SUE, None)]
)
def test_who_may_close(by: Actor, reason: str | None) -> None:
    assert refusal(after(here(), ChatClose(by=by, chat_id=HELD.chat_id))) == reason


def an_assign(**fields: Any) -> ChatAssign:
    return ChatAssign(**{"by": SUE, "chat_id": HELD.chat_id, "agent_id": "bob", **fields})


def test_a_supervisor_s_assignment_moves_chat_and_load() -> None:
    changes = after(here(HELD, an_agent(load=1), an_agent("bob")), an_assign())
    assert changes.chats[0].agent_id == "bob"
    assert {agent.agent_id: agent.load for agent in changes.agents} == {"ann": 0, "bob": 1}


@pytest.mark.parametrize(
    ("bob", "command", "reason"),
    [
        (an_agent("cid"), an_assign(), "unknown_agent"),
        (an_agent("bob", state="away"), an_assign(), "agent_away"),
        (an_agent("bob", state="offline"), an_assign(), "agent_offline"),
        (an_agent("bob", draining=True), an_assign(), "agent_away"),
        (an_agent("bob", load=3), an_assign(), "agent_full"),
        (an_agent("bob", departments=frozenset()), an_assign(department_id="sales"), "not_a_member"),
        (an_agent("bob"), an_assign(department_id="nowhere"), "unknown_department"),
        (an_agent("bob"), an_assign(by=ANN), "role_not_allowed"),
        (an_agent("bob"), an_assign(expected_assignment_version=0), "stale_assignment"),
        (an_agent("bob", load=3), an_assign(agent_id=None, department_id="sales"), "all_full"),
        (an_agent("bob", state="away"), an_assign(agent_id=None, department_id="sales"), "nobody_online"),
    ],
)
def test_an_assignment_is_refused_with_its_reason(bob: Agent, command: ChatAssign, reason: str) -> None:
    ann = an_agent(load=1, departments=frozenset({"elsewhere"}))
    assert refusal(after(here(HELD, ann, bob), command)) == reason


def test_a_closed_department_takes_no_chat() -> None:
    known = facts(
        chats=(HELD,),
        agents=(an_agent(load=1), an_agent("bob")),
        departments=(a_department(calendar_id="hours"),),
        calendars={"hours": a_calendar("13:00", "17:00")},
    )
    command = an_assign(agent_id=None, department_id="sales")
    assert refusal(after(known, command)) == "department_closed"


def test_a_refused_assignment_says_who_is_available_now() -> None:
    known = here(
        HELD, an_agent(load=1), an_agent("bob", load=3), an_agent("cid"), an_agent("dot", state="away")
    )
    changes = after(known, an_assign())
    assert refusal(changes) == "agent_full"
    available = changes.outcome.outgoing[0].data.available  # type: ignore[attr-defined]
    assert (available.departments, available.agents) == (("sales",), ("ann", "cid"))


def test_a_supervisor_who_is_no_agent_gets_no_chat() -> None:
    sue = an_agent("sue", roles=frozenset({"supervisor"}))
    assert refusal(after(here(HELD, an_agent(load=1), sue), an_assign(agent_id="sue"))) == "unknown_agent"


def test_any_agent_regardless_of_department_keeps_the_chat_s_department() -> None:
    bob = an_agent("bob", departments=frozenset({"elsewhere"}))
    changes = after(here(HELD, an_agent(load=1), bob), an_assign())
    assert (changes.chats[0].agent_id, changes.chats[0].department_id) == ("bob", "sales")


def test_a_chat_given_from_its_queue_into_another_department_leaves_the_queue_it_was_in() -> None:
    """Whoever comes next to the other department still has those who wait there before them."""
    waits, bob = a_chat(), an_agent("bob", departments=frozenset({"care"}))
    known = facts(
        chats=(waits,),
        agents=(bob,),
        departments=(a_department("care"), a_department("sales")),
        queue_lengths={("acme", "care"): 1, ("acme", "sales"): 1},
    )
    given = received(an_assign(chat_id=waits.chat_id, department_id="care"))
    changes = fold(known, [given, received(a_message(customer="+27820000002"))], STEPS, NOON)
    assert [(chat.state, chat.department_id) for chat in changes.chats] == [
        (State.ASSIGNED, "care"),
        (State.QUEUED, "care"),
    ]
