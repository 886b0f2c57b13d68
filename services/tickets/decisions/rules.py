"""What becomes of a ticket: one rule per event or command, each a pure function over what is known."""

from dataclasses import replace
from typing import Literal

from services.tickets.model import (
    Assigned,
    Closed,
    CloseReason,
    Followed,
    Moved,
    NewTicket,
    Opened,
    Reason,
    Ticket,
)
from shared.contracts.actors import Actor
from shared.contracts.chats import (
    ChatClosed,
    ChatDiverted,
    ChatFact,
    ChatMessageAdded,
    ChatMoved,
    ChatRecorded,
)
from shared.contracts.directory import AgentDocument
from shared.contracts.ticket_commands import TicketAssign, TicketClose, TicketCommand

CONTINUED = "continued"
"""Routing's word for a diverted chat that ends because another chat takes its ticket over."""
SYSTEM = Actor(role="system", id="tickets")

_SUPERVISING = frozenset({"supervisor", "admin"})


def on_divert(
    chat: ChatDiverted, new: NewTicket, ticket: Ticket | None, other: Ticket | None
) -> tuple[Opened | Followed | Closed, ...]:
    """A diverted chat opens its ticket, or waits again under the one it has.

    ``other`` is the pair's open ticket if it is not this one: routing gave the pair a new one, so the
    old one is over. A divert under a closed ticket changes nothing: routing will hear that the ticket
    closed at an older version of the chat, and divert it under the next id.
    """
    if ticket is not None:
        return (_wait_again(ticket, chat),) if ticket.is_open else ()
    opened = Opened(_opened(chat, new))
    if other is None:
        return (opened,)
    return (_closed(other, SYSTEM, CloseReason.SUPERSEDED_BY_TICKET), opened)


def on_chat(chat: ChatFact, ticket: Ticket | None) -> Followed | Moved | Closed | None:
    """An open ticket follows the chat that carries it, and ends when an agent holds that chat.

    A chat that moves takes its ticket along. Every fact counts, for the version it brings: routing closes
    the chat of a closed ticket only at the version the ticket had seen. A chat that closed no longer
    carries the ticket.
    """
    if ticket is None or not ticket.is_open:
        return None
    match chat.state:
        case "diverted" | "queued" if isinstance(chat, ChatMoved) and chat.department_id is not None:
            return _moved(_followed(ticket, chat), chat.by or SYSTEM, chat.department_id)
        case "diverted" | "queued":
            return Followed(_heard(_followed(ticket, chat), chat))
        case "assigned" | "pending":
            return _closed(_followed(ticket, chat), SYSTEM, CloseReason.SUPERSEDED_BY_CHAT)
        case "closed":
            return _on_chat_closed(chat, ticket)


def on_recorded(recorded: ChatRecorded, ticket: Ticket | None) -> Followed | None:
    """What is put on record within the chat is no message, but it takes a version of the chat."""
    if ticket is None or recorded.version is None or recorded.chat_id != ticket.chat_id:
        return None
    return Followed(replace(ticket, chat_version=recorded.version))


def _on_chat_closed(chat: ChatFact, ticket: Ticket) -> Closed | None:
    """A ticket ends with its chat, unless another chat takes it over."""
    if not isinstance(chat, ChatClosed) or chat.reason == CONTINUED or chat.chat_id != ticket.chat_id:
        return None
    return _closed(_followed(ticket, chat), chat.by, CloseReason.CHAT_CLOSED)


def assign(command: TicketAssign, ticket: Ticket | None, agent: AgentDocument | None) -> Assigned | Reason:
    """A supervisor or admin gives an open ticket to any agent, online or not, whoever had it before."""
    if ticket is None:
        return Reason.UNKNOWN_TICKET
    if command.by.role not in _SUPERVISING:
        return Reason.ROLE_NOT_ALLOWED
    if (obstacle := _obstacle(command, ticket)) is not None:
        return obstacle
    if agent is None or agent.retired or "agent" not in agent.roles:
        return Reason.UNKNOWN_AGENT
    given = replace(_next(ticket, "assigned"), agent_id=agent.id)
    return Assigned(given, command.by, previous_agent_id=ticket.agent_id, note=command.note)


def close(command: TicketClose, ticket: Ticket | None) -> Closed | Reason:
    """A supervisor or admin closes any open ticket, an agent their own."""
    if ticket is None:
        return Reason.UNKNOWN_TICKET
    if command.by.role not in {"agent", *_SUPERVISING}:
        return Reason.ROLE_NOT_ALLOWED
    if (obstacle := _obstacle(command, ticket)) is not None:
        return obstacle
    if command.by.role == "agent" and (ticket.agent_id is None or command.by.id != ticket.agent_id):
        return Reason.NOT_YOUR_TICKET
    return _closed(ticket, command.by, CloseReason.DONE, note=command.note, tags=command.tags)


def _obstacle(command: TicketCommand, ticket: Ticket) -> Reason | None:
    if not ticket.is_open:
        return Reason.TICKET_CLOSED
    if command.expected_version not in (None, ticket.version):
        return Reason.STALE_VERSION
    return None


def _opened(chat: ChatDiverted, new: NewTicket) -> Ticket:
    return Ticket(
        key=new.key,
        pair_key=new.pair_key,
        pair=chat.pair,
        customer_id=chat.customer_id,
        chat_id=chat.chat_id,
        chat_version=chat.version,
        version=1,
        state="unassigned",
        reason=chat.reason,
        opened_at=new.opened_at,
        last_message_at=chat.last_inbound_at or new.opened_at,
        department_id=chat.department_id,
        next_open_at=chat.next_open_at,
    )


def _wait_again(ticket: Ticket, chat: ChatDiverted) -> Followed:
    """The newest divert says why the ticket waits; whose it is, and its department, stay."""
    seen = _heard(_followed(ticket, chat), chat)
    return Followed(replace(seen, reason=chat.reason, next_open_at=chat.next_open_at))


def _followed(ticket: Ticket, chat: ChatFact) -> Ticket:
    """The chat that names the ticket is the one it is over; each chat counts its own versions."""
    return replace(ticket, chat_id=chat.chat_id, chat_version=chat.version, pair=chat.pair)


def _heard(ticket: Ticket, chat: ChatFact) -> Ticket:
    """The customer's last message moves the ticket up, by arrival; it never moves down."""
    heard_at = chat.last_inbound_at
    if isinstance(chat, ChatMessageAdded) and chat.direction == "inbound":
        heard_at = chat.received_at
    if heard_at is None or heard_at <= ticket.last_message_at:
        return ticket
    return replace(ticket, last_message_at=heard_at)


def _next(ticket: Ticket, state: Literal["assigned", "closed"]) -> Ticket:
    return replace(ticket, version=ticket.version + 1, state=state)


def _moved(ticket: Ticket, by: Actor, department_id: str) -> Moved:
    moved = replace(ticket, version=ticket.version + 1, department_id=department_id)
    return Moved(moved, by, previous_department_id=ticket.department_id)


def _closed(
    ticket: Ticket, by: Actor, reason: CloseReason, *, note: str | None = None, tags: tuple[str, ...] = ()
) -> Closed:
    ended = replace(_next(ticket, "closed"), close_reason=reason.value)
    return Closed(ended, by, reason, note, tags)
