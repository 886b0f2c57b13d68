"""The fold of the rules over one batch, in order, in memory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from services.tickets.decisions import handing_over, rules
from services.tickets.model import (
    Assigned,
    Change,
    Closed,
    Document,
    DocumentKey,
    Facts,
    Followed,
    Moved,
    NewTicket,
    Opened,
    PairKey,
    Reason,
    Released,
    Ticket,
    TicketKey,
    Wanted,
)
from shared.contracts import catalogue
from shared.contracts.chats import ChatDiverted, ChatFact, ChatRecorded
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.contracts.event import Event, Model
from shared.contracts.ticket_commands import TicketAssign, TicketClose, TicketCommand, TicketHandOver
from shared.contracts.tickets import (
    TicketAssigned,
    TicketClosed,
    TicketCommandRefused,
    TicketMoved,
    TicketOpened,
    TicketReleased,
)

SOURCE = "tickets"


@dataclass(slots=True)
class Folded:
    """What a batch changed, what is to be said of it, and which events never can be handled."""

    tickets: dict[TicketKey, Ticket] = field(default_factory=dict)
    documents: dict[DocumentKey, Document] = field(default_factory=dict)
    outgoing: list[Event[Model]] = field(default_factory=list)
    without_ticket: list[int] = field(default_factory=list)
    """Which of the events are diverts that name no ticket."""


def wanted(events: Iterable[Event[Model]]) -> Wanted:
    """Return the keys of everything that these events are about."""
    pairs: set[PairKey] = set()
    tickets: set[TicketKey] = set()
    documents: set[DocumentKey] = set()
    holders: set[DocumentKey] = set()
    for event in events:
        match event.data:
            case ChatFact(ticket_id=str() as ticket_id):
                pairs.add(_pair_of(event))
                tickets.add(TicketKey(event.tenant_id, ticket_id))
            case ChatRecorded(chat_id=str()):
                pairs.add(_pair_of(event))
            case TicketAssign() as command:
                tickets.add(TicketKey(event.tenant_id, command.ticket_id))
                documents.add(DocumentKey(event.tenant_id, "agent", command.agent_id))
            case TicketCommand() as command:
                tickets.add(TicketKey(event.tenant_id, command.ticket_id))
            case TicketHandOver() as command:
                holders.add(DocumentKey(event.tenant_id, "agent", command.agent_id))
                documents.update(_named(event.tenant_id, command))
            case AgentDocument() | DepartmentDocument() as document:
                documents.add(_document_key(event.tenant_id, document))
            case _:
                pass
    return Wanted(frozenset(pairs), frozenset(tickets), frozenset(documents), frozenset(holders))


def _named(tenant_id: str, command: TicketHandOver) -> set[DocumentKey]:
    found = {DocumentKey(tenant_id, "agent", command.agent_id)}
    if command.to_agent_id is not None:
        found.add(DocumentKey(tenant_id, "agent", command.to_agent_id))
    if command.to_department_id is not None:
        found.add(DocumentKey(tenant_id, "department", command.to_department_id))
    return found


def fold(facts: Facts, events: Sequence[Event[Model]], now: datetime) -> Folded:
    """Decide every event in order, each upon what the ones before it left behind."""
    folding = _Folding(facts, now)
    for n, event in enumerate(events):
        if isinstance(event.data, ChatDiverted) and event.data.ticket_id is None:
            folding.folded.without_ticket.append(n)
        else:
            folding.take(event)
    return folding.folded


class _Folding:
    """The state of one fold: what was known, overlaid with what the batch has changed so far."""

    def __init__(self, facts: Facts, now: datetime) -> None:
        self._facts = facts
        self._now = now
        self._open = {ticket.lock: ticket.key for ticket in facts.tickets.values() if ticket.is_open}
        self.folded = Folded()

    def take(self, event: Event[Any]) -> None:
        match event.data:
            case ChatDiverted(ticket_id=str() as ticket_id) as chat:
                self._divert(event, chat, TicketKey(event.tenant_id, ticket_id))
            case ChatFact(ticket_id=str() as ticket_id) as chat:
                change = rules.on_chat(chat, self._ticket(event, ticket_id))
                self._apply(event, () if change is None else (change,))
            case ChatRecorded(chat_id=str()) as recorded:
                ticket = self._known(self._open.get(_pair_of(event)))
                followed = rules.on_recorded(recorded, ticket)
                self._apply(event, () if followed is None else (followed,))
            case TicketAssign() as command:
                ticket = self._ticket(event, command.ticket_id)
                agent = self._agent(DocumentKey(event.tenant_id, "agent", command.agent_id))
                self._answer(event, command, ticket, rules.assign(command, ticket, agent))
            case TicketClose() as command:
                ticket = self._ticket(event, command.ticket_id)
                self._answer(event, command, ticket, rules.close(command, ticket))
            case TicketHandOver() as command:
                self._hand_over(event, command)
            case AgentDocument() | DepartmentDocument() as document:
                self._learn(_document_key(event.tenant_id, document), document)
            case _:
                pass

    def _divert(self, event: Event[Any], chat: ChatDiverted, key: TicketKey) -> None:
        pair = _pair_of(event)
        open_key = self._open.get(pair)
        other = None if open_key == key else self._known(open_key)
        new = NewTicket(key, pair.key, event.time)
        self._apply(event, rules.on_divert(chat, new, self._known(key), other))

    def _hand_over(self, event: Event[Any], command: TicketHandOver) -> None:
        tenant_id = event.tenant_id
        department = self._document(DocumentKey(tenant_id, "department", command.to_department_id or ""))
        refusal = handing_over.judge(
            command,
            self._agent(DocumentKey(tenant_id, "agent", command.agent_id)),
            self._agent(DocumentKey(tenant_id, "agent", command.to_agent_id or "")),
            department if isinstance(department, DepartmentDocument) else None,
        )
        if refusal is not None:
            refused = TicketCommandRefused(command_id=event.id, reason=refusal.value, by=command.by)
            self._say(event, refused, subject=command.agent_id, pair_key=None)
            return
        now = {**self._facts.tickets, **self.folded.tickets}
        self._apply(
            event, handing_over.hand_over(command, [t for k, t in now.items() if k.tenant_id == tenant_id])
        )

    def _answer(
        self, event: Event[Any], command: TicketCommand, ticket: Ticket | None, answer: Change | Reason
    ) -> None:
        if isinstance(answer, Reason):
            self._refuse(event, command, ticket, answer)
        else:
            self._apply(event, (answer,))

    def _apply(self, event: Event[Any], changes: Iterable[Change]) -> None:
        for change in changes:
            ticket = change.ticket
            self.folded.tickets[ticket.key] = ticket
            if ticket.is_open:
                self._open[ticket.lock] = ticket.key
            elif self._open.get(ticket.lock) == ticket.key:
                del self._open[ticket.lock]
            fact = _fact(change)
            if fact is not None:
                self._say(event, fact, subject=ticket.key.ticket_id, pair_key=ticket.pair_key)

    def _refuse(
        self, event: Event[Any], command: TicketCommand, ticket: Ticket | None, reason: Reason
    ) -> None:
        refusal = TicketCommandRefused(
            command_id=event.id,
            reason=reason.value,
            by=command.by,
            ticket_id=command.ticket_id,
            chat_id=ticket.chat_id if ticket else None,
            version=ticket.version if ticket else None,
        )
        pair_key = ticket.pair_key if ticket else None
        self._say(event, refusal, subject=command.ticket_id, pair_key=pair_key)

    def _say(self, event: Event[Any], fact: Model, *, subject: str, pair_key: str | None) -> None:
        self.folded.outgoing.append(
            catalogue.fact(
                event.as_cause(), fact, source=SOURCE, subject=subject, time=self._now, pair_key=pair_key
            )
        )

    def _learn(self, key: DocumentKey, document: Document) -> None:
        """A document counts unless a newer revision of it was read before."""
        known = self._document(key)
        if known is None or document.revision > known.revision:
            self.folded.documents[key] = document

    def _ticket(self, event: Event[Any], ticket_id: str) -> Ticket | None:
        return self._known(TicketKey(event.tenant_id, ticket_id))

    def _known(self, key: TicketKey | None) -> Ticket | None:
        if key is None:
            return None
        return self.folded.tickets.get(key) or self._facts.tickets.get(key)

    def _document(self, key: DocumentKey) -> Document | None:
        return self.folded.documents.get(key) or self._facts.documents.get(key)

    def _agent(self, key: DocumentKey) -> AgentDocument | None:
        document = self._document(key)
        return document if isinstance(document, AgentDocument) else None


def _fact(change: Change) -> Model | None:
    """Return what tickets.v1 says of a change."""
    match change:
        case Opened(ticket=ticket):
            return TicketOpened(**_state(ticket))
        case Followed():
            return None
        case Moved(ticket=ticket):
            return TicketMoved(
                **_state(ticket), by=change.by, previous_department_id=change.previous_department_id
            )
        case Assigned(ticket=ticket):
            return TicketAssigned(
                **_state(ticket), previous_agent_id=change.previous_agent_id, by=change.by, note=change.note
            )
        case Released(ticket=ticket):
            return TicketReleased(
                **_state(ticket), previous_agent_id=change.previous_agent_id, by=change.by, note=change.note
            )
        case Closed(ticket=ticket):
            return TicketClosed(
                **_state(ticket),
                by=change.by,
                close_reason=change.reason.value,
                chat_version=ticket.chat_version,
                note=change.note,
                tags=change.tags,
            )
        case _:
            assert_never(change)


def _state(ticket: Ticket) -> dict[str, Any]:
    return {
        "ticket_id": ticket.key.ticket_id,
        "chat_id": ticket.chat_id,
        "version": ticket.version,
        "state": ticket.state,
        "reason": ticket.reason,
        "pair": ticket.pair,
        "customer_id": ticket.customer_id,
        "department_id": ticket.department_id,
        "agent_id": ticket.agent_id,
        "opened_at": ticket.opened_at,
        "next_open_at": ticket.next_open_at,
        "last_message_at": ticket.last_message_at,
        "answered_at": ticket.answered_at,
    }


def _pair_of(event: Event[Any]) -> PairKey:
    """The pair as routing keyed it; a publisher that gave no key is read by the addresses."""
    return PairKey(event.tenant_id, catalogue.key_of(event))


def _document_key(tenant_id: str, document: Document) -> DocumentKey:
    if isinstance(document, AgentDocument):
        return DocumentKey(tenant_id, "agent", document.id)
    return DocumentKey(tenant_id, "department", document.id)
