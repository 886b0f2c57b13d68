"""What keeps a retired document on its topic: whoever names it, and records that may."""

from datetime import UTC, datetime, timedelta

import pytest

from services.desk.decisions.removals import STAYS_RETIRED, remove
from services.desk.model import DocumentKey, Kept, Removed, Stored
from shared.contracts.directory import DirectoryDocument
from tests.desk.builders import (
    TENANT,
    a_calendar,
    a_channel,
    a_department,
    a_template,
    a_tenant,
    an_agent,
    rules,
    stored,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONG_AGO = NOON - STAYS_RETIRED


def retired(document: DirectoryDocument, at: datetime = LONG_AGO) -> dict[DocumentKey, Stored]:
    gone = document.model_copy(update={"retired": True})
    return {DocumentKey.of(TENANT, gone): Stored(gone, retired_at=at)}


GONE = retired(a_department("sales", move_to="service"))
SALES = next(iter(GONE))
REST = stored(a_tenant(), a_department("service"), an_agent("ada"))


@pytest.mark.parametrize(
    ("others", "reasons"),
    [
        pytest.param((), (), id="nobody"),
        pytest.param(
            (an_agent("bob", departments=["service", "sales"]),),
            ("agent bob (departments.1)",),
            id="an agent",
        ),
        pytest.param(
            (a_tenant(first_line="sales"),), ("tenant acme (first_line_department)",), id="the tenant"
        ),
        pytest.param(
            (a_department("care", fallback="sales"),), ("department care (fallback)",), id="a fallback"
        ),
        pytest.param(
            (a_department("old", retired=True, move_to="sales"),), ("department old (move_to)",), id="a move"
        ),
        pytest.param(
            (rules({"department": "service", "keyword": "a"}, {"department": "sales", "keyword": "b"}),),
            ("routing_rules default (rules.1.department)",),
            id="a rule",
        ),
        pytest.param(
            (an_agent("bob", departments=["sales"]), an_agent("cid", departments=["sales"])),
            ("agent bob (departments.0)", "agent cid (departments.0)"),
            id="several",
        ),
    ],
)
def test_a_department_stays_as_long_as_a_document_names_it(
    others: tuple[DirectoryDocument, ...], reasons: tuple[str, ...]
) -> None:
    found = remove(SALES, REST | GONE | stored(*others), NOON)
    named = tuple(f"is still named by {one}" for one in reasons)
    assert found == (Kept(named) if named else Removed(SALES, is_new=True))


@pytest.mark.parametrize(
    "document",
    [a_calendar("old"), an_agent("bob"), a_channel("old"), a_template("old")],
    ids=lambda document: type(document).__name__,
)
def test_every_kind_that_can_be_retired_can_be_removed(document: DirectoryDocument) -> None:
    gone = retired(document)
    key = next(iter(gone))
    assert remove(key, REST | gone, NOON) == Removed(key, is_new=True)
    assert isinstance(remove(key, REST | stored(document), NOON), Kept)


def test_an_address_stays_as_long_as_a_rule_asks_for_it() -> None:
    gone = retired(a_channel("old", address="+49777"))
    rule = stored(rules({"department": "service", "business_address": "+49 777"}))
    found = remove(next(iter(gone)), REST | gone | rule, NOON)
    assert found == Kept(("is still named by routing_rules default (rules.0.business_address)",))


def test_a_calendar_stays_as_long_as_somebody_goes_by_it_and_who_is_retired_does_not() -> None:
    gone = retired(a_calendar("old"))
    key = next(iter(gone))
    user = a_department("care", calendar="old")
    assert remove(key, REST | gone | stored(user), NOON) == Kept(
        ("is still named by department care (calendar)",)
    )
    old = retired(a_department("care", calendar="old", move_to="service"))
    assert remove(key, REST | gone | old, NOON) == Removed(key, is_new=True)


def test_what_was_wrong_before_is_no_reason() -> None:
    """A directory that was taken over from its topic may hold a mistake that nobody made here."""
    wrong = stored(an_agent("bob", departments=["nowhere"]))
    assert remove(SALES, REST | GONE | wrong, NOON) == Removed(SALES, is_new=True)


def test_topics_hold_records_that_name_it_until_their_retention_is_over() -> None:
    late = retired(a_department("sales", move_to="service"), LONG_AGO + timedelta(minutes=1))
    found = remove(SALES, REST | late, NOON)
    reason = (
        "was retired at 2026-10-23 12:01 UTC and has to stay 30 days, until 2026-11-22 12:01:"
        " so long topics hold records that may name it"
    )
    assert found == Kept((reason,))


def test_an_unknown_document_is_told_with_those_there_are() -> None:
    found = remove(DocumentKey(TENANT, "department", "sale"), REST | GONE, NOON)
    assert found == Kept(("is not there; there is sales, service",))
