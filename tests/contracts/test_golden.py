"""Every event type has a full and a minimal golden file, which say what is on the wire.

A file that no longer fits is written anew with ``python -m tests.contracts.examples``; the difference
must be an addition.
"""

import json

import pytest

from shared.contracts import cloudevents
from shared.contracts.errors import Rejected
from tests.contracts.examples import GOLDEN, every_type, full, minimal, minimal_record, readable

_NAMES = [f"{wire_type}.{size}" for wire_type in every_type() for size in ("full", "minimal")]


def test_every_type_has_its_two_files_and_no_file_is_left_over() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*")) == sorted(_NAMES)


@pytest.mark.parametrize("name", _NAMES)
def test_a_golden_event_is_read_and_written_as_it_is(name: str) -> None:
    text = (GOLDEN / f"{name}.json").read_text()

    assert readable(cloudevents.decode(text.encode())) == text


@pytest.mark.parametrize("wire_type", every_type())
def test_a_full_golden_event_has_every_field_of_its_model(wire_type: str) -> None:
    assert (GOLDEN / f"{wire_type}.full.json").read_text() == readable(full(wire_type))


@pytest.mark.parametrize("wire_type", every_type())
def test_a_minimal_golden_event_is_what_the_fields_that_must_be_given_make(wire_type: str) -> None:
    assert (GOLDEN / f"{wire_type}.minimal.json").read_text() == readable(minimal(wire_type))


@pytest.mark.parametrize("wire_type", every_type())
def test_each_field_that_must_be_given_is_named_when_it_is_missing(wire_type: str) -> None:
    for name in minimal_record(wire_type)["data"]:
        record = minimal_record(wire_type)
        del record["data"][name]

        with pytest.raises(Rejected, match=rf"^invalid_data: data\.{name} is missing$"):
            cloudevents.decode(json.dumps(record).encode())


@pytest.mark.parametrize("wire_type", every_type())
def test_fields_and_attributes_that_nobody_knows_are_ignored(wire_type: str) -> None:
    record = minimal_record(wire_type)
    record["traceparent"] = "00-1-2-01"
    record["data"]["added_later"] = {"deep": [1, None]}

    assert cloudevents.decode(json.dumps(record).encode()) == minimal(wire_type)
