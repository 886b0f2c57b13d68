"""Reading one's own documents back: the topic's last word of each must be the current one."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.desk.decisions.echoes import Folded, edited, fold
from services.desk.model import DocumentKey, Stored
from shared.contracts import catalogue
from shared.contracts.directory import DirectoryDocument
from shared.contracts.event import Cause, Event, Model
from tests.desk.builders import TENANT, a_department, an_agent, at_revision, stored

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = DocumentKey(TENANT, "agent", "ada")


def _ada(revision: int) -> DirectoryDocument:
    return at_revision(an_agent(capacity=revision), revision)


def _read(document: DirectoryDocument, nth: int = 0) -> tuple[Event[Model], DirectoryDocument]:
    cause = Cause(TENANT, f"write-{document.revision}-{nth}")
    return catalogue.fact(cause, document, source="desk", subject="agent:ada", time=NOON), document


def _fold(*revisions: int, at: int, echoed: int = 0) -> Folded:
    read = [_read(_ada(revision), nth) for nth, revision in enumerate(revisions)]
    return fold(read, stored(_ada(at), echoed=echoed), NOON)


@pytest.mark.parametrize(
    ("revisions", "at", "echoed", "says_again"),
    [
        pytest.param((1,), 1, 0, False, id="its first revision"),
        pytest.param((1, 2, 3), 3, 0, False, id="every revision in order"),
        pytest.param((2,), 3, 1, False, id="an older one whose newer is still to come"),
        pytest.param((3, 3), 3, 0, False, id="the newest twice"),
        pytest.param((1,), 3, 3, True, id="an older one after the newest"),
        pytest.param((1,), 3, 2, True, id="an older one after a newer"),
        pytest.param((3, 2), 3, 0, True, id="an older one after the newest in one batch"),
        pytest.param((3, 2, 3), 3, 0, False, id="an older one that the newest follows"),
        pytest.param((1, 1), 3, 3, True, id="an older one twice, answered once"),
    ],
)
def test_the_current_document_is_said_again_when_an_older_one_is_read_last(
    revisions: tuple[int, ...], at: int, echoed: int, says_again: bool
) -> None:
    folded = _fold(*revisions, at=at, echoed=echoed)

    assert [event.data for event in folded.asserted] == ([_ada(at)] if says_again else [])
    assert folded.echoed == {KEY: max(*revisions, echoed)}
    assert folded.adopted == {}


def test_what_is_said_again_is_a_new_event_that_names_its_cause() -> None:
    late = _read(_ada(1))
    first = edited(KEY, _ada(3), NOON)

    (again,) = fold([late], stored(_ada(3), echoed=3), NOON).asserted

    assert again.id != first.id
    assert again.causation_id == late[0].id
    assert catalogue.key_of(again) == catalogue.key_of(first) == "acme:agent:ada"


def test_a_newer_document_than_the_stored_one_is_adopted_and_so_is_an_unknown_one() -> None:
    department = at_revision(a_department(), 4)

    folded = fold([_read(_ada(5)), _read(department)], stored(_ada(3)), NOON)

    assert folded.adopted == {KEY: _ada(5), DocumentKey(TENANT, "department", "service"): department}
    assert folded.asserted == []


def test_two_edits_of_one_document_are_two_events_and_the_same_edit_is_one() -> None:
    assert edited(KEY, _ada(1), NOON).id == edited(KEY, _ada(1), NOON).id
    assert edited(KEY, _ada(1), NOON).id != edited(KEY, at_revision(_ada(1), 2), NOON).id


@given(st.lists(st.integers(min_value=1, max_value=4), min_size=1, max_size=12), st.data())
def test_whatever_repeats_come_the_last_word_is_the_current_document(
    revisions: list[int], data: st.DataObject
) -> None:
    """The topic holds every revision in order and repeats after; what is said again is read as well."""
    topic = [1, 2, 3, 4]
    for late in revisions:
        topic.insert(data.draw(st.integers(min_value=late, max_value=len(topic))), late)
    current, place = {KEY: Stored(_ada(4))}, 0
    while place < len(topic):
        size = data.draw(st.integers(min_value=1, max_value=4))
        batch = [
            _read(_ada(revision), place + nth) for nth, revision in enumerate(topic[place : place + size])
        ]
        place += len(batch)
        folded = fold(batch, current, NOON)
        current = {KEY: Stored(_ada(4), folded.echoed[KEY])}
        topic += [4 for _ in folded.asserted]
        assert len(topic) < 100

    assert topic[-1] == 4
