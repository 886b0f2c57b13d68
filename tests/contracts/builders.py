"""Events as other systems publish them, for the tests of the contracts."""

import json
from typing import Any

from shared.contracts import cloudevents
from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model
from tests.contracts.examples import minimal_record

RECEIVED = "chatdesk.message.received.v1"
SEND = "chatdesk.message.send.v1"
PAIR_KEY = "acme:whatsapp:+27110000000:+27820000001"


def a_record(wire_type: str = RECEIVED, /, data: dict[str, Any] | None = None, **attributes: Any) -> bytes:
    """One structured record; an attribute or a field given as ``...`` is left out."""
    record = minimal_record(wire_type) | attributes
    record["data"] = _present(record["data"] | (data or {}))
    return json.dumps(_present(record)).encode()


def binary_headers(
    wire_type: str = RECEIVED, /, **attributes: bytes | None
) -> list[tuple[str, bytes | None]]:
    record = minimal_record(wire_type)
    told: dict[str, bytes | None] = {name: text.encode() for name, text in record.items() if name != "data"}
    return [(f"ce_{name}", raw) for name, raw in (told | attributes).items()]


def binary_value(wire_type: str = RECEIVED, /) -> bytes:
    return json.dumps(minimal_record(wire_type)["data"]).encode()


def an_event(
    wire_type: str = RECEIVED, /, data: dict[str, Any] | None = None, **attributes: Any
) -> Event[Model]:
    return cloudevents.decode(a_record(wire_type, data, **attributes))


def rejection_of(
    value: bytes | None, headers: list[tuple[str, bytes | None]] | None = None
) -> tuple[str, str]:
    try:
        event = cloudevents.decode(value, headers or [])
    except Rejected as error:
        return error.reason, error.detail
    raise AssertionError(f"it was read: {event}")


def _present(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not ...}
