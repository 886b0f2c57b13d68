"""Compare-and-set: an edit stands upon what its author saw, and two at once cannot both stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.desk.decisions.revisions import compare_and_set, plan, settle
from services.desk.model import (
    Conflict,
    Conflicted,
    DocumentKey,
    Edit,
    Stored,
    Unchanged,
    Verdict,
    Write,
)
from shared.contracts.directory import DirectoryDocument
from tests.desk.builders import TENANT, a_department, a_tenant, an_agent, at_revision, stored

KEY = DocumentKey(TENANT, "agent", "ada")
OLD, NEW = an_agent(capacity=3), an_agent(capacity=5)


@pytest.mark.parametrize(
    ("seen", "there", "verdict"),
    [
        pytest.param(None, None, Write(at_revision(NEW, 1)), id="a new document is its first revision"),
        pytest.param(2, (OLD, 2), Write(at_revision(NEW, 3)), id="an edit is the next revision"),
        pytest.param(2, (NEW, 2), Unchanged(), id="what stands already is not written"),
        pytest.param(2, (NEW, 3), Unchanged(), id="what somebody else wrote just so is not written"),
        pytest.param(2, (OLD, 3), Conflict(KEY, 2, 3), id="what somebody else changed meanwhile"),
        pytest.param(None, (OLD, 1), Conflict(KEY, 0, 1), id="what somebody else created meanwhile"),
        pytest.param(2, None, Conflict(KEY, 2, 0), id="what is gone"),
    ],
)
def test_an_edit_against_what_is_there(
    seen: int | None, there: tuple[DirectoryDocument, int] | None, verdict: Verdict
) -> None:
    edit = Edit(KEY, NEW, None if seen is None else at_revision(OLD, seen))
    current = None if there is None else Stored(at_revision(*there))

    assert compare_and_set(edit, current) == verdict


def test_a_set_is_written_whole_or_not_at_all() -> None:
    before = stored(at_revision(OLD, 1), at_revision(a_department(), 1))
    edits = plan(TENANT, [NEW, a_department(max_wait_seconds=60), a_tenant()], before).edits
    after = stored(at_revision(an_agent(capacity=9), 2), at_revision(a_department(), 1))

    assert settle(edits, after) == Conflicted((Conflict(KEY, 1, 2),))
    assert settle(edits, before) == (
        at_revision(NEW, 2),
        at_revision(a_department(max_wait_seconds=60), 2),
        at_revision(a_tenant(), 1),
    )


def test_a_plan_tells_what_changes_and_what_it_leaves_alone() -> None:
    there = stored(at_revision(OLD, 4), at_revision(a_department(), 1), at_revision(an_agent("bob"), 1))

    found = plan(TENANT, [NEW, a_department(), a_tenant()], there)

    assert [edit.changes for edit in found.edits] == [True, False, True]
    assert [edit.expected_revision for edit in found.edits] == [4, 1, 0]
    assert found.untouched == (DocumentKey(TENANT, "agent", "bob"),)


@given(
    st.lists(
        st.tuples(
            st.booleans(), st.integers(min_value=0, max_value=2), st.integers(min_value=1, max_value=4)
        ),
        max_size=30,
    )
)
def test_whoever_looks_and_writes_when_no_edit_is_lost_and_revisions_have_no_gap(
    acts: list[tuple[bool, int, int]],
) -> None:
    current: dict[DocumentKey, Stored] = {}
    seen: dict[int, DirectoryDocument | None] = {0: None, 1: None, 2: None}
    history: list[int] = []
    for looks, editor, capacity in acts:
        if looks:
            seen[editor] = current[KEY].document if KEY in current else None
            continue
        wanted = an_agent(capacity=capacity)
        before = current.get(KEY)
        settled = settle([Edit(KEY, wanted, seen[editor])], current)
        if isinstance(settled, Conflicted):
            assert before is None or before.document != seen[editor]
            continue
        for document in settled:
            assert before is None or before.document == seen[editor]
            current[KEY] = Stored(document)
            history.append(document.revision)
        assert current[KEY].document.model_copy(update={"revision": 0}) == wanted
    assert history == list(range(1, len(history) + 1))
