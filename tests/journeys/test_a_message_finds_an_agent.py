"""From an inbound message on Kafka to the agent who holds the chat, and back out as a send."""

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatReply
from shared.contracts.content import Text
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.topics import publish, until_events


async def test_message_is_assigned_answered_and_sent(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("routing")
    settings = installation.settings
    await publish(
        settings, map(desk.an_event, [desk.a_tenant(), desk.a_department(), desk.an_agent_document()])
    )
    await publish(settings, [desk.an_event(desk.agent_changed())])
    processes.start("routing").until_ready()

    await publish(settings, [desk.an_event(desk.a_message("anyone there?"))])
    said = await until_events(
        settings, "chats.v1", lambda events: any("assigned" in event.type for event in events)
    )

    assert [event.type.split(".")[2] for event in said] == ["opened", "message_added", "assigned"]
    assert [event.data.version for event in said] == [1, 2, 3]
    assert said[-1].data.agent_id == "ann"

    reply = ChatReply(
        by=Actor(role="agent", id="ann"),
        chat_id=said[0].data.chat_id,
        request_id="reply-1",
        content=Text(text="yes!"),
    )
    await publish(settings, [desk.an_event(reply)])
    sends = await until_events(settings, "outbound-messages.v1", lambda events: len(events) == 1)
    assert sends[0].data.request_id == "reply-1"
