"""Builders of events that speak the domain; every default is valid, a test states only what matters to it."""

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.contracts import agents, catalogue, directory, inbound_messages
from shared.contracts.content import Text
from shared.contracts.event import Cause, Event, Model
from shared.platform.outcome import Received
from shared.platform.records import Record

TENANT = "acme"
BUSINESS = "+27110000000"
NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
"""A Wednesday."""

_numbers = itertools.count(1)


def an_event(
    data: Model, *, tenant: str = TENANT, event_id: str | None = None, at: datetime = NOON
) -> Event[Model]:
    """Wrap a payload as another system's event."""
    cause = Cause(tenant, event_id or f"test-{next(_numbers)}")
    return catalogue.fact(cause, data, source="test", subject="test", time=at)


def received(data: Model, **event: Any) -> Received:
    """Wrap a payload as the pipeline hands it to handlers."""
    one = an_event(data, **event)
    return Received(one, Record(catalogue.topic_of(one.type), 0, next(_numbers), b"", b""))


def a_message(
    text: str = "hello",
    *,
    customer: str = "+27820000001",
    message_id: str | None = None,
    sent_at: datetime = NOON,
    **fields: Any,
) -> inbound_messages.MessageReceived:
    return inbound_messages.MessageReceived(
        **{
            "channel": "whatsapp",
            "business_address": BUSINESS,
            "customer_address": customer,
            "provider": "test",
            "provider_message_id": message_id or f"wamid-{next(_numbers)}",
            "sent_at": sent_at,
            "received_at": sent_at + timedelta(seconds=1),
            "content": Text(text=text),
            **fields,
        }
    )


def a_tenant(first_line: str = "sales", **fields: Any) -> directory.TenantDocument:
    return directory.TenantDocument(
        **{"id": TENANT, "revision": 1, "name": "Acme", "first_line_department": first_line, **fields}
    )


def a_department(id: str = "sales", **fields: Any) -> directory.DepartmentDocument:  # noqa: A002
    return directory.DepartmentDocument(**{"id": id, "revision": 1, "name": id.title(), **fields})


def an_agent_document(id: str = "ann", **fields: Any) -> directory.AgentDocument:  # noqa: A002
    return directory.AgentDocument(
        **{"id": id, "revision": 1, "name": id.title(), "departments": ("sales",), "capacity": 3, **fields}
    )


def agent_changed(
    agent_id: str = "ann", state: str = "online", version: int = 1, **fields: Any
) -> agents.AgentChanged:
    return agents.AgentChanged(
        **{"agent_id": agent_id, "state": state, "cause": "test", "since": NOON, "version": version, **fields}
    )


def a_calendar_document(
    id: str = "hours",  # noqa: A002
    *,
    closed_on: date | None = None,
    **fields: Any,
) -> directory.CalendarDocument:
    """Build a calendar that is always open, but for the day before, of and after one date."""
    whole_day = [{"from": "00:00", "to": "00:00"}]
    days = [closed_on + timedelta(days=n) for n in (-1, 0, 1)] if closed_on else []
    return directory.CalendarDocument.model_validate(
        {
            "id": id,
            "revision": 1,
            "time_zone": "UTC",
            "week": dict.fromkeys(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], whole_day),
            "exceptions": [{"date": day, "intervals": []} for day in days],
            **fields,
        }
    )


def a_channel(base_url: str, **fields: Any) -> directory.ChannelDocument:
    """Build a WhatsApp channel whose provider listens on a URL."""
    return directory.ChannelDocument(
        **{
            "id": "whatsapp",
            "revision": 1,
            "channel": "whatsapp",
            "provider": "whatsapp_cloud",
            "business_address": BUSINESS,
            "base_url": base_url,
            "provider_account": "1000001",
            "secret_ref": "WHATSAPP_TOKEN",
            **fields,
        }
    )
