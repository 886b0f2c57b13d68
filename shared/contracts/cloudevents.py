"""CloudEvents 1.0 on Kafka: structured mode out, structured and binary mode in (system.md, 2)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from shared.contracts import strict_json
from shared.contracts.catalogue import model_of, pair_of
from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model
from shared.contracts.fields import read_time
from shared.contracts.inbound_messages import InboundMessage
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.plain_words import explain
from shared.contracts.topics import DEAD_LETTER

CONTENT_TYPE = "application/cloudevents+json"
LARGEST = 1_000_000
"""Bytes of one event, decompressed."""

_Headers = Sequence[tuple[str, bytes | None]]
_SPEC_VERSION = "1.0"
_PREFIX = "ce_"
_LONGEST = {"source": 1024, "subject": 1024, "pairkey": 2048}
_LONGEST_OTHER = 256


def encode(event: Event[Model]) -> bytes:
    """Write an event in structured mode: one JSON object, attributes first, absent fields left out."""
    attributes = {
        "specversion": _SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject or None,
        "time": event.time.astimezone(UTC),
        "datacontenttype": "application/json",
        "tenantid": event.tenant_id or None,
        "pairkey": event.pair_key,
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
    }
    head = to_json(attributes, exclude_none=True)
    data = event.data.model_dump_json(by_alias=True, exclude_none=True).encode()
    return b'%b,"data":%b}' % (head[:-1], data)


def decode(value: bytes | None, headers: _Headers = ()) -> Event[Model]:
    """Read one record. Raises Rejected, and nothing else, for whatever is not an event of the catalogue.

    Reasons: ``empty_record``, ``too_large``, ``broken_json``, ``not_a_cloudevent``,
    ``missing_attribute``, ``invalid_attribute``, ``naive_time``, ``unknown_type``, ``invalid_data``,
    ``invalid_pair_key``, ``wrong_tenant``.
    """
    if not value:
        raise Rejected("empty_record", "the record has no value")
    if len(value) > LARGEST:
        raise Rejected("too_large", f"the record has {len(value)} bytes, an event at most {LARGEST}")
    if (attributes := _binary_attributes(headers)) is not None:
        return _event(attributes, strict_json.parse(value))
    document = strict_json.parse(value)
    if not isinstance(document, dict) or "specversion" not in document:
        raise Rejected("not_a_cloudevent", "the record is no JSON object with a specversion")
    if "data" not in document:
        raise Rejected("invalid_data", "data is missing; it must be a JSON object")
    return _event(document, document["data"])


def _binary_attributes(headers: _Headers) -> dict[str, str] | None:
    """Return the attributes of binary mode; None when the headers say that it is structured mode."""
    attributes: dict[str, str] = {}
    content_type = ""
    for name, raw in headers:
        lowered = name.lower()
        if lowered == "content-type":
            content_type = (raw or b"").decode(errors="replace").strip().lower()
        elif lowered.startswith(_PREFIX) and raw is not None:
            _add(attributes, lowered.removeprefix(_PREFIX), raw)
    if content_type.startswith("application/cloudevents-batch"):
        raise Rejected("not_a_cloudevent", "batches are not read; publish one event in each record")
    if content_type.startswith("application/cloudevents") or not attributes:
        return None
    if content_type:
        attributes["datacontenttype"] = content_type
    return attributes


def _add(attributes: dict[str, str], name: str, raw: bytes) -> None:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        if name in _READ:
            raise Rejected("invalid_attribute", f"the header {_PREFIX}{name} is not UTF-8") from error
        return
    if attributes.setdefault(name, text) != text:
        raise Rejected("invalid_attribute", f"the header {_PREFIX}{name} appears twice")


def _event(attributes: Mapping[str, Any], data: Any) -> Event[Model]:
    if _needed(attributes, "specversion") != _SPEC_VERSION:
        raise Rejected("not_a_cloudevent", f"specversion must be {_SPEC_VERSION}")
    _require_json(attributes)
    wire_type = _needed(attributes, "type")
    event_id = _needed(attributes, "id")
    source = _needed(attributes, "source")
    time = _time(attributes)
    tenant_id = _optional(attributes, "tenantid") or ""
    if not tenant_id and wire_type != DEAD_LETTER:
        raise Rejected("missing_attribute", "tenantid is missing")
    payload = _data(wire_type, data)
    return Event(
        id=event_id,
        source=source,
        type=wire_type,
        subject=_optional(attributes, "subject") or "",
        time=time,
        tenant_id=tenant_id,
        data=payload,
        pair_key=_pair_key(_optional(attributes, "pairkey"), tenant_id, payload),
        correlation_id=_optional(attributes, "correlationid"),
        causation_id=_optional(attributes, "causationid"),
    )


_READ = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "tenantid",
        "pairkey",
        "correlationid",
        "causationid",
    }
)


def _needed(attributes: Mapping[str, Any], name: str) -> str:
    if (text := _optional(attributes, name)) is None:
        raise Rejected("missing_attribute", f"{name} is missing")
    return text


def _optional(attributes: Mapping[str, Any], name: str) -> str | None:
    """Return an attribute; an empty one is absent, as CloudEvents has it."""
    text = attributes.get(name)
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise Rejected("invalid_attribute", f"{name} must be a string")
    if len(text) > _LONGEST_OTHER and len(text) > (longest := _LONGEST.get(name, _LONGEST_OTHER)):
        raise Rejected("invalid_attribute", f"{name} must have at most {longest} characters")
    if "\x00" in text:
        raise Rejected("invalid_attribute", f"{name} holds the character U+0000, which no text may")
    return text


def _require_json(attributes: Mapping[str, Any]) -> None:
    content_type = _optional(attributes, "datacontenttype")
    if content_type is None or content_type == "application/json":
        return
    media_type = content_type.split(";")[0].strip().lower()
    if media_type not in {"application/json", "text/json"} and not media_type.endswith("+json"):
        raise Rejected("invalid_attribute", "datacontenttype must be application/json")


def _time(attributes: Mapping[str, Any]) -> datetime:
    text = _needed(attributes, "time")
    try:
        return read_time(text)
    except ValueError as error:
        reason = "naive_time" if "time zone" in str(error) else "invalid_attribute"
        raise Rejected(reason, f"time {error}") from error


def _data(wire_type: str, data: Any) -> Model:
    model = model_of(wire_type)
    if not isinstance(data, dict):
        raise Rejected("invalid_data", "data must be a JSON object")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise Rejected("invalid_data", explain(error)) from error


def _pair_key(given: str | None, tenant_id: str, data: Model) -> str | None:
    """Return the pair's key. For messages and sends the addresses decide, else the attribute does.

    Services say an alias's pair in the attribute; other publishers need not set it at all.
    """
    named = pair_of(tenant_id, data)
    if named is not None and not (named.business_address and named.customer_address):
        raise Rejected("invalid_data", "data.business_address and data.customer_address must not be empty")
    if given is None or (named is not None and given == named.key):
        return None if named is None else named.key
    pair = Pair.parse(given)
    if pair.tenant_id != tenant_id:
        raise Rejected("wrong_tenant", "pairkey belongs to another tenant than tenantid")
    return named.key if named is not None and isinstance(data, InboundMessage | MessageSend) else pair.key
