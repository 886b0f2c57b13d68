"""What becomes of our messages: one that did not arrive was no word of ours (docs/rules.md, 3)."""

from typing import cast

from services.routing.decisions.floor import AGENT_LOST, Floor
from services.routing.decisions.silence import await_word
from services.routing.model import Chat, Said, State
from shared.contracts import chats
from shared.contracts.deliveries import Delivery
from shared.platform.outcome import Received


def did_not_arrive(floor: Floor, received: Received) -> None:
    """Take a message back that failed, was refused, or of which nobody knows.

    With none left since the customer's last, they wait for an answer again, from when they first did.
    """
    delivery = cast(Delivery, received.event.data)
    chat = floor.chats.get((received.event.tenant_id, delivery.chat_id or ""))
    if chat is None or chat.state is State.CLOSED:
        return
    lost = [one for one in chat.said if one.request_id == delivery.request_id]
    if not lost:
        return
    floor.expect_nothing(chat)
    told = {"message_id": delivery.request_id, "change": "failed"}
    chat = floor.tell(received.event.as_cause(), _without(chat, lost[-1]), chats.ChatMessageChanged, **told)
    await_word(floor, chat)
    gone = chat.agent is not None and floor.agents[chat.agent].state == "offline"
    if gone and chat.agent is not None and chat.last_word == "customer":
        floor.sweep(AGENT_LOST, chat.agent)


def _without(chat: Chat, lost: Said) -> Chat:
    left = tuple(one for one in chat.said if one.request_id != lost.request_id)
    if not left:
        return chat.after(said=(), last_word="customer" if chat.last_inbound_at is not None else "none")
    # What was exempted since counts from the end of that, not from our words.
    silent_since = left[-1].at if chat.silent_since == lost.at else chat.silent_since
    return chat.after(said=left, silent_since=silent_since)
