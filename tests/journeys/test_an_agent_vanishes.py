"""Everything together: an agent signs on, answers through the provider, vanishes; somebody else goes on."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ops.fake_provider import FakeProvider, serving
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentSignedIn
from shared.contracts.chat_commands import ChatReply
from shared.contracts.content import Text
from shared.contracts.event import Event
from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.topics import publish, until_events


def assigned_to(events: Sequence[Event[Any]]) -> list[str]:
    return [event.data.agent_id for event in events if event.type == "chatdesk.chat.assigned.v1"]


async def test_the_customer_of_a_vanished_agent_is_taken_over(
    installation: Installation, processes: Processes
) -> None:
    settings = installation.settings
    async with contextlib.AsyncExitStack() as stack:
        provider = FakeProvider()
        url = await stack.enter_async_context(serving(provider))
        documents = [
            desk.a_tenant(lease_seconds=2, grace_seconds=1),
            desk.a_department(),
            desk.an_agent_document("ann"),
            desk.an_agent_document("bob"),
            desk.a_channel(url),
        ]
        await publish(settings, map(desk.an_event, documents))
        started = [
            processes.start(name, WHATSAPP_TOKEN="secret") for name in ("presence", "routing", "outbound")
        ]
        for process in started:
            process.until_ready()

        await publish(
            settings, [desk.an_event(AgentSignedIn(agent_id="ann", session_id="a", lease_seconds=30))]
        )
        await until_events(settings, "agents.v1", lambda events: len(events) == 1)
        now = datetime.now(UTC)  # noqa: TID251 - the window is open by the real clock
        await publish(settings, [desk.an_event(desk.a_message("help!", sent_at=now))])
        said = await until_events(settings, "chats.v1", lambda events: assigned_to(events) == ["ann"])

        reply = ChatReply(
            by=Actor(role="agent", id="ann"),
            chat_id=said[0].data.chat_id,
            request_id="r1",
            content=Text(text="coming"),
        )
        await publish(settings, [desk.an_event(reply)])
        delivered = await until_events(settings, "deliveries.v1", lambda events: len(events) == 1)
        assert delivered[0].type == "chatdesk.delivery.accepted.v1"
        assert len(provider.log.calls) == 1

        # Ann's next lease is short and never renewed: she is gone after lease and grace.
        await publish(
            settings,
            [
                desk.an_event(AgentSignedIn(agent_id="bob", session_id="b", lease_seconds=300)),
                desk.an_event(AgentSignedIn(agent_id="ann", session_id="a", lease_seconds=2)),
                desk.an_event(desk.a_message("still there?", sent_at=now)),
            ],
        )
        said = await until_events(settings, "chats.v1", lambda events: assigned_to(events) == ["ann", "bob"])
        taken_over = [event for event in said if event.type == "chatdesk.chat.assigned.v1"][-1]
        assert (taken_over.data.previous_agent_id, taken_over.data.reason) == ("ann", "agent_lost")
