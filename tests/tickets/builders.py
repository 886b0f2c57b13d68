"""Facts and commands as the tests of tickets speak of them: every default is valid."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.tickets.model import Ticket, TicketKey
from shared.contracts import catalogue
from shared.contracts.actors import Actor
from shared.contracts.chats import (
    ChatAssigned,
    ChatClosed,
    ChatDiverted,
    ChatMessageAdded,
    ChatMoved,
    ChatNoted,
    ChatQueued,
    ChatRecorded,
)
from shared.contracts.content import Text
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.contracts.event import Event, Model
from shared.contracts.pair import Pair
from shared.contracts.pairs import PairRef
from shared.contracts.ticket_commands import TicketAssign, TicketClose

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TENANT = "acme"
SUPERVISOR = Actor(role="supervisor", id="sue")


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def a_pair(customer: str = "+491700000001") -> PairRef:
    return PairRef(channel="whatsapp", business_address="+4930111", customer_address=customer)


def pair_key(customer: str = "+491700000001", tenant: str = TENANT) -> str:
    return Pair.of(tenant, "whatsapp", "+4930111", customer).key


def the_agent(name: str) -> Actor:
    return Actor(role="agent", id=name)


_count = iter(range(1_000_000_000))


def an_event(
    data: Model,
    *,
    tenant: str = TENANT,
    time: datetime = NOON,
    event_id: str | None = None,
    pair: str | None = None,
) -> Event[Any]:
    """Wrap data as read from its topic; without an id it is an event nobody saw before."""
    named = catalogue.pair_key_of(tenant, data)
    return Event(
        id=event_id or f"event-{next(_count)}",
        source="test",
        type=catalogue.type_of(type(data)),
        subject="test",
        time=time,
        tenant_id=tenant,
        data=data,
        pair_key=pair or named,
    )


def _chat(
    *,
    chat: str,
    version: int,
    state: str,
    ticket: str | None,
    customer: str,
    last_inbound_at: datetime | None = NOON,
    agent: str | None = None,
    department: str | None = "sales",
) -> dict[str, Any]:
    return {
        "chat_id": chat,
        "version": version,
        "assignment_version": 0,
        "state": state,
        "pair": a_pair(customer),
        "customer_id": f"customer of {customer}",
        "department_id": department,
        "agent_id": agent,
        "ticket_id": ticket,
        "opened_at": NOON,
        "opened_by": "customer",
        "last_inbound_at": last_inbound_at,
        "last_word": "customer",
    }


def diverted(
    chat: str = "c1",
    *,
    version: int = 3,
    ticket: str | None = "t1",
    customer: str = "+491700000001",
    reason: str = "no_agents_online",
    next_open_at: datetime | None = None,
    last_inbound_at: datetime | None = NOON,
    department: str = "sales",
) -> ChatDiverted:
    facts = _chat(
        chat=chat,
        version=version,
        state="diverted",
        ticket=ticket,
        customer=customer,
        last_inbound_at=last_inbound_at,
        department=department,
    )
    return ChatDiverted(**facts, reason=reason, next_open_at=next_open_at)


def queued(
    chat: str = "c1", *, version: int = 4, ticket: str = "t1", customer: str = "+491700000001"
) -> ChatQueued:
    return ChatQueued(**_chat(chat=chat, version=version, state="queued", ticket=ticket, customer=customer))


def moved(to: str, *, state: str = "diverted", version: int = 4) -> ChatMoved:
    fields = _chat(chat="c1", version=version, state=state, ticket="t1", customer="+491700000001")
    return ChatMoved(**(fields | {"department_id": to}), reason="department_retired")


def assigned(
    chat: str = "c1", *, version: int = 4, ticket: str | None = "t1", customer: str = "+491700000001"
) -> ChatAssigned:
    facts = _chat(chat=chat, version=version, state="assigned", ticket=ticket, customer=customer, agent="ada")
    return ChatAssigned(**facts)


def noted(
    chat: str = "c1",
    *,
    version: int = 4,
    state: str = "diverted",
    ticket: str = "t1",
    customer: str = "+491700000001",
) -> ChatNoted:
    facts = _chat(chat=chat, version=version, state=state, ticket=ticket, customer=customer)
    return ChatNoted(**facts, by=SUPERVISOR, note="call back")


def chat_closed(
    chat: str = "c1",
    *,
    version: int = 4,
    ticket: str = "t1",
    reason: str = "closed",
    by: Actor = SUPERVISOR,
    customer: str = "+491700000001",
) -> ChatClosed:
    facts = _chat(chat=chat, version=version, state="closed", ticket=ticket, customer=customer)
    return ChatClosed(**facts, by=by, reason=reason)


def message_added(
    chat: str = "c1",
    *,
    version: int = 4,
    ticket: str = "t1",
    state: str = "diverted",
    direction: str = "inbound",
    received_at: datetime = NOON,
    customer: str = "+491700000001",
) -> ChatMessageAdded:
    facts = _chat(chat=chat, version=version, state=state, ticket=ticket, customer=customer)
    return ChatMessageAdded(
        **facts,
        message_id=f"m{version}",
        direction=direction,
        author=Actor(role="customer"),
        content=Text(kind="text", text="hello"),
        sent_at=received_at,
        received_at=received_at,
    )


def recorded(chat: str = "c1", *, version: int = 4, customer: str = "+491700000001") -> ChatRecorded:
    return ChatRecorded(
        pair=a_pair(customer),
        customer_id="customer",
        chat_id=chat,
        version=version,
        message_id="stop",
        content=Text(kind="text", text="STOP"),
        why="stop_word",
    )


def give(
    ticket: str = "t1", *, to: str = "ada", by: Actor = SUPERVISOR, expected: int | None = None
) -> TicketAssign:
    return TicketAssign(by=by, ticket_id=ticket, agent_id=to, expected_version=expected)


def finish(ticket: str = "t1", *, by: Actor = SUPERVISOR, expected: int | None = None) -> TicketClose:
    return TicketClose(by=by, ticket_id=ticket, note="done", tags=("refund",), expected_version=expected)


def an_agent(
    name: str = "ada",
    *,
    revision: int = 1,
    retired: bool = False,
    roles: tuple[str, ...] = ("agent",),
) -> AgentDocument:
    return AgentDocument(
        id=name, name=name.title(), revision=revision, retired=retired, capacity=5, roles=roles
    )


def a_department(name: str = "sales", *, revision: int = 1, **fields: Any) -> DepartmentDocument:
    return DepartmentDocument(id=name, name=name.title(), revision=revision, **fields)


def a_ticket(
    ticket: str = "t1",
    *,
    state: str = "unassigned",
    agent: str | None = None,
    version: int = 1,
    chat: str = "c1",
    chat_version: int = 3,
    customer: str = "+491700000001",
    last_message_at: datetime = NOON,
    tenant: str = TENANT,
) -> Ticket:
    return Ticket(
        key=TicketKey(tenant, ticket),
        pair_key=pair_key(customer, tenant),
        pair=a_pair(customer),
        customer_id=f"customer of {customer}",
        chat_id=chat,
        chat_version=chat_version,
        version=version,
        state=state,  # type: ignore[arg-type]  # tests write the words plainly
        reason="no_agents_online",
        opened_at=NOON,
        last_message_at=last_message_at,
        department_id="sales",
        agent_id=agent,
        close_reason="done" if state == "closed" else None,
    )
