"""What tickets knows: the work item over a diverted chat, and what may become of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from shared.contracts.actors import Actor
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.contracts.pairs import PairRef
from shared.contracts.tickets import TicketState


@dataclass(frozen=True, slots=True, order=True)
class PairKey:
    """The key row that is locked: everything about a pair's tickets happens under it."""

    tenant_id: str
    key: str


@dataclass(frozen=True, slots=True, order=True)
class TicketKey:
    """A ticket within its tenant; another tenant's ticket of the same id is another ticket."""

    tenant_id: str
    ticket_id: str


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """A directory document: an agent or a department of a tenant."""

    tenant_id: str
    kind: Literal["agent", "department"]
    id: str


Document: TypeAlias = AgentDocument | DepartmentDocument


@dataclass(frozen=True, slots=True)
class Ticket:
    """The work item over a diverted chat.

    It follows its ``ticket_id`` from chat to chat. ``chat_version`` is the newest version seen of the
    chat it is over now, and stays what it was when the ticket closed. ``pair_key`` never changes, so
    that all facts of one ticket travel under one key.
    """

    key: TicketKey
    pair_key: str
    pair: PairRef
    customer_id: str
    chat_id: str
    chat_version: int
    version: int
    state: TicketState
    reason: str
    opened_at: datetime
    last_message_at: datetime
    department_id: str | None = None
    agent_id: str | None = None
    next_open_at: datetime | None = None
    answered_at: datetime | None = None
    close_reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether work is left to do."""
        return self.state != "closed"

    @property
    def lock(self) -> PairKey:
        """The key row under which this ticket changes."""
        return PairKey(self.key.tenant_id, self.pair_key)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows that a batch needs: pairs to lock, tickets and documents to read."""

    pairs: frozenset[PairKey]
    tickets: frozenset[TicketKey]
    documents: frozenset[DocumentKey]
    holders: frozenset[DocumentKey] = frozenset()
    """Agents of whom every ticket is wanted."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known before a batch: the wanted tickets, the open ones of the locked pairs, documents."""

    tickets: Mapping[TicketKey, Ticket] = field(default_factory=dict)
    documents: Mapping[DocumentKey, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What a ticket takes from the event that opens it, beside the chat itself."""

    key: TicketKey
    pair_key: str
    opened_at: datetime


class CloseReason(StrEnum):
    """Why a ticket closed."""

    DONE = "done"
    """Somebody said so."""
    SUPERSEDED_BY_CHAT = "superseded_by_chat"
    """An agent holds the chat."""
    CHAT_CLOSED = "chat_closed"
    """The chat under it ended."""
    SUPERSEDED_BY_TICKET = "superseded_by_ticket"
    """Routing gave the pair another ticket, and a pair has one."""


class Reason(StrEnum):
    """Why a command is refused."""

    UNKNOWN_TICKET = "unknown_ticket"
    UNKNOWN_AGENT = "unknown_agent"
    TICKET_CLOSED = "ticket_closed"
    ROLE_NOT_ALLOWED = "role_not_allowed"
    NOT_YOUR_TICKET = "not_your_ticket"
    STALE_VERSION = "stale_version"
    UNKNOWN_DEPARTMENT = "unknown_department"
    SAME_AGENT = "same_agent"


@dataclass(frozen=True, slots=True)
class Opened:
    """A diverted chat became work."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Followed:
    """The ticket saw its chat go on. Nobody is told: chats.v1 said it already."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Moved:
    """The ticket belongs to another department; whose it is stays."""

    ticket: Ticket
    by: Actor
    previous_department_id: str | None


@dataclass(frozen=True, slots=True)
class Assigned:
    """The ticket is ``ticket.agent_id``'s."""

    ticket: Ticket
    by: Actor
    previous_agent_id: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Released:
    """The ticket is nobody's and waits in its department."""

    ticket: Ticket
    by: Actor
    previous_agent_id: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Closed:
    """The work is over, at the chat's version that the ticket had seen."""

    ticket: Ticket
    by: Actor
    reason: CloseReason
    note: str | None = None
    tags: tuple[str, ...] = ()


Change: TypeAlias = Opened | Followed | Moved | Assigned | Released | Closed
