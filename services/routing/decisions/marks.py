"""Marks on a chat: a flag, which holds its timers up, and the priority that orders its queue."""

from typing import cast

from services.routing.decisions.commands import judge_holder, judge_supervising
from services.routing.decisions.floor import Floor
from services.routing.decisions.refusals import permitted
from services.routing.decisions.silence import await_word
from services.routing.model import Chat
from shared.contracts import chats
from shared.contracts.chat_commands import ChatFlag, ChatSetPriority, ChatUnflag
from shared.platform.outcome import Received


def flag(floor: Floor, received: Received) -> None:
    """Exempt a live chat from its timers, whoever holds it and wherever it goes, until it is unflagged."""
    command = cast(ChatFlag, received.event.data)
    if (chat := permitted(floor, received, command, judge_holder)) is None:
        return
    floor.expect_nothing(chat)
    told = {"by": command.by, "note": command.note}
    floor.tell(received.event.as_cause(), chat.after(flagged=True), chats.ChatFlagged, **told)


def unflag(floor: Floor, received: Received) -> None:
    """Let a chat's timers count again, from now."""
    command = cast(ChatUnflag, received.event.data)
    if (chat := permitted(floor, received, command, _judge_unflag)) is None:
        return
    cause = received.event.as_cause()
    chat = chat.after(flagged=False, silent_since=floor.now, owes_since=floor.now)
    floor.tell(cause, chat, chats.ChatUnflagged, by=command.by)
    await_word(floor, chat)


def set_priority(floor: Floor, received: Received) -> None:
    """Move a live chat up or down its queue, or to where it would be in one. Its arrival stays."""
    command = cast(ChatSetPriority, received.event.data)
    if (chat := permitted(floor, received, command, judge_supervising)) is None:
        return
    chat = chat.after(priority=command.priority)
    floor.tell(received.event.as_cause(), chat, chats.ChatPrioritySet, by=command.by)


def _judge_unflag(chat: Chat, command: ChatUnflag) -> str | None:
    return judge_holder(chat, command) or (None if chat.flagged else "not_flagged")
