"""What can be seen of the centre from its topics while it runs, by those who act and those who watch."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from shared.contracts.agents import AgentChanged
from shared.contracts.chats import (
    ChatAssigned,
    ChatClosed,
    ChatCommandRefused,
    ChatDiverted,
    ChatFact,
    ChatMessageAdded,
    ChatOffered,
    ChatOfferEnded,
    ChatOpened,
    ChatQueued,
    ChatWrapUpEnded,
)
from shared.contracts.deliveries import Delivery
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.contracts.event import Event
from shared.contracts.tickets import TicketClosed, TicketCommandRefused, TicketFact

FURTHEST: Mapping[str, int] = MappingProxyType(
    {
        word: rank
        for rank, word in enumerate(
            (
                "held",
                "in_doubt",
                "unknown",
                "refused",
                "accepted",
                "sent",
                "failed",
                "delivered",
                "read",
                "played",
            )
        )
    }
)
"""How far a delivery is: one that was told twice, or late, never goes back."""
_WAITS_KEPT = 2000


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused, ``chat`` or ``ticket`` commands or a ``send``, and why."""

    of: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a customer's first message took to reach an agent who was free, and when that was seen."""

    at: datetime
    seconds: float


@dataclass(slots=True)
class Scene:
    """The latest of everything that was heard. Hearing an event again changes nothing."""

    departments: dict[str, DepartmentDocument] = field(default_factory=dict)
    people: dict[str, AgentDocument] = field(default_factory=dict)
    chats: dict[str, ChatFact] = field(default_factory=dict)
    """Those that are not closed."""
    slots: dict[str, str] = field(default_factory=dict)
    """By chat, who has a slot taken for one that is offered to them, or that they wrap up."""
    tickets: dict[str, TicketFact] = field(default_factory=dict)
    """Those that are not closed."""
    agents: dict[str, AgentChanged] = field(default_factory=dict)
    deliveries: dict[str, str] = field(default_factory=dict)
    """How far each request is, as the last word of its type."""
    closed_chats: int = 0
    closed_tickets: Counter[str] = field(default_factory=Counter)
    """By reason."""
    refusals: Counter[Refusal] = field(default_factory=Counter)
    opens_at: dict[str, datetime] = field(default_factory=dict)
    """When departments that are closed open again, as far as a diverted chat told."""
    waits: deque[Wait] = field(default_factory=lambda: deque(maxlen=_WAITS_KEPT))
    _versions: dict[tuple[str, str], int] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _undecided: dict[str, datetime | None] = field(default_factory=dict)
    """When the first message was received of each new chat that has neither an agent nor a place yet."""

    def hear(self, event: Event[Any], written_at: datetime) -> None:
        """Take in one event, which the broker had at ``written_at``."""
        match event.data:
            case ChatFact() as chat if self._is_news("chat", chat.chat_id, chat.version):
                self._hear_chat(chat, written_at)
            case TicketFact() as ticket if self._is_news("ticket", ticket.ticket_id, ticket.version):
                self._hear_ticket(ticket)
            case AgentChanged() as agent if self._is_news("agent", agent.agent_id, agent.version):
                self.agents[agent.agent_id] = agent
            case ChatCommandRefused(command_id=command_id, reason=reason):
                self._refuse(command_id, Refusal("chat", reason))
            case TicketCommandRefused(command_id=command_id, reason=reason):
                self._refuse(command_id, Refusal("ticket", reason))
            case Delivery() as delivery:
                self._hear_delivery(delivery, event.type.split(".")[2])
            case DepartmentDocument() as department if self._is_news(
                "department", department.id, department.revision
            ):
                self.departments[department.id] = department
            case AgentDocument() as person if self._is_news("person", person.id, person.revision):
                self.people[person.id] = person
            case _:
                pass

    def of_state(self, state: str) -> int:
        """Count the chats in a state; closed ones are not kept, only counted."""
        return sum(chat.state == state for chat in self.chats.values())

    def _is_news(self, kind: str, name: str, version: int) -> bool:
        """Tell whether a version is newer than what was heard of a thing, and remember it."""
        if self._versions.get((kind, name), -1) >= version:
            return False
        self._versions[(kind, name)] = version
        return True

    def _hear_chat(self, chat: ChatFact, written_at: datetime) -> None:
        match chat:
            case ChatOpened():
                self._undecided[chat.chat_id] = None
            case ChatMessageAdded() if self._undecided.get(chat.chat_id, chat) is None:
                self._undecided[chat.chat_id] = chat.received_at
            case ChatAssigned():
                received_at = self._undecided.pop(chat.chat_id, None)
                if received_at is not None:
                    self.waits.append(Wait(written_at, (written_at - received_at).total_seconds()))
            case ChatDiverted(department_id=str() as department_id, next_open_at=datetime() as opens_at):
                self._undecided.pop(chat.chat_id, None)
                self.opens_at[department_id] = opens_at
            case ChatQueued() | ChatDiverted():
                self._undecided.pop(chat.chat_id, None)
            case _:
                pass
        self._hear_slot(chat)
        self.closed_chats += isinstance(chat, ChatClosed)
        _keep(self.chats, chat.chat_id, chat, closed=chat.state == "closed")

    def _hear_slot(self, chat: ChatFact) -> None:
        match chat:
            case ChatOffered(to=agent_id):
                self.slots[chat.chat_id] = agent_id
            case ChatClosed(previous_agent_id=str() as agent_id, wrap_up_until=datetime()):
                self.slots[chat.chat_id] = agent_id
            case ChatOfferEnded() | ChatWrapUpEnded():
                self.slots.pop(chat.chat_id, None)
            case _:
                pass

    def _hear_ticket(self, ticket: TicketFact) -> None:
        if isinstance(ticket, TicketClosed):
            self.closed_tickets[ticket.close_reason] += 1
        _keep(self.tickets, ticket.ticket_id, ticket, closed=ticket.state == "closed")

    def _hear_delivery(self, delivery: Delivery, word: str) -> None:
        before = self.deliveries.get(delivery.request_id)
        if before is not None and FURTHEST[before] >= FURTHEST[word]:
            return
        self.deliveries[delivery.request_id] = word
        if word == "refused":
            self.refusals[Refusal("send", delivery.reason or "unsaid")] += 1

    def _refuse(self, command_id: str, refusal: Refusal) -> None:
        if command_id not in self._refused:
            self._refused.add(command_id)
            self.refusals[refusal] += 1


def _keep(kept: dict[str, Any], key: str, fact: Any, *, closed: bool) -> None:
    if closed:
        kept.pop(key, None)
    else:
        kept[key] = fact
