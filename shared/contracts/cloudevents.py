"""CloudEvents 1.0 on Kafka: structured mode out, structured and binary mode in (docs/contracts.md, 1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.contracts import strict_json
from shared.contracts.catalogue import model_of, pair_key_of, topic_of
from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import InboundMessage
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.plain_words import rejection
from shared.contracts.topics import DEAD_LETTER_TYPES

CONTENT_TYPE = "application/cloudevents+json"
LARGEST = 1_000_000
"""Bytes of one event, decompressed."""
LARGEST_GIVEN = 900_000
"""Bytes of a customer's message or a command, as we would write it. What we say of it carries its content and
more, and must be within `LARGEST`: else whoever sends it would have their own pair parked."""
_GIVEN_ON = frozenset({"inbound-messages.v1", "chat-commands.v1", "ticket-commands.v1"})
_SURELY_FITS = 100_000
"""Bytes from which a record is measured as we would write it: a number may grow from 4 bytes to 20."""

_Reader = Callable[[Mapping[str, Any]], Event[Model]]
_Headers = Sequence[tuple[str, bytes | None]]
_SPEC_VERSION = "1.0"
_JSON = "application/json"
_HEAD = b'{"specversion":"%b","datacontenttype":"%b",' % (_SPEC_VERSION.encode(), _JSON.encode())
_PREFIX = "ce_"
_READ = frozenset({"specversion", "id", "source", "type", "subject", "time", "datacontenttype"}) | {
    "tenantid",
    "pairkey",
    "correlationid",
    "causationid",
}


def encode(event: Event[Model]) -> bytes:
    """Write an event in structured mode: one JSON object, attributes first, absent fields left out."""
    if event.time.tzinfo is not UTC:
        event = replace(event, time=event.time.astimezone(UTC))
    absent = {name for name in ("tenant_id", "subject") if not getattr(event, name)} or None
    return _HEAD + _writer(type(event.data))(event, by_alias=True, exclude_none=True, exclude=absent)[1:]


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
    attributes = _binary_attributes(headers)
    document = strict_json.parse(value)
    if attributes is not None:
        attributes["data"] = document
        return _fitting(_event(attributes), len(value))
    if not isinstance(document, dict) or "specversion" not in document:
        raise Rejected("not_a_cloudevent", "the record is no JSON object with a specversion")
    return _fitting(_event(document), len(value))


def _fitting(event: Event[Model], size: int) -> Event[Model]:
    """Return the event, if what is said of it can carry it as well."""
    if size > _SURELY_FITS and topic_of(event.type) in _GIVEN_ON and len(encode(event)) > LARGEST_GIVEN:
        raise Rejected("too_large", f"with {event.type}, what we write has at most {LARGEST_GIVEN} bytes")
    return event


def _binary_attributes(headers: _Headers) -> dict[str, Any] | None:
    """Return the attributes of binary mode; None when the headers say that it is structured mode."""
    attributes: dict[str, Any] = {}
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


def _add(attributes: dict[str, Any], name: str, raw: bytes) -> None:
    """Add one header. What we don't read may be anything; ``data`` is the record's value, never a header."""
    if name not in _READ:
        return
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Rejected("invalid_attribute", f"the header {_PREFIX}{name} is not UTF-8") from error
    if "\x00" in text:
        raise Rejected("invalid_attribute", f"the header {_PREFIX}{name} holds the character U+0000")
    if attributes.setdefault(name, text) != text:
        raise Rejected("invalid_attribute", f"the header {_PREFIX}{name} appears twice")


def _event(attributes: dict[str, Any]) -> Event[Model]:
    wire_type = attributes.get("type")
    if attributes.get("specversion") != _SPEC_VERSION or not wire_type or not isinstance(wire_type, str):
        raise _without_head(attributes)
    if attributes.get("datacontenttype", _JSON) != _JSON:
        _require_json(attributes["datacontenttype"])
    attributes.setdefault("subject", "")
    reader = _reader(wire_type)
    try:
        event = reader(attributes)
    except ValidationError:
        event = _read_again(reader, attributes)
    if not event.tenant_id and wire_type not in DEAD_LETTER_TYPES:
        raise Rejected("missing_attribute", "tenantid is missing")
    pair_key = _pair_key(event)
    return event if pair_key == event.pair_key else replace(event, pair_key=pair_key)


@cache
def _writer(model: type[Model]) -> Callable[..., bytes]:
    """Return what writes events that carry a model."""
    generic: Any = Event
    return TypeAdapter(generic[model]).serializer.to_json


@cache
def _reader(wire_type: str) -> _Reader:
    """Return what reads events of a type. Raises Rejected, which is not cached, for an unknown one."""
    generic: Any = Event
    return TypeAdapter(generic[model_of(wire_type)]).validator.validate_python


def _without_head(attributes: Mapping[str, Any]) -> Rejected:
    """Say why an event cannot even be told by its version and type."""
    version = attributes.get("specversion")
    if not version:
        return Rejected("missing_attribute", "specversion is missing")
    if version != _SPEC_VERSION:
        return Rejected("not_a_cloudevent", f"specversion must be {_SPEC_VERSION}")
    if not attributes.get("type"):
        return Rejected("missing_attribute", "type is missing")
    return Rejected("invalid_attribute", "type must be a string")


def _require_json(content_type: object) -> None:
    media_type = content_type.split(";")[0].strip().lower() if isinstance(content_type, str) else ""
    if content_type is not None and media_type != _JSON and not media_type.endswith("+json"):
        raise Rejected("invalid_attribute", f"datacontenttype must be {_JSON}")


def _read_again(reader: _Reader, attributes: Mapping[str, Any]) -> Event[Model]:
    """Read an event once more without the attributes that its publisher wrote as null or empty.

    Raises Rejected with what is wrong when they were not the trouble.
    """
    present = {name: value for name, value in attributes.items() if value is not None and value != ""}
    present.setdefault("subject", "")
    present.setdefault("tenantid", "")
    try:
        return reader(present)
    except ValidationError as error:
        raise rejection(error) from error


def _pair_key(event: Event[Model]) -> str | None:
    """Return the key of the event's pair. For messages and sends the addresses decide, else the attribute.

    Services write an alias's pair in the attribute; other publishers need not set it at all.
    """
    named = pair_key_of(event.tenant_id, event.data)
    if named is not None and (named.endswith(":") or "::" in named):
        raise Rejected("invalid_data", "an address in data is empty but for its spaces or prefix")
    if event.pair_key is None or event.pair_key == named:
        return named
    given = Pair.parse(event.pair_key)
    if given.tenant_id != event.tenant_id:
        raise Rejected("wrong_tenant", "pairkey belongs to another tenant than tenantid")
    return named if named is not None and isinstance(event.data, InboundMessage | MessageSend) else given.key
