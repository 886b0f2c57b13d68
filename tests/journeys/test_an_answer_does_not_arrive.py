"""An answer that may not be sent: the customer waits for one again, and the agent is told."""

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatReply
from shared.contracts.chats import ChatMessageChanged
from shared.contracts.content import Text
from shared.contracts.deliveries import DeliveryRefused
from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.topics import publish, until_events


async def test_an_answer_outside_the_window_is_no_word_of_ours(
    installation: Installation, processes: Processes
) -> None:
    settings = installation.settings
    documents = [
        desk.a_tenant(),
        desk.a_department(),
        desk.an_agent_document(),
        desk.a_channel("http://127.0.0.1:9"),
    ]
    await publish(settings, map(desk.an_event, [*documents, desk.agent_changed()]))
    for name in ("routing", "outbound"):
        processes.start(name, WHATSAPP_TOKEN="secret").until_ready()
    await publish(settings, [desk.an_event(desk.a_message("asked long ago", sent_at=desk.NOON))])
    said = await until_events(settings, "chats.v1", lambda events: len(events) == 3)

    reply = ChatReply(
        by=Actor(role="agent", id="ann"),
        chat_id=said[0].data.chat_id,
        request_id="late",
        content=Text(text="sorry"),
    )
    await publish(settings, [desk.an_event(reply)])
    (refused,) = await until_events(settings, "deliveries.v1", lambda events: len(events) == 1)
    assert isinstance(refused.data, DeliveryRefused)
    assert refused.data.reason == "window_closed"
    answer, undone = (await until_events(settings, "chats.v1", lambda events: len(events) == 5))[3:]
    assert (answer.data.last_word, undone.data.last_word) == ("business", "customer")
    assert isinstance(undone.data, ChatMessageChanged)
    assert (undone.data.message_id, undone.data.change) == ("late", "failed")
