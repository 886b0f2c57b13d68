"""Agents who take a chat out of their department's queue, where it lets them."""

from typing import cast

from services.routing.decisions.commands import judge_receiver, not_live_or_stale
from services.routing.decisions.floor import Floor
from services.routing.decisions.offers import take_up
from services.routing.decisions.receivers import named_receiver
from services.routing.decisions.refusals import is_closed, permitted, refuse
from services.routing.model import Chat, State
from shared.contracts.chat_commands import ChatTake
from shared.platform.outcome import Received


def take(floor: Floor, received: Received) -> None:
    """Give a chat that waits to the agent who asks for it, also one that somebody is just being asked for."""
    command = cast(ChatTake, received.event.data)
    if (chat := permitted(floor, received, command, _judge_take)) is None:
        return
    agent = floor.agents.get((chat.tenant_id, command.by.id or ""))
    refusal = _judge_department(floor, chat) or judge_receiver(agent, chat, chat.department_id)
    if refusal is not None or agent is None:
        refuse(floor, received, command, chat, refusal or "unknown_agent")
        return
    cause = received.event.as_cause()
    if chat.receiver == agent.key:
        take_up(floor, cause, chat, command.by)
        return
    chat = floor.end_offer(cause, chat, "taken")
    floor.assign(cause, chat, agent, by=command.by, reason="taken", why=named_receiver(agent).why)


def _judge_take(chat: Chat, command: ChatTake) -> str | None:
    if refusal := not_live_or_stale(chat, command):
        return refusal
    if command.by.role in {"customer", "system"}:
        return "role_not_allowed"
    return None if chat.state is State.QUEUED else "not_queued"


def _judge_department(floor: Floor, chat: Chat) -> str | None:
    department = floor.department(chat.department) if chat.department is not None else None
    if department is None:
        return "unknown_department"
    if not department.take_allowed:
        return "take_not_allowed"
    return "department_closed" if is_closed(floor, department) else None
