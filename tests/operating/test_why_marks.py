"""What `chatdesk why` says of parked, flagged, moved and offered chats."""

from typing import Any

import pytest

from ops.why.telling import told
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.pairs import PairRef
from tests import desk_events as desk

ANN = Actor(role="agent", id="ann")
FACT = {
    "chat_id": "chat",
    "version": 4,
    "assignment_version": 1,
    "state": "pending",
    "pair": PairRef(channel="sms", business_address="+1", customer_address="+2"),
    "customer_id": "c",
    "department_id": "sales",
    "agent_id": "ann",
    "opened_at": desk.NOON,
    "opened_by": "customer",
    "last_word": "business",
}


def a_fact(of: type[chats.ChatFact], /, **fields: Any) -> str:
    (one,) = told([desk.an_event(of(**{**FACT, **fields}))])
    return one.line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            a_fact(chats.ChatPendingMarked, by=ANN, reason="internal", until=desk.NOON, agent_load=2),
            "parked by agent ann until 2026-11-18 12:00 UTC, to wait for something of our own; ann holds 2",
        ),
        (
            a_fact(chats.ChatPendingMarked, by=ANN, reason="customer"),
            "parked by agent ann, to wait for the customer",
        ),
        (
            a_fact(chats.ChatPendingUnmarked, reason="customer_wrote", agent_load=3),
            "goes on with ann (customer wrote); ann holds 3",
        ),
        (
            a_fact(chats.ChatPendingUnmarked, by=ANN, reason="unmarked"),
            "goes on with ann, by agent ann (unmarked)",
        ),
        (
            a_fact(chats.ChatOpened, skills=("french", "wine")),
            "opened for sales, asks for french, wine",
        ),
        (
            a_fact(chats.ChatSkillsRelaxed, skills=("french", "wine")),
            "nobody with french, wine was free for long enough: anybody may have it",
        ),
        (a_fact(chats.ChatFlagged, by=ANN), "flagged by agent ann: no timer moves or closes it"),
        (a_fact(chats.ChatUnflagged, by=ANN), "no longer flagged, by agent ann: its timers count again"),
        (
            a_fact(chats.ChatMessageChanged, message_id="r1", change="failed"),
            "a message of ours did not reach the customer",
        ),
        (
            a_fact(chats.ChatMessageChanged, message_id="r1", change="failed", last_word="customer"),
            "a message of ours did not reach the customer: they wait for an answer again",
        ),
        (
            a_fact(chats.ChatAlerted, kind="answer_overdue", due_at=desk.NOON),
            "supervisors were alerted: answer overdue since 12:00:00 UTC",
        ),
        (
            a_fact(
                chats.ChatOffered,
                kind="transfer",
                to="bob",
                to_department_id="care",
                by=ANN,
                expires_at=desk.NOON,
                agent_load=2,
            ),
            "offered to bob in care, by agent ann until 12:00:00 UTC; the load of bob is 2",
        ),
        (
            a_fact(chats.ChatOfferEnded, outcome="timed_out", to="bob", agent_load=1),
            "the offer to bob ended: timed out; the load of bob is 1",
        ),
        (
            a_fact(chats.ChatTransferred, by=ANN, previous_agent_id="ivy"),
            "went from ivy to ann, by agent ann",
        ),
        (
            a_fact(chats.ChatClosed, by=ANN, reason="done", previous_agent_id="ann", wrap_up_until=desk.NOON),
            "closed by agent ann (done); ann wraps up until 12:00:00 UTC",
        ),
        (
            a_fact(chats.ChatWrapUpEnded, reason="over", previous_agent_id="ivy", agent_load=0),
            "the wrap-up of ivy ended: over; the load of ivy is 0",
        ),
        (a_fact(chats.ChatPrioritySet, by=ANN), "priority 0, by agent ann"),
        (
            a_fact(chats.ChatMoved, by=ANN, previous_department_id="help", reason="by_hand"),
            "moved from help to sales, by agent ann (by hand)",
        ),
        (
            a_fact(chats.ChatMoved, previous_department_id="help", reason="no_agents_online"),
            "moved from help to sales (no agents online)",
        ),
    ],
)
def test_what_moves_a_chat_s_timers_is_told_in_plain_words(line: str, expected: str) -> None:
    assert line == expected
