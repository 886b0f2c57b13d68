import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts import cloudevents
from shared.contracts.content import Unsupported
from shared.contracts.inbound_messages import MessageReceived
from tests.contracts.builders import (
    PAIR_KEY,
    RECEIVED,
    SEND,
    a_record,
    an_event,
    binary_headers,
    binary_value,
    rejection_of,
)
from tests.contracts.examples import minimal

BAD_RECORDS: dict[str, tuple[bytes | None, str, str]] = {
    "no value": (None, "empty_record", "the record has no value"),
    "an empty value": (b"", "empty_record", "the record has no value"),
    "two megabytes of text": (
        a_record(data={"content": {"kind": "text", "text": "a" * 2_000_000}}),
        "too_large",
        "the record has 2000427 bytes, an event at most 1000000",
    ),
    "broken JSON": (b'{"a"', "broken_json", "Expecting ':' delimiter at line 1 column 5"),
    "bytes that are no UTF-8": (b'{"a":"\xff"}', "broken_json", "byte 6 is not UTF-8"),
    "NaN": (b'{"a":NaN}', "broken_json", "NaN is no number in JSON"),
    "a key twice": (b'{"a":1,"\\u0061":2}', "broken_json", "the key 'a' appears twice"),
    "half a surrogate pair": (
        a_record(data={"customer_name": "\ud83d"}),
        "broken_json",
        "the document holds half a surrogate pair",
    ),
    "half a surrogate pair in a name": (
        a_record(data={"referral": {"\ud83d": 1}}),
        "broken_json",
        "the document holds half a surrogate pair",
    ),
    "U+0000": (
        a_record(data={"customer_name": "a\x00"}),
        "broken_json",
        "the document holds the character U+0000, which no text may",
    ),
    "deep nesting": (b'{"a":' * 50_000, "broken_json", "the document nests too deeply"),
    "a list": (b"[]", "not_a_cloudevent", "the record is no JSON object with a specversion"),
    "another object": (b"{}", "not_a_cloudevent", "the record is no JSON object with a specversion"),
    "a later specversion": (a_record(specversion="2.0"), "not_a_cloudevent", "specversion must be 1.0"),
    "no type": (a_record(type=...), "missing_attribute", "type is missing"),
    "a number as type": (a_record(type=7), "invalid_attribute", "type must be a string"),
    "a type nobody knows": (
        a_record(type="chatdesk.message.sung.v1"),
        "unknown_type",
        "no event of type 'chatdesk.message.sung.v1' is known here",
    ),
    "no id": (a_record(id=...), "missing_attribute", "id is missing"),
    "an empty source": (a_record(source=""), "missing_attribute", "source is missing"),
    "no tenant": (a_record(tenantid=...), "missing_attribute", "tenantid is missing"),
    "an empty tenant": (a_record(tenantid=""), "missing_attribute", "tenantid is missing"),
    "a tenant that is a list": (
        a_record(tenantid=["acme"]),
        "invalid_attribute",
        "tenantid must be a string",
    ),
    "a very long id": (a_record(id="1" * 257), "invalid_attribute", "id must have at most 256 characters"),
    "no time": (a_record(time=...), "missing_attribute", "time is missing"),
    "a naive time": (a_record(time="2026-11-22T12:00:00"), "naive_time", "time must carry a time zone"),
    "a time in words": (
        a_record(time="noon"),
        "invalid_attribute",
        "time must be a time such as 2026-11-22T18:00:00Z",
    ),
    "data that is XML": (
        a_record(datacontenttype="text/xml"),
        "invalid_attribute",
        "datacontenttype must be application/json",
    ),
    "no data": (a_record().replace(b'"data"', b'"date"'), "invalid_data", "data is missing"),
    "data that is a string": (
        a_record().replace(b'"data": {', b'"data": "{}", "date": {'),
        "invalid_data",
        "data must be an object",
    ),
    "a missing field": (
        a_record(data={"provider_message_id": ...}),
        "invalid_data",
        "data.provider_message_id is missing",
    ),
    "a send without a request id": (
        a_record(SEND, data={"request_id": ...}),
        "invalid_data",
        "data.request_id is missing",
    ),
    "a wrong type": (a_record(data={"provider": 5}), "invalid_data", "data.provider must be a string"),
    "a naive time in data": (
        a_record(data={"sent_at": "2026-11-22T12:00:00"}),
        "invalid_data",
        "data.sent_at must carry a time zone",
    ),
    "seconds since 1970 as a time": (
        a_record(data={"sent_at": 1_795_348_800}),
        "invalid_data",
        "data.sent_at must be a time such as 2026-11-22T18:00:00Z",
    ),
    "a time before the year 1": (
        a_record(data={"sent_at": "0001-01-01T00:00:00+02:00"}),
        "invalid_data",
        "data.sent_at must lie between the years 1 and 9999 in UTC",
    ),
    "an unknown channel": (
        a_record(data={"channel": "fax"}),
        "invalid_data",
        "data.channel must be 'whatsapp' or 'sms'",
    ),
    "too much text": (
        a_record(data={"content": {"kind": "text", "text": "a" * 65_537}}),
        "invalid_data",
        "data.content.text must have at most 65536 characters",
    ),
    "a content without its text": (
        a_record(data={"content": {"kind": "text"}}),
        "invalid_data",
        "data.content.text is missing",
    ),
    "a content without a kind": (
        a_record(data={"content": {"text": "a"}}),
        "invalid_data",
        "data.content must name its kind",
    ),
    "a content with an empty kind": (
        a_record(data={"content": {"kind": ""}}),
        "invalid_data",
        "data.content must name its kind",
    ),
    "several faults": (
        a_record(data={"channel": "fax", "provider": 5}),
        "invalid_data",
        "data.channel must be 'whatsapp' or 'sms' (and 1 more)",
    ),
    "an endless number in what we only pass on": (
        a_record(data={"referral": {"a": [0]}}).replace(b"[0]", b"[1e999]"),
        "invalid_data",
        "data.referral must hold finite numbers only",
    ),
    "a huge number in what we only pass on": (
        a_record(data={"referral": {"a": 2**63}}),
        "invalid_data",
        "data.referral must hold numbers of at most 64 bits",
    ),
    "a number of 5,000 digits": (
        a_record(data={"referral": {"a": 0}}).replace(b": 0", b": " + b"9" * 5000),
        "broken_json",
        "a number has too many digits",
    ),
    "an address of spaces": (
        a_record(data={"customer_address": " "}),
        "invalid_data",
        "an address in data is empty but for its spaces or prefix",
    ),
    "a pair key that is none": (
        a_record(pairkey="acme"),
        "invalid_pair_key",
        "a pair key has four non-empty, percent-encoded parts",
    ),
    "a pair key of another tenant": (
        a_record(pairkey=PAIR_KEY.replace("acme", "evil")),
        "wrong_tenant",
        "pairkey belongs to another tenant than tenantid",
    ),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_rejected_with_a_reason_a_person_understands(name: str) -> None:
    value, reason, detail = BAD_RECORDS[name]

    assert rejection_of(value) == (reason, detail)


def test_the_pair_of_a_message_follows_from_its_addresses_whatever_the_attribute_says() -> None:
    spaced = an_event(data={"customer_address": "whatsapp:+27 82 000-0001"}, pairkey="acme:sms:1:2")

    assert spaced.pair_key == PAIR_KEY
    assert an_event(pairkey=PAIR_KEY).pair_key == PAIR_KEY


def test_the_pair_of_what_a_service_says_is_the_one_it_wrote_for_it_knows_the_aliases() -> None:
    alias = "acme:whatsapp:+27110000000:+27829999999"

    assert an_event("chatdesk.delivery.sent.v1", pairkey=alias).pair_key == alias
    assert an_event("chatdesk.delivery.sent.v1").pair_key == PAIR_KEY
    encoded = alias.replace("+", "%2B")
    assert an_event("chatdesk.delivery.sent.v1", pairkey=encoded).pair_key == alias


def test_a_time_with_any_offset_is_read_as_utc_and_written_with_z() -> None:
    event = an_event(time="2026-11-22T14:00:00.5+02:00", data={"sent_at": "2026-11-22T07:00:00-05:00"})

    assert event.time == datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=UTC)
    written = json.loads(cloudevents.encode(event))
    assert written["time"] == "2026-11-22T12:00:00.500000Z"
    assert written["data"]["sent_at"] == "2026-11-22T12:00:00Z"


@pytest.mark.parametrize("empty", [None, ""])
def test_an_attribute_that_is_null_or_empty_is_absent(empty: str | None) -> None:
    event = an_event(subject=empty, pairkey=empty, correlationid=empty, causationid=empty)

    assert event == minimal(RECEIVED)


def test_a_dead_letter_needs_no_tenant_for_what_could_not_be_read_names_none() -> None:
    assert an_event("chatdesk.dead_letter.parked.v1", tenantid=...).tenant_id == ""


@pytest.mark.parametrize(
    "header", [None, b"application/cloudevents+json", b"application/CloudEvents+json; charset=utf-8"]
)
def test_structured_mode_is_read_with_and_without_its_header(header: bytes | None) -> None:
    assert cloudevents.decode(a_record(), [("content-type", header)]) == minimal(RECEIVED)


def test_structured_mode_wins_when_the_header_says_so() -> None:
    headers = [("content-type", b"application/cloudevents+json"), ("ce_tenantid", b"evil")]

    assert cloudevents.decode(a_record(), headers).tenant_id == "acme"


def test_binary_mode_is_read_as_the_same_event() -> None:
    headers = [*binary_headers(), ("content-type", b"application/json"), ("trace", None), ("bytes", b"\xff")]

    assert cloudevents.decode(binary_value(), headers) == minimal(RECEIVED)


BAD_HEADERS: dict[str, tuple[list[tuple[str, bytes | None]], str, str]] = {
    "a null attribute": (binary_headers(tenantid=None), "missing_attribute", "tenantid is missing"),
    "a null version": (binary_headers(specversion=None), "missing_attribute", "specversion is missing"),
    "an attribute that is no UTF-8": (
        binary_headers(tenantid=b"\xff"),
        "invalid_attribute",
        "the header ce_tenantid is not UTF-8",
    ),
    "an attribute twice": (
        [*binary_headers(), ("ce_tenantid", b"evil")],
        "invalid_attribute",
        "the header ce_tenantid appears twice",
    ),
    "U+0000 in an attribute": (
        binary_headers(id=b"a\x00"),
        "invalid_attribute",
        "the header ce_id holds the character U+0000",
    ),
    "Avro": (
        [*binary_headers(), ("content-type", b"application/avro")],
        "invalid_attribute",
        "datacontenttype must be application/json",
    ),
    "a batch": (
        [("content-type", b"application/cloudevents-batch+json")],
        "not_a_cloudevent",
        "batches are not read; publish one event in each record",
    ),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_headers_are_rejected_with_a_reason_a_person_understands(name: str) -> None:
    headers, reason, detail = BAD_HEADERS[name]

    assert rejection_of(binary_value(), headers) == (reason, detail)


def test_a_header_never_is_the_data() -> None:
    with_data = [*binary_headers(), ("ce_data", b"evil"), ("ce_data_base64", b"\xff")]

    assert cloudevents.decode(binary_value(), with_data) == minimal(RECEIVED)


KNOWN_CONTENTS: list[dict[str, Any]] = [
    {"kind": "text", "text": "Hello 👋"},
    {"kind": "image", "media": {"id": "m-1", "mime_type": "image/png", "size": 10}, "caption": "Broken"},
    {"kind": "audio", "media": {"url": "https://example.org/a.ogg", "voice": True, "duration": 2.5}},
    {"kind": "video", "media": {}},
    {"kind": "document", "media": {"filename": "bill.pdf", "sha256": "ab"}},
    {"kind": "sticker", "media": {"id": "s-1"}},
    {"kind": "location", "latitude": -26.2, "longitude": 28.0, "name": "Office"},
    {"kind": "contacts", "contacts": [{"name": {"formatted_name": "Thandi"}, "note": None}]},
    {"kind": "reply", "id": "yes", "title": "Yes", "payload": "yes"},
    {"kind": "order", "items": [{"product": "P-1", "quantity": 2}]},
    {"kind": "reaction", "emoji": "👍", "to": "wamid.0"},
    {"kind": "reaction", "to": "wamid.0"},
    {"kind": "interactive", "type": "button", "body": "Right?", "action": {"buttons": [{"id": "yes"}]}},
    {"kind": "template", "name": "parcel_update", "language": "en", "components": []},
    {"kind": "unsupported", "raw": {"type": "poll", "answers": [1, None, "x"]}},
    {"kind": "unsupported"},
]


@pytest.mark.parametrize("content", KNOWN_CONTENTS, ids=lambda content: str(content["kind"]))
def test_every_kind_of_content_is_read_and_written_as_it_is(content: dict[str, Any]) -> None:
    written = json.loads(cloudevents.encode(an_event(data={"content": content})))

    assert written["data"]["content"] == content


def test_a_kind_of_content_nobody_knows_yet_is_unsupported_and_kept() -> None:
    poll = {"kind": "poll", "question": "Tea?", "raw": 1, "votes": [{"for": None}]}

    event = an_event(data={"content": poll})

    assert isinstance(event.data, MessageReceived)
    assert event.data.content == Unsupported(raw=poll)
    again = cloudevents.decode(cloudevents.encode(event))
    assert again == event


def test_what_we_only_pass_on_may_not_nest_endlessly() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"in": deep}

    assert rejection_of(a_record(data={"content": {"kind": "poll", "deep": deep}})) == (
        "invalid_data",
        "data.content.raw must not nest deeper than 32 levels",
    )


def test_the_largest_record_is_read_and_one_byte_more_is_not() -> None:
    record = a_record(data={"later": ""})
    largest = record.replace(b'"later": ""', b'"later": "%b"' % (b"a" * (cloudevents.LARGEST - len(record))))

    assert cloudevents.decode(largest) == minimal(RECEIVED)
    assert rejection_of(largest + b" ")[0] == "too_large"


def test_an_event_without_its_optional_attributes_is_written_without_them() -> None:
    bare = replace(minimal(RECEIVED), pair_key=None)

    assert list(json.loads(cloudevents.encode(bare))) == [
        "specversion",
        "datacontenttype",
        "id",
        "source",
        "type",
        "time",
        "tenantid",
        "data",
    ]
