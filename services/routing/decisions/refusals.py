"""What a refused command is answered with: its reason, what is wrong with which field, who could help now."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from services.routing.decisions.calendars import is_open
from services.routing.decisions.choice import Verdict, candidate, verdict
from services.routing.decisions.commands import UNAVAILABLE
from services.routing.decisions.floor import Floor
from services.routing.model import LIVE, Chat, Department, Key, State
from shared.contracts import chats
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatCommand,
    ChatDeclineOffer,
    ChatReply,
    ChatSetDepartment,
    ChatSetPriority,
    ChatTake,
    ChatTransfer,
)
from shared.platform.outcome import Received

CommandT = TypeVar("CommandT", bound=ChatCommand)

_NAMED = 20
"""Names a sentence lists before it only counts the rest."""


def permitted(
    floor: Floor, received: Received, command: CommandT, judge: Callable[[Chat, CommandT], str | None]
) -> Chat | None:
    """Return the chat a command is about, or None: it was refused, as unknown or as it was judged."""
    chat = floor.chats.get((received.event.tenant_id, command.chat_id))
    refusal = "unknown_chat" if chat is None else judge(chat, command)
    if refusal is None:
        return chat
    refuse(floor, received, command, chat, refusal)
    return None


def refuse(
    floor: Floor,
    received: Received,
    command: ChatCommand,
    chat: Chat | None,
    reason: str,
    *,
    detail: str | None = None,
) -> None:
    """Answer with the reason and, where a chat was to be given away, with who could take it now.

    ``detail`` is for what only the command's own rule knows of the field at fault.
    """
    event = received.event
    floor.say(
        event.as_cause(),
        chats.ChatCommandRefused(
            command_id=event.id,
            reason=reason,
            detail=detail or _detail(floor, event.tenant_id, command, chat, reason),
            why=_named(floor, event.tenant_id, command, reason),
            by=command.by,
            chat_id=command.chat_id,
            version=chat.version if chat else None,
            pair=command.pair,
            request_id=getattr(command, "request_id", None),
            available=_available(floor, chat, command),
        ),
        subject=command.chat_id,
        pair_key=chat.pair.key if chat else event.pair_key,
    )


def is_closed(floor: Floor, department: Department) -> bool:
    """Say whether a department takes nobody in now: by its hours, or since its calendar is not known."""
    calendar = floor.calendar(department)
    return department.calendar_id is not None and (calendar is None or not is_open(calendar, floor.now))


def unavailable(floor: Floor, department: Department) -> str | None:
    """Say why a locked department takes no chat that is given to it now, or None: somebody can take it."""
    if is_closed(floor, department):
        return "department_closed"
    choice = floor.ranking(department.key).choose()
    if choice.agent is not None:
        return None
    return "all_full" if choice.counts.get(Verdict.FULL) else "nobody_online"


def _available(floor: Floor, chat: Chat | None, command: ChatCommand) -> chats.Availability | None:
    """Return who is available in the departments a chat was to go to: the one named or offered, and its own.

    A department is so while it is open; its agents also after hours, for they can be named themselves.
    """
    if chat is None:
        return None
    match command:
        case ChatAssign() | ChatSetDepartment() | ChatTransfer():
            asked = command.department_id
        case ChatTake() | ChatAcceptOffer():
            asked = chat.offer.department_id if chat.offer is not None else None
        case _:
            return None
    departments = [
        department
        for name in sorted({name for name in (asked, chat.department_id) if name is not None})
        if floor.can_place((chat.tenant_id, name))
        and (department := floor.department((chat.tenant_id, name))) is not None
    ]
    free = [
        (department, agent.agent_id)
        for department in departments
        for agent in floor.members(department.key)
        if verdict(agent) is Verdict.AVAILABLE
        and not (isinstance(command, ChatTransfer | ChatAcceptOffer) and agent.key == chat.agent)
    ]
    with_somebody = {department.key: department for department, _ in free}
    return chats.Availability(
        departments=tuple(
            key[1] for key, department in sorted(with_somebody.items()) if not is_closed(floor, department)
        ),
        agents=tuple(sorted({agent_id for _, agent_id in free})),
    )


def _named(floor: Floor, tenant_id: str, command: ChatCommand, reason: str) -> Mapping[str, Any] | None:
    """Record who was named and cannot have the chat now, so that the refusal can be taken again."""
    if reason not in UNAVAILABLE.values():
        return None
    named = command.agent_id if isinstance(command, ChatAssign | ChatTransfer) else command.by.id
    agent = floor.agents.get((tenant_id, named or ""))
    return None if agent is None else {"receiver": candidate(agent)}


def _detail(floor: Floor, tenant_id: str, command: ChatCommand, chat: Chat | None, reason: str) -> str | None:
    """Name the field at fault and what it may be; None where the reason says it all."""
    match reason:
        case "role_not_allowed":
            return f"by.role is {command.by.role!r}, allowed here: {', '.join(_roles(command))}"
        case "unknown_chat":
            return f"chat_id {command.chat_id!r} is no chat of this tenant"
        case "not_wrapping_up" if chat is not None:
            return f"chat_id names a chat that is {chat.state}, and that nobody wraps up"
        case "chat_not_live" | "stale_assignment" | "not_queued" | "already_offered" | "not_your_offer" if (
            chat is not None
        ):
            return _as_it_is(chat, command, reason)
        case _ if isinstance(command, ChatAssign | ChatTransfer):
            return _wrong_receiver(floor, tenant_id, command, reason)
        case _:
            return None


def _as_it_is(chat: Chat, command: ChatCommand, reason: str) -> str | None:
    if reason == "chat_not_live":
        return f"chat_id names a chat that is {chat.state}, allowed here: {_listed(LIVE)}"
    if reason == "not_queued":
        return f"chat_id names a chat that is {chat.state}, allowed here: {State.QUEUED}"
    if reason == "stale_assignment":
        expected = command.expected_assignment_version
        return f"expected_assignment_version is {expected}, the chat's is {chat.assignment_version}"
    if chat.offer is None:
        return None
    return f"chat_id names a chat offered to {chat.offer.to!r} until {chat.offer.expires_at.isoformat()}"


def _roles(command: ChatCommand) -> tuple[str, ...]:
    match command:
        case ChatReply() | ChatTransfer() | ChatAcceptOffer() | ChatDeclineOffer() | ChatTake():
            return ("agent",)
        case ChatAssign() | ChatSetDepartment() | ChatSetPriority():
            return ("supervisor", "admin")
        case _:
            return ("agent", "supervisor", "admin")


def _wrong_receiver(
    floor: Floor, tenant_id: str, command: ChatAssign | ChatTransfer, reason: str
) -> str | None:
    if command.agent_id is None and command.department_id is None:
        return "agent_id or department_id has to be given"
    match reason:
        case "same_agent":
            return "agent_id names who holds the chat"
        case "unknown_agent":
            return f"agent_id {command.agent_id!r} is nobody who takes chats"
        case "not_a_member":
            return f"agent_id {command.agent_id!r} is no member of department_id {command.department_id!r}"
        case "unknown_department":
            return unknown_department(floor, (tenant_id, command.department_id or ""))
        case _:
            return None


def unknown_department(floor: Floor, asked: Key) -> str:
    """Name the departments there are, or the one that took over."""
    heir = floor.current(asked)
    if heir is not None and heir != asked:
        return f"department_id {asked[1]!r} is retired, its successor is {heir[1]!r}"
    known = floor.directory(asked[0]).departments
    return f"department_id {asked[1]!r} is none of: {_listed(known)}"


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more
