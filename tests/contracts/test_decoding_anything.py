"""Whatever anybody writes into a topic is an event or Rejected; what we write is read back as it was."""

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.contracts import catalogue, cloudevents
from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model
from tests.contracts.builders import a_record, binary_headers
from tests.contracts.examples import every_type, full, minimal_record

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "\ud800", "\x00", "2026-11-22T12:00:00", "acme", "text", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_ATTRIBUTES = sorted(
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "tenantid", "pairkey"]
)
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([f"ce_{name}" for name in _ATTRIBUTES] + ["content-type", "CE_ID", "ce_data", ""])
        | st.text(max_size=5),
        st.none() | st.binary(max_size=10) | st.sampled_from([b"1.0", b"application/json", b"chatdesk.x"]),
    ),
    max_size=6,
)


_patient = settings(deadline=None)
"""The first event of a type builds its reader, and a busy machine may take its time for it."""


def _read_or_rejected(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> Event[Model] | None:
    event = None
    with contextlib.suppress(Rejected):
        event = cloudevents.decode(value, headers)
    return event


def _holds(event: Event[Model] | None) -> None:
    """What was read can be keyed, told from others, written and read again."""
    if event is None:
        return
    assert catalogue.key_of(event)
    assert len(catalogue.digest_of(event)) == 16
    catalogue.body_of(event)
    catalogue.version_of(event)
    assert cloudevents.decode(cloudevents.encode(event)) == event


@_patient
@given(st.none() | st.binary(), _HEADERS)
def test_any_bytes_are_read_or_rejected(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    _holds(_read_or_rejected(value, headers))


@_patient
@given(_JSON, _HEADERS)
def test_any_json_is_read_or_rejected(document: Any, headers: list[tuple[str, bytes | None]]) -> None:
    _holds(_read_or_rejected(json.dumps(document).encode(), headers))


@_patient
@given(st.sampled_from(every_type()), st.sampled_from(_ATTRIBUTES), _JSON)
@example("chatdesk.message.received.v1", "time", "9999-12-31T23:59:59-01:00")
@example("chatdesk.message.received.v1", "pairkey", "%ff:%00:\ud800:d")
def test_any_attribute_is_read_or_rejected(wire_type: str, name: str, value: Any) -> None:
    _holds(_read_or_rejected(a_record(wire_type, **{name: value}), []))


@_patient
@given(st.data(), st.sampled_from(every_type()), _JSON)
def test_any_value_of_any_field_is_read_or_rejected(data: st.DataObject, wire_type: str, value: Any) -> None:
    record = minimal_record(wire_type)["data"]
    fields = sorted({*record, *_wire_names(wire_type)})
    path = data.draw(st.sampled_from(fields))

    _holds(_read_or_rejected(a_record(wire_type, {path: value}), []))


@_patient
@given(st.sampled_from(every_type()), _JSON)
def test_any_content_is_read_or_rejected(wire_type: str, value: Any) -> None:
    kinds = ("text", "image", "location", "contacts", "reply", "order", "reaction", "template", "poll")
    for kind in kinds:
        content = {"kind": kind, "text": value, "media": value, "items": [value], "to": value, "name": value}
        _holds(_read_or_rejected(a_record(wire_type, {"content": content}), []))


@_patient
@given(_HEADERS)
def test_any_headers_beside_those_of_binary_mode_are_survived(
    headers: list[tuple[str, bytes | None]],
) -> None:
    _read_or_rejected(b"{}", [*binary_headers(), *headers])


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=50)


@_patient
@given(
    st.sampled_from(every_type()),
    st.tuples(_TEXT, _TEXT, _TEXT),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()),  # noqa: DTZ001 - bounds are naive
)
def test_what_is_written_is_read_back(wire_type: str, texts: tuple[str, str, str], time: datetime) -> None:
    event_id, source, subject = texts
    event = replace(full(wire_type), id=event_id, source=source, subject=subject, time=time)

    assert cloudevents.decode(cloudevents.encode(event)) == replace(event, time=time.astimezone(UTC))


def _wire_names(wire_type: str) -> set[str]:
    return set(json.loads(cloudevents.encode(full(wire_type)))["data"])
