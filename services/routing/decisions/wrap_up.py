"""How a wrap-up ends: its agent is done, or its time is over by the clock (docs/decisions/0085)."""

from typing import cast

from services.routing.decisions.commands import SUPERVISING, is_stale
from services.routing.decisions.floor import Floor
from services.routing.decisions.refusals import permitted
from services.routing.model import Chat
from shared.contracts.chat_commands import ChatEndWrapUp
from shared.contracts.event import Cause
from shared.platform.outcome import Due, Received


def end_wrap_up(floor: Floor, received: Received) -> None:
    """Free the slot early, for who is done with what the chat left to do."""
    command = cast(ChatEndWrapUp, received.event.data)
    if (chat := permitted(floor, received, command, _judge)) is not None:
        floor.end_wrap_up(received.event.as_cause(), chat, "done", by=command.by)


def wrap_up_over(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """Free the slot that was held after a chat's end, for whoever waits in its agent's departments."""
    if chat.wrap_up_until is not None and chat.wrap_up_until <= row.at:
        floor.end_wrap_up(cause, chat, "over")


def _judge(chat: Chat, command: ChatEndWrapUp) -> str | None:
    """Whose slot it is may, and supervisors."""
    if is_stale(chat, command):
        return "stale_assignment"
    if command.by.role in {"customer", "system"}:
        return "role_not_allowed"
    if chat.wrap_up_until is None:
        return "not_wrapping_up"
    return (
        None if command.by.role in SUPERVISING or command.by.id == chat.previous_agent_id else "not_your_chat"
    )
