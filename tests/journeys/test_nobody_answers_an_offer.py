"""Routing and presence together: who leaves two offers unanswered is away, and somebody else is asked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentSignedIn
from shared.contracts.chat_commands import ChatAcceptOffer
from shared.contracts.event import Event
from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.topics import publish, until_events


def offered_to(events: Sequence[Event[Any]]) -> list[str]:
    return [event.data.to for event in events if event.type == "chatdesk.chat.offered.v1"]


async def test_two_offers_without_an_answer_are_away_and_the_next_is_asked(
    installation: Installation, processes: Processes
) -> None:
    settings = installation.settings
    documents = [
        desk.a_tenant(),
        desk.a_department(mode="offer", offer_seconds=1),
        desk.an_agent_document("ann"),
        desk.an_agent_document("bob"),
    ]
    await publish(settings, map(desk.an_event, documents))
    for process in [processes.start(name) for name in ("presence", "routing")]:
        process.until_ready()
    await publish(settings, [desk.an_event(AgentSignedIn(agent_id="ann", session_id="a", lease_seconds=300))])
    await until_events(settings, "agents.v1", lambda events: len(events) == 1)

    now = datetime.now(UTC)  # noqa: TID251 - the signals' age is judged by the real clock
    await publish(settings, [desk.an_event(desk.a_message("anybody?", sent_at=now))])
    said = await until_events(settings, "agents.v1", lambda events: len(events) == 2)
    away = said[-1].data
    assert (away.agent_id, away.state, away.reason) == ("ann", "away", "not_answering")
    assert away.by == Actor(role="system")
    told = await until_events(
        settings, "chats.v1", lambda events: events[-1].type == "chatdesk.chat.diverted.v1"
    )
    assert set(offered_to(told)) == {"ann"}

    await publish(settings, [desk.an_event(AgentSignedIn(agent_id="bob", session_id="b", lease_seconds=300))])
    await until_events(settings, "agents.v1", lambda events: len(events) == 3)
    await publish(settings, [desk.an_event(desk.a_message("now?", sent_at=now))])
    told = await until_events(settings, "chats.v1", lambda events: offered_to(events)[-1] == "bob")
    accept = ChatAcceptOffer(by=Actor(role="agent", id="bob"), chat_id=told[0].data.chat_id)
    await publish(settings, [desk.an_event(accept)])
    told = await until_events(
        settings, "chats.v1", lambda events: events[-1].type == "chatdesk.chat.assigned.v1"
    )
    assert told[-1].data.agent_id == "bob"
