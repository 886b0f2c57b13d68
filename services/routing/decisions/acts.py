"""What people ask for: reply, close, assign."""

from typing import cast

from services.routing.decisions.commands import judge_assign, judge_holder, judge_own_chat
from services.routing.decisions.floor import Floor
from services.routing.decisions.receivers import receiver
from services.routing.decisions.refusals import permitted, refuse
from services.routing.decisions.silence import await_customer
from services.routing.model import KEPT, Said
from shared.contracts import chats
from shared.contracts.chat_commands import ChatAssign, ChatClose, ChatReply
from shared.contracts.outbound_messages import MessageSend
from shared.platform.outcome import Received


def reply(floor: Floor, received: Received) -> None:
    """Append the agent's words to the chat and have them sent."""
    command = cast(ChatReply, received.event.data)
    if (chat := permitted(floor, received, command, judge_own_chat)) is None:
        return
    cause = received.event.as_cause()
    if chat.last_word == "customer":
        floor.expect_nothing(chat)
    said = (*chat.said, Said(command.request_id, floor.now))[-KEPT:]
    chat = floor.tell(
        cause,
        chat.after(last_word="business", said=said, silent_since=floor.now, were_silent=""),
        chats.ChatMessageAdded,
        message_id=command.request_id,
        direction="outbound",
        author=command.by,
        request_id=command.request_id,
        content=command.content,
        sent_at=received.event.time,
        received_at=floor.now,
    )
    await_customer(floor, chat)
    send = MessageSend(
        request_id=command.request_id,
        channel=chat.pair.channel,
        business_address=chat.business_address,
        customer_address=chat.customer_address,
        chat_id=chat.chat_id,
        by=command.by,
        requested_at=floor.now,
        content=command.content,
        purpose="chat",
        reply_to=command.reply_to,
        fallback_template=command.fallback_template,
        not_after=command.not_after,
    )
    floor.say(cause, send, subject=chat.chat_id, pair_key=chat.pair.key)


def close(floor: Floor, received: Received) -> None:
    """End a live chat."""
    command = cast(ChatClose, received.event.data)
    if (chat := permitted(floor, received, command, judge_holder)) is None:
        return
    told = {"by": command.by, "reason": f"closed_by_{command.by.role}", "tags": command.tags}
    floor.close(received.event.as_cause(), chat, note=command.note, **told)


def assign(floor: Floor, received: Received) -> None:
    """Give a live chat to an agent, an agent within a department, or a department's next, at once."""
    command = cast(ChatAssign, received.event.data)
    if (chat := permitted(floor, received, command, judge_assign)) is None:
        return
    found = receiver(floor, chat, command)
    if isinstance(found, str):
        refuse(floor, received, command, chat, found)
        return
    floor.assign(
        received.event.as_cause(),
        chat,
        found.agent,
        into=command.department_id,
        by=command.by,
        note=command.note,
        reason="by_hand",
        why=found.why,
    )
