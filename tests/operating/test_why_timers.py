"""What `chatdesk why` says of parked chats and timers."""

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


def a_fact(kind: type[chats.ChatFact], **fields: Any) -> str:
    (one,) = told([desk.an_event(kind(**FACT, **fields))])
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
    ],
)
def test_what_moves_a_chat_s_timers_is_told_in_plain_words(line: str, expected: str) -> None:
    assert line == expected
