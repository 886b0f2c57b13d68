"""One full and one minimal example of every event type.

Write the golden files, the published examples, anew with ``python -m tests.contracts.examples``, then
``chatdesk contracts export``, and read the difference: what changes must be an addition.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime

from shared.contracts import cloudevents
from shared.contracts.catalogue import model_of, pair_key_of, topic_named, topic_of, types
from shared.contracts.event import Event, Model
from shared.contracts.topics import DEAD_LETTER_TYPES

GOLDEN = Path(__file__).parents[2] / "contracts" / "examples"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

_PAIR = {"channel": "whatsapp", "business_address": "+27110000000", "customer_address": "+27820000001"}
_AGENT = {"role": "agent", "id": "agent-7"}
_TEXT = {"kind": "text", "text": "Where is my parcel?"}
_TEMPLATE = {
    "kind": "template",
    "name": "parcel_update",
    "language": "en",
    "components": [{"type": "body", "parameters": [{"type": "text", "text": "P-1"}]}],
}
_VALUES: Mapping[str, Any] = {
    **_PAIR,
    "action": {"buttons": [{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]},
    "agent": "agent-7",
    "agent_id": "agent-7",
    "agents": ["agent-7"],
    "attempts": 1,
    "base_url": "https://graph.facebook.com/v26.0",
    "by": _AGENT,
    "author": _AGENT,
    "calendar": "office-hours",
    "capacity": 5,
    "category": "utility",
    "cause": "signed_in",
    "change": "edited",
    "chat_id": "chat-1",
    "close_reason": "done",
    "code": "131047",
    "command_id": "command-1",
    "content": _TEXT,
    "continues": "chat-0",
    "correlation_id": "acme/request-1",
    "customer_id": "customer-1",
    "customer_ids": ["US.13491208655302741918"],
    "customer_name": "Thandi",
    "date": "2026-12-25",
    "department": "sales",
    "department_id": "sales",
    "to_agent_id": "agent-8",
    "to_department_id": "sales",
    "departments": ["sales"],
    "allowed": ["lunch", "training"],
    "away_reasons": ["lunch", "training"],
    "signal_id": "signal-1",
    "detail": "Message failed to send because more than 24 hours have passed",
    "direction": "inbound",
    "fallback": "first-line",
    "fallback_template": _TEMPLATE,
    "fields": {"order": "P-1"},
    "first_line_department": "first-line",
    "forwarded": True,
    "from": "shop-bot",
    "headers": [["content-type", "application/cloudevents+json"]],
    "hint": "sales",
    "id": "sales",
    "intervals": [{"from": "09:00", "to": "12:00"}],
    "key": "acme:whatsapp:+27110000000:+27820000001",
    "keyword": "order",
    "language": "en",
    "lease_seconds": 60,
    "mentions": ["agent-8"],
    "message_id": "wamid.1",
    "mon": [{"from": "08:00", "to": "17:00"}],
    "move_to": "first-line",
    "name": "Sales",
    "new": "+27820000002",
    "note": "Called back, will write again.",
    "offset": 41,
    "old": "+27820000001",
    "outcome": "declined",
    "pair": _PAIR,
    "pairs": [_PAIR],
    "parked_key": "acme:whatsapp:+27110000000:+27820000001",
    "partition": 3,
    "payload": "yes",
    "previous_agent_id": "agent-8",
    "previous_department_id": "first-line",
    "provider": "whatsapp_cloud",
    "provider_account": "106540352242922",
    "provider_code": "131047",
    "provider_detail": "Re-engagement message",
    "provider_message_id": "wamid.1",
    "reason": "nobody_online",
    "referral": {"source_type": "ad", "source_id": "1"},
    "reply_to": "wamid.0",
    "request_id": "request-1",
    "secret_ref": "acme-whatsapp",
    "service": "routing",
    "session_id": "tab-1",
    "skills": ["returns"],
    "status": "delivered",
    "summary": "Asks for a parcel.",
    "tags": ["parcel"],
    "target": "wamid.0",
    "ticket_id": "ticket-1",
    "time_zone": "Africa/Johannesburg",
    "to": "agent-9",
    "topic": "inbound-messages.v1",
    "transcript": "Bot: Hello.",
    "value": "{}",
    "why": {
        "strategy": "least_loaded",
        "shortlist": [["agent-7", "available", 2, 5, 12, "2026-10-30T08:15:30+00:00"]],
    },
}
_VALUES_OF: Mapping[tuple[str, str], Any] = {
    ("Interval", "from"): "08:00",
    ("Interval", "to"): "17:00",
    ("ChatRecorded", "why"): "stop_word",
    ("ChatRecorded", "content"): {"kind": "text", "text": "STOP"},
    ("SenderChanged", "state"): "halted",
    ("TemplateChanged", "state"): "PAUSED",
    ("TemplateDocument", "state"): "APPROVED",
    ("TemplateDocument", "name"): "parcel_update",
    ("CustomerChanged", "id"): "customer-1",
    ("CustomerErased", "id"): "customer-1",
    ("AgentDocument", "id"): "agent-7",
    ("AgentDocument", "name"): "Naledi",
    ("DeadLetter", "reason"): "broken_json",
    ("DeadLetterReplayed", "by"): "naledi",
    ("DeadLetterDropped", "by"): "naledi",
    ("DeadLetterDropped", "why"): "a test of the publisher's",
    ("DeadLetter", "detail"): "Expecting value at line 1 column 2",
}


def every_type() -> tuple[str, ...]:
    return types()


def full_data(model: type[Model]) -> dict[str, Any]:
    """Every field of the model, nested ones too, with the value its name always has here."""
    return {
        wire_name(model, name): _value(model, wire_name(model, name), field.annotation)
        for name, field in model.model_fields.items()
    }


def minimal_data(model: type[Model]) -> dict[str, Any]:
    """The fields of the model that a publisher must give."""
    return {
        wire_name(model, name): _value(model, wire_name(model, name), field.annotation, minimal=True)
        for name, field in model.model_fields.items()
        if field.is_required()
    }


def wire_name(model: type[Model], name: str) -> str:
    return model.model_fields[name].alias or name


def full(wire_type: str) -> Event[Model]:
    data = model_of(wire_type).model_validate(full_data(model_of(wire_type)))
    return Event(
        id="3c9f3f6e-0c0b-5b68-8f4b-0d8d6b0a1c11",
        source=_source(wire_type),
        type=wire_type,
        subject=_subject(data),
        time=NOON,
        tenant_id="acme",
        data=data,
        pair_key=pair_key_of("acme", data),
        correlation_id="correlation-1",
        causation_id="cause-1",
    )


def minimal_record(wire_type: str) -> dict[str, Any]:
    """The least that any publisher may write."""
    return {
        "specversion": "1.0",
        "id": "1",
        "source": "shop",
        "type": wire_type,
        "time": "2026-11-22T12:00:00Z",
        "tenantid": "acme",
        "data": minimal_data(model_of(wire_type)),
    }


def minimal(wire_type: str) -> Event[Model]:
    return cloudevents.decode(json.dumps(minimal_record(wire_type)).encode())


def readable(event: Event[Model]) -> str:
    """An event as its golden file has it: indented, in the order of the wire."""
    return json.dumps(json.loads(cloudevents.encode(event)), indent=2, ensure_ascii=False) + "\n"


def _source(wire_type: str) -> str:
    return "routing" if wire_type in DEAD_LETTER_TYPES else topic_named(topic_of(wire_type)).says[0]


def _subject(data: Model) -> str:
    names = ("ticket_id", "chat_id", "agent_id", "id", "customer_address", "business_address", "service")
    return next((found for name in names if isinstance(found := getattr(data, name, None), str)), "shop")


def _value(model: type[Model], name: str, annotation: Any, *, minimal: bool = False) -> Any:
    if (model.__name__, name) in _VALUES_OF:
        return _VALUES_OF[model.__name__, name]
    inner = _bare(annotation)
    if (
        isinstance(inner, type)
        and issubclass(inner, Model)
        and inner.__name__ not in {"Actor", "PairRef", "Template"}
    ):
        return minimal_data(inner) if minimal else full_data(inner)
    if get_origin(inner) is tuple and isinstance(_bare(get_args(inner)[0]), type):
        item = _bare(get_args(inner)[0])
        if issubclass(item, Model) and item.__name__ != "PairRef":
            return [full_data(item)]
    if name in _VALUES and (get_origin(inner) is not Literal or _VALUES[name] in get_args(inner)):
        return _VALUES[name]
    return _by_kind(inner)


def _by_kind(kind: Any) -> Any:
    if get_origin(kind) is Literal:
        return get_args(kind)[-1]
    if get_origin(kind) is tuple:
        return [_by_kind(_bare(get_args(kind)[0]))]
    return {int: 2, bool: True, AwareDatetime: "2026-11-22T12:00:00Z"}[kind]


def _bare(annotation: Any) -> Any:
    """Strip what a type is wrapped in: Annotated and Optional."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        chosen = [one for one in get_args(annotation) if one is not NoneType]
        return _bare(chosen[0]) if len(chosen) == 1 else annotation
    return annotation


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.json"):
        old.unlink()
    for wire_type in every_type():
        (GOLDEN / f"{wire_type}.full.json").write_text(readable(full(wire_type)))
        (GOLDEN / f"{wire_type}.minimal.json").write_text(readable(minimal(wire_type)))


if __name__ == "__main__":
    write()
