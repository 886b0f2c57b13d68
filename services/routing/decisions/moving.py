"""Moving a live chat to another department by hand."""

from typing import cast

from services.routing.decisions.commands import judge_supervising
from services.routing.decisions.floor import Floor
from services.routing.decisions.refusals import permitted, refuse, unavailable, unknown_department
from services.routing.decisions.settling import settle
from services.routing.decisions.silence import await_word
from services.routing.model import Chat, State
from shared.contracts.chat_commands import ChatSetDepartment
from shared.platform.outcome import Received


def set_department(floor: Floor, received: Received) -> None:
    """Let a chat be another department's: one that waits enters its queue by its arrival.

    One that somebody holds or parked stays theirs, member or not: to give it to another, assign it.
    """
    command = cast(ChatSetDepartment, received.event.data)
    if (chat := permitted(floor, received, command, judge_supervising)) is None:
        return
    if (refusal := _judge_department(floor, chat, command.department_id)) is not None:
        asked = (received.event.tenant_id, command.department_id)
        told = unknown_department(floor, asked) if refusal == "unknown_department" else None
        refuse(floor, received, command, chat, refusal, detail=told)
        return
    cause = received.event.as_cause()
    note = command.note
    chat = floor.move(cause, chat, command.department_id, by=command.by, reason="by_hand", note=note)
    if chat.state is State.QUEUED:
        settle(floor, cause, chat)
    else:
        await_word(floor, chat)


def _judge_department(floor: Floor, chat: Chat, department_id: str) -> str | None:
    """No chat goes where nobody is available; who holds it there already has the slot that it takes."""
    department = floor.department((chat.tenant_id, department_id))
    if department is None:
        return "unknown_department"
    if department_id == chat.department_id:
        return "same_department"
    refusal = unavailable(floor, department)
    holder = floor.agents.get(chat.agent) if chat.agent and chat.state is State.ASSIGNED else None
    if refusal == "all_full" and holder is not None and holder.working:
        return None if holder.takes_chats_of(department.key) else refusal
    return refusal
