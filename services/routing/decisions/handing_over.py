"""Everything an agent holds, moved on request: to a department, an agent, or where each chat belongs.

Which chats these are is settled with the command; they are moved in rounds, each by the usual rules.
"""

from typing import cast

from services.routing.decisions.choice import Verdict, verdict
from services.routing.decisions.commands import SUPERVISING, judge_named
from services.routing.decisions.floor import HAND_OVER, Floor
from services.routing.decisions.receivers import named_receiver
from services.routing.decisions.refusals import unavailable, unknown_department
from services.routing.decisions.settling import settle
from services.routing.decisions.silence import await_customer
from services.routing.model import LOOK_AT, Chat, HandOver, Key, State
from shared.contracts import chats
from shared.contracts.chat_commands import ChatHandOver
from shared.contracts.event import Cause, derived_id
from shared.platform.outcome import Due, Received

HANDED_OVER = "handed_over"
_HELD = frozenset({State.ASSIGNED, State.PENDING})


def hand_over(floor: Floor, received: Received) -> None:
    """Begin to move what an agent holds, or say why not."""
    command = cast(ChatHandOver, received.event.data)
    tenant_id, cause = received.event.tenant_id, received.event.as_cause()
    if (refusal := _judge(floor, tenant_id, command)) is not None:
        _refuse(floor, received, command, *refusal)
        return
    asked = HandOver(
        tenant_id,
        cause.id,
        received.event.id,
        command.agent_id,
        command.by,
        command.to_department_id,
        command.to_agent_id,
        command.note,
    )
    floor.hand_overs.append(asked)
    floor.sweep(HAND_OVER, asked.key)


def hand_on(floor: Floor, row: Due, key: Key) -> None:
    """Move a round of the chats that are left; what has gone on by itself meanwhile is let be."""
    asked = floor.facts.hand_overs.get(key)
    if asked is None:
        return
    listed = floor.facts.handed_over.get(key, ())
    for chat_key in listed:
        chat = floor.chats.get(chat_key)
        if chat is not None and chat.agent_id == asked.agent_id and chat.state in _HELD:
            named = derived_id("hand_over", asked.hand_over_id, chat.chat_id)
            _move(floor, Cause(row.tenant_id, named, asked.command_id, asked.command_id), asked, chat)
    floor.handed_over[key] = listed
    if len(listed) == LOOK_AT:
        floor.sweep(HAND_OVER, key)


def _move(floor: Floor, cause: Cause, asked: HandOver, chat: Chat) -> None:
    """Give the chat to whoever was named while they have room, else let its department place it."""
    chat = floor.end_offer(cause, chat, HANDED_OVER)
    if chat.state is State.PENDING:
        chat = chat.but(silent_since=floor.now)
    receiver = floor.agents.get((asked.tenant_id, asked.to_agent_id or ""))
    if receiver is not None and judge_named(receiver, asked.to_department_id) is None:
        why = named_receiver(receiver).why
        told = {"by": asked.by, "note": asked.note, "reason": HANDED_OVER, "why": why}
        chat = floor.assign(cause, chat, receiver, into=asked.to_department_id, **told)
    else:
        chat = _into_department(floor, cause, asked, chat)
        if not floor.can_place(chat.department):
            return
        chat = settle(floor, cause, chat, reason=HANDED_OVER)
    if chat.last_word == "business":
        await_customer(floor, chat)


def _into_department(floor: Floor, cause: Cause, asked: HandOver, chat: Chat) -> Chat:
    name = asked.to_department_id
    if name is None or name == chat.department_id or floor.department((asked.tenant_id, name)) is None:
        return chat
    return floor.move(cause, chat, name, by=asked.by, note=asked.note, reason=HANDED_OVER)


def _judge(floor: Floor, tenant_id: str, command: ChatHandOver) -> tuple[str, str | None] | None:
    """Return a refusal's reason and what is wrong with which field, or None."""
    if command.by.role not in SUPERVISING:
        return "role_not_allowed", f"by.role is {command.by.role!r}, allowed here: supervisor, admin"
    agent = floor.agents.get((tenant_id, command.agent_id))
    if agent is None:
        return "unknown_agent", f"agent_id {command.agent_id!r} is nobody who takes chats"
    if agent.working:
        return "agent_online", (
            f"agent_id {command.agent_id!r} takes chats: first set them away or draining, or sign them out"
        )
    return _judge_department(floor, tenant_id, command) or _judge_receiver(floor, tenant_id, command)


def _judge_department(floor: Floor, tenant_id: str, command: ChatHandOver) -> tuple[str, str | None] | None:
    """No chat goes where nobody is available; one whose members are merely full lets it wait."""
    if command.to_department_id is None:
        return None
    key = (tenant_id, command.to_department_id)
    if (department := floor.department(key)) is None:
        return "unknown_department", unknown_department(floor, key)
    refusal = unavailable(floor, department)
    return None if refusal in {None, "all_full"} else (refusal or "", None)


def _judge_receiver(floor: Floor, tenant_id: str, command: ChatHandOver) -> tuple[str, str | None] | None:
    if command.to_agent_id is None:
        return None
    if command.to_agent_id == command.agent_id:
        return "same_agent", "to_agent_id is agent_id"
    receiver = floor.agents.get((tenant_id, command.to_agent_id))
    refusal = judge_named(receiver, command.to_department_id)
    return None if refusal is None else (refusal, f"to_agent_id {command.to_agent_id!r}")


def _refuse(floor: Floor, received: Received, command: ChatHandOver, reason: str, detail: str | None) -> None:
    name = command.to_department_id
    members = floor.members((received.event.tenant_id, name)) if name is not None else []
    free = sorted(agent.agent_id for agent in members if verdict(agent) is Verdict.AVAILABLE)
    floor.say(
        received.event.as_cause(),
        chats.ChatCommandRefused(
            command_id=received.event.id,
            reason=reason,
            detail=detail,
            by=command.by,
            available=chats.Availability(agents=tuple(free)) if name is not None else None,
        ),
        subject=command.agent_id,
        pair_key=None,
    )
