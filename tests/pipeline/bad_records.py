"""Records that are no event, each with the reason its dead letter gives and words that must be in it."""

import json
from typing import Any

from shared.contracts import cloudevents
from shared.contracts.event import Event
from tests.desk_events import a_message, agent_changed, an_event
from tests.pipeline.builders import INBOUND, a_record, a_send


def written(event: Event[Any] | None = None, *, without: str = "", **changed: Any) -> bytes:
    """Write an event as JSON with fields of its data changed, or one left out."""
    document = json.loads(cloudevents.encode(event or an_event(a_message())))
    document["data"] |= changed
    document["data"].pop(without, None)
    return json.dumps(document).encode()


def with_attributes(**changed: Any) -> bytes:
    return json.dumps(json.loads(cloudevents.encode(an_event(a_message()))) | changed).encode()


BROKEN = {
    "an ordinary topic's tombstone": (a_record(None, key=b"k"), "empty_record", "no value"),
    "broken JSON": (a_record(b'{"specversion": "1.0",'), "broken_json", "line 1"),
    "no UTF-8": (a_record(b"\xff\xfe{}"), "broken_json", "UTF-8"),
    "JSON that is no event": (a_record(b'{"hello": "world"}'), "not_a_cloudevent", "specversion"),
    "an unknown type": (
        a_record(with_attributes(type="chatdesk.message.sung.v1")),
        "unknown_type",
        "chatdesk.message.sung.v1",
    ),
    "a known type on another topic": (
        a_record(agent_changed(), topic=INBOUND),
        "wrong_topic",
        "belongs on agents.v1",
    ),
    "a missing field": (
        a_record(written(without="provider_message_id")),
        "invalid_data",
        "data.provider_message_id is missing",
    ),
    "a wrong type": (
        a_record(written(business_address=42)),
        "invalid_data",
        "data.business_address must be a string",
    ),
    "a time without its zone": (
        a_record(written(sent_at="2026-11-22T18:00:00")),
        "invalid_data",
        "data.sent_at must carry a time zone",
    ),
    "an unknown channel": (a_record(written(channel="pigeon")), "invalid_data", "data.channel must be"),
    "a send without its request id": (
        a_record(written(an_event(a_send()), without="request_id"), topic="outbound-messages.v1"),
        "invalid_data",
        "data.request_id is missing",
    ),
    "two million bytes": (a_record(written(extra="x" * 2_000_000)), "too_large", "at most 1000000"),
    "no tenant": (a_record(with_attributes(tenantid="")), "missing_attribute", "tenantid is missing"),
}
