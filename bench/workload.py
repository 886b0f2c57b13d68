"""What the benchmark of routing hears: one department, its agents, and messages of new customers. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from shared.contracts.agents import AgentChanged
from shared.contracts.catalogue import fact
from shared.contracts.content import Text
from shared.contracts.directory import AgentDocument, DepartmentDocument, TenantDocument
from shared.contracts.event import Cause, Event, Model
from shared.contracts.inbound_messages import Hints, MessageReceived

TENANT = "bench"
DEPARTMENT = "sales"
AGENTS = 400
CAPACITY = 100
IN_FLIGHT = 400
"""Chats that are held at a time where customers end theirs."""
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
_TEXT = (
    "Good morning, my parcel 4711 has not come yet and the tracking page has said 'in transit' since Monday."
)


def setting() -> Iterator[Event[Model]]:
    """The directory, and every agent online. The department is always open and gives to the least loaded."""
    documents: list[Model] = [
        TenantDocument(id=TENANT, revision=1, name="Bench", first_line_department=DEPARTMENT),
        DepartmentDocument(id=DEPARTMENT, revision=1, name="Sales"),
    ]
    for number in range(AGENTS):
        name = f"agent-{number:03}"
        documents += [
            AgentDocument(id=name, revision=1, name=name, departments=(DEPARTMENT,), capacity=CAPACITY),
            AgentChanged(agent_id=name, state="online", cause="signed_in", since=NOON, version=1),
        ]
    for number, document in enumerate(documents):
        yield _event(f"setting-{number}", document)


def messages(count: int) -> Iterator[Event[Model]]:
    """First messages of as many customers who never wrote before."""
    for number in range(count):
        message = MessageReceived(
            channel="whatsapp",
            business_address="+4930901820",
            customer_address=f"+2782{number:07}",
            provider="whatsapp",
            provider_message_id=f"wamid.{number:07}",
            sent_at=NOON,
            received_at=NOON,
            content=Text(text=_TEXT),
            customer_name="A customer",
        )
        yield _event(f"message-{number}", message)


def department(number: int) -> str:
    """Return the name of one of many departments."""
    return f"department-{number}"


def conversations(count: int, departments: int) -> Iterator[Event[Model]]:
    """As many messages: customers who never wrote before write to departments in turn, and end their chats.

    Each ends theirs after `IN_FLIGHT` others have begun, so that no more chats than these are held.
    """
    customers = count // 2
    for number in range(customers + IN_FLIGHT):
        if number < customers:
            yield _said(number, _TEXT, "a", department(number % departments))
        if number - IN_FLIGHT >= 0:
            yield _said(number - IN_FLIGHT, "//end", "b", department((number - IN_FLIGHT) % departments))


def _said(number: int, text: str, turn: str, hint: str) -> Event[Model]:
    message = MessageReceived(
        channel="whatsapp",
        business_address="+4930901820",
        customer_address=f"+2782{number:07}",
        provider="whatsapp",
        provider_message_id=f"wamid.{number:07}{turn}",
        sent_at=NOON,
        received_at=NOON,
        content=Text(text=text),
        customer_name="A customer",
        hints=Hints(department=hint),
    )
    return _event(f"message-{number}{turn}", message)


def _event(event_id: str, data: Model) -> Event[Model]:
    return fact(Cause(TENANT, event_id), data, source="bench", subject="bench", time=NOON)
