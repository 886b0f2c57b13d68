"""Facts that a service builds of values it has read already (`Model.of`)."""

from collections.abc import Callable

import pytest

from shared.contracts import catalogue
from shared.contracts.chats import ChatAssigned, ChatFact
from shared.contracts.event import Event, Model
from tests.contracts.examples import full, minimal

CHAT_FACTS = [
    wire_type for wire_type in catalogue.types() if issubclass(catalogue.model_of(wire_type), ChatFact)
]


@pytest.mark.parametrize("wire_type", CHAT_FACTS)
@pytest.mark.parametrize("example", [full, minimal], ids=["full", "minimal"])
def test_a_fact_built_of_read_values_is_the_one_that_was_read(
    wire_type: str, example: Callable[[str], Event[Model]]
) -> None:
    read = example(wire_type).data

    assert type(read).of(dict(read)) == read


def test_what_is_left_out_is_the_default() -> None:
    given = dict(minimal("chatdesk.chat.assigned.v1").data)
    without_defaults = {name: given[name] for name in given if ChatAssigned.model_fields[name].is_required()}

    assert ChatAssigned.of(without_defaults) == ChatAssigned(**without_defaults)


@pytest.mark.parametrize(
    ("left_out", "added", "told"),
    [
        ({"state"}, {}, "ChatAssigned: state"),
        (set(), {"agnet_id": "ann"}, "ChatAssigned: agnet_id"),
        ({"agent_id", "pair"}, {"agnet_id": "ann"}, "ChatAssigned: agnet_id, pair"),
    ],
    ids=["missing", "unknown", "both"],
)
def test_a_missing_or_unknown_field_is_told(left_out: set[str], added: dict[str, str], told: str) -> None:
    given = dict(full("chatdesk.chat.assigned.v1").data)

    with pytest.raises(TypeError, match=told):
        ChatAssigned.of({name: given[name] for name in given if name not in left_out} | added)
