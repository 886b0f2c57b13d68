"""The same agent again: before the department's strategy, while they are there."""

from datetime import timedelta
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.fold import fold
from services.routing.model import Agent, Changes, Closing, Facts
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose
from tests.desk_events import NOON, a_message, received
from tests.routing.builders import a_department, an_agent, an_assigned_chat, facts, minutes

PAIR = an_assigned_chat().pair.key
IDLE = an_agent("ann")
NO_PREFERENCE = timedelta(0)


def known(bob: Agent, *, closed_ago: timedelta, by: str | None = "bob", **department: Any) -> Facts:
    """Bob had the pair's last chat; by the strategy ann, who is idle, would get the next."""
    return facts(
        agents=(IDLE, bob),
        departments=(a_department(**department),),
        closings={PAIR: Closing("chat-before", by, NOON - closed_ago)},
    )


def after(found: Facts) -> Changes:
    return fold(found, [received(a_message())], STEPS, NOON)


BUSY = an_agent("bob", load=2)


@pytest.mark.parametrize(
    ("found", "gets_it"),
    [
        pytest.param(known(BUSY, closed_ago=timedelta(hours=24)), "bob", id="within 24 hours"),
        pytest.param(known(BUSY, closed_ago=timedelta(hours=24, seconds=1)), "ann", id="later"),
        pytest.param(known(an_agent("bob", load=3), closed_ago=minutes(1)), "ann", id="full"),
        pytest.param(known(an_agent("bob", state="away"), closed_ago=minutes(1)), "ann", id="away"),
        pytest.param(known(an_agent("bob", draining=True), closed_ago=minutes(1)), "ann", id="draining"),
        pytest.param(
            known(an_agent("bob", departments=frozenset({"care"})), closed_ago=minutes(1)),
            "ann",
            id="no member of the department",
        ),
        pytest.param(known(BUSY, by=None, closed_ago=minutes(1)), "ann", id="nobody had it"),
        pytest.param(
            known(BUSY, closed_ago=minutes(16), last_agent_within=NO_PREFERENCE),
            "ann",
            id="a department that wants none",
        ),
        pytest.param(
            known(BUSY, closed_ago=minutes(15), last_agent_within=NO_PREFERENCE),
            "bob",
            id="a continuation, whatever the department wants",
        ),
    ],
)
def test_the_last_agent_gets_the_next_chat_while_available(found: Facts, gets_it: str) -> None:
    (chat,) = after(found).chats
    assert chat.agent_id == gets_it


@pytest.mark.parametrize(("ago", "continues"), [(15, "chat-before"), (15.1, None)])
def test_a_chat_within_15_minutes_of_the_last_continues_it(ago: float, continues: str | None) -> None:
    opened = after(known(BUSY, closed_ago=minutes(ago))).outcome.outgoing[0].data
    assert opened.continues == continues  # type: ignore[attr-defined]


def test_why_tells_the_last_agent_beside_those_the_strategy_ranks() -> None:
    why = after(known(BUSY, closed_ago=minutes(20))).outcome.outgoing[-1].data.why  # type: ignore[attr-defined]
    assert (why["last_agent"]["candidate"][0], why["shortlist"][0][0]) == ("bob", "ann")


def test_a_chat_by_preference_is_nobody_s_turn() -> None:
    assert after(known(BUSY, closed_ago=minutes(20), strategy="round_robin")).turns == {}


def test_a_close_is_remembered_within_the_batch_and_after_it() -> None:
    held = an_assigned_chat("bob")
    found = facts(agents=(IDLE, an_agent("bob", load=2)), chats=(held,))
    close = ChatClose(by=Actor(role="agent", id="bob"), chat_id=held.chat_id)
    changes = fold(found, [received(close), received(a_message())], STEPS, NOON)
    assert changes.closings == {PAIR: Closing(held.chat_id, "bob", NOON)}
    assert changes.chats[-1].agent_id == "bob"
