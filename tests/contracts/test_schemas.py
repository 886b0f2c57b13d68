"""The published JSON Schemas against a validator that knows nothing of our models."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ops.published import files
from ops.published.schemas import schema_id, schema_of
from shared.contracts import cloudevents
from shared.contracts.catalogue import model_of
from shared.contracts.errors import Rejected
from tests.contracts.builders import a_record
from tests.contracts.examples import every_type, full_data, minimal_record
from tests.contracts.test_decoding import BAD_RECORDS, KNOWN_CONTENTS

# No schema sees bytes.
BYTES = {
    "no value",
    "an empty value",
    "broken JSON",
    "bytes that are no UTF-8",
    "NaN",
    "a key twice",
    "half a surrogate pair",
    "half a surrogate pair in a name",
    "U+0000",
    "deep nesting",
    "a number of 5,000 digits",
}
# What readers refuse and JSON Schema cannot say, beside the record's size and 2.0 for a whole number
# (docs/contracts.md, 6).
UNSAYABLE = {
    "a time before the year 1",
    "an endless number in what we only pass on",
    "a huge number in what we only pass on",
    "an address of spaces",
    "a pair key of another tenant",
}
_WRONG = st.sampled_from([None, True, -1, 7, 2.5, 2**60, "", "noon", "x" * 70_000, [], [7], {}, {"kind": ""}])


def validator(wire_type: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(wire_type))


def reader_takes(record: dict[str, Any]) -> bool:
    try:
        cloudevents.decode(json.dumps(record).encode())
    except Rejected:
        return False
    return True


@pytest.mark.parametrize("wire_type", every_type())
def test_a_schema_is_one_and_takes_both_examples_of_its_type(wire_type: str) -> None:
    schema = json.loads((files.HOME / "schemas" / f"{wire_type}.json").read_text())

    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == schema_id(wire_type)
    for size in ("full", "minimal"):
        event = json.loads((files.HOME / "examples" / f"{wire_type}.{size}.json").read_text())
        Draft202012Validator(schema).validate(event)


def test_what_is_committed_is_what_the_catalogue_says() -> None:
    assert files.stale(files.HOME, files.written()) == []


@pytest.mark.parametrize("name", sorted(BAD_RECORDS.keys() - BYTES - UNSAYABLE))
def test_a_record_that_readers_refuse_the_schema_refuses_too(name: str) -> None:
    record = json.loads(BAD_RECORDS[name][0] or b"null")
    wire_type = record.get("type") if isinstance(record, dict) else None

    known = wire_type if wire_type in every_type() else "chatdesk.message.received.v1"
    assert not validator(known).is_valid(record)


@pytest.mark.parametrize("name", sorted(UNSAYABLE))
def test_what_no_schema_can_say_is_refused_by_readers_alone(name: str) -> None:
    record = json.loads(BAD_RECORDS[name][0] or b"")

    assert validator(record["type"]).is_valid(record)
    assert not reader_takes(record)


@pytest.mark.parametrize("wire_type", every_type())
def test_each_field_that_must_be_given_is_required(wire_type: str) -> None:
    judge = validator(wire_type)
    for name in minimal_record(wire_type)["data"]:
        record = minimal_record(wire_type)
        del record["data"][name]

        assert not judge.is_valid(record), name


@pytest.mark.parametrize("wire_type", every_type())
@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "time", "data"])
def test_each_attribute_that_must_be_given_is_required(wire_type: str, attribute: str) -> None:
    record = minimal_record(wire_type)
    del record[attribute]

    assert not validator(wire_type).is_valid(record)


@pytest.mark.parametrize("wire_type", every_type())
def test_fields_and_attributes_that_nobody_knows_are_allowed(wire_type: str) -> None:
    record = minimal_record(wire_type)
    record["traceparent"] = "00-1-2-01"
    record["data"]["added_later"] = {"deep": [1, None]}

    validator(wire_type).validate(record)


@pytest.mark.parametrize("content", [*KNOWN_CONTENTS, {"kind": "poll", "question": "Tea?"}], ids=str)
def test_every_kind_of_content_is_allowed_and_one_nobody_knows_yet(content: dict[str, Any]) -> None:
    validator("chatdesk.message.received.v1").validate(json.loads(a_record(data={"content": content})))


@given(st.data(), st.sampled_from(every_type()), _WRONG)
def test_whatever_a_schema_allows_readers_take(data: st.DataObject, wire_type: str, value: Any) -> None:
    """The promise to publishers, field by field, nested ones too."""
    record = deepcopy(minimal_record(wire_type) | {"data": full_data(model_of(wire_type))})
    *path, last = data.draw(st.sampled_from(list(_paths(record))))
    place = record
    for step in path:
        place = place[step]
    place[last] = value

    if validator(wire_type).is_valid(record):
        assert reader_takes(record)


def _paths(node: Any) -> Any:
    steps = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for step, inner in steps:
        yield (step,)
        for path in _paths(inner):
            yield (step, *path)
