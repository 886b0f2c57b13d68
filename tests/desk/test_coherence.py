"""A set of documents that does not fit together is refused, with the field and what would do."""

from collections.abc import Sequence

import pytest

from services.desk.decisions.coherence import problems
from services.desk.model import Problem, Taken
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
)

WHOLE: tuple[DirectoryDocument, ...] = (
    a_tenant(calendar="office"),
    a_calendar("office"),
    a_department("service", calendar="office"),
    a_department("sales"),
    an_agent("ada", departments=["service", "sales"]),
    an_agent("sue", departments=[], roles=["supervisor"]),
    a_channel("main", address="+49 30-111"),
    a_template("hello-en"),
    a_template("hello-de", language="de"),
    rules({"department": "sales", "business_address": "+4930111"}, {"department": "service"}),
)


def test_a_set_that_fits_together_has_no_problems() -> None:
    assert problems(TENANT, WHOLE, ()) == ()


def test_a_part_of_a_set_may_lean_on_what_is_stored() -> None:
    assert problems(TENANT, [an_agent("bob", departments=["sales"])], WHOLE) == ()


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        pytest.param(
            a_tenant(first_line="slaes"),
            ("first_line_department",),
            "there is no department 'slaes'; there is sales, service",
            id="a first line that does not exist",
        ),
        pytest.param(
            a_tenant(calendar="nights"),
            ("calendar",),
            "there is no calendar 'nights'; there is office",
            id="a tenant's calendar that does not exist",
        ),
        pytest.param(
            a_department("sales", calendar="nights"),
            ("calendar",),
            "there is no calendar 'nights'; there is office",
            id="a department's calendar that does not exist",
        ),
        pytest.param(
            a_department("sales", fallback="slaes"),
            ("fallback",),
            "there is no department 'slaes'; there is sales, service",
            id="a fallback that does not exist",
        ),
        pytest.param(
            a_department("sales", fallback="sales"),
            ("fallback",),
            "'sales' leads back to 'sales': nobody is asked twice",
            id="a fallback on itself",
        ),
        pytest.param(
            an_agent("bob", departments=["sales", "slaes"]),
            ("departments", 1),
            "there is no department 'slaes'; there is sales, service",
            id="an agent in a department that does not exist",
        ),
        pytest.param(
            an_agent("bob", departments=["sales", "sales"]),
            ("departments", 1),
            "'sales' is in departments twice",
            id="an agent twice in a department",
        ),
        pytest.param(
            an_agent("bob", roles=["agent", "agent"]),
            ("roles", 1),
            "'agent' is in roles twice",
            id="a role twice",
        ),
        pytest.param(
            an_agent("bob", roles=[]),
            ("roles",),
            "somebody without a role can do nothing: name agent, supervisor or admin",
            id="a person without a role",
        ),
        pytest.param(
            a_calendar("nights", time_zone="Europe/Berlni"),
            ("time_zone",),
            "'Europe/Berlni' is no IANA time zone such as Europe/Berlin",
            id="a time zone that does not exist",
        ),
        pytest.param(
            a_calendar("nights", time_zone="Europe"),
            ("time_zone",),
            "'Europe' is no IANA time zone such as Europe/Berlin",
            id="a folder of time zones",
        ),
        pytest.param(
            a_calendar("nights", time_zone="/etc/localtime"),
            ("time_zone",),
            "'/etc/localtime' is no IANA time zone such as Europe/Berlin",
            id="a path for a time zone",
        ),
        pytest.param(
            a_calendar("nights", exceptions=[{"date": "2026-12-25"}, {"date": "2026-12-25"}]),
            ("exceptions", 1, "date"),
            "'2026-12-25' is in exceptions twice",
            id="a holiday twice",
        ),
        pytest.param(
            a_channel("second", address="whatsapp:+49 (30) 111"),
            ("business_address",),
            "the channel 'main' has this address already",
            id="an address that another channel has, written otherwise",
        ),
        pytest.param(
            a_channel("second", address="+49 40 999"),
            ("business_address",),
            "another tenant has this address",
            id="an address of another tenant",
        ),
        pytest.param(
            a_template("hi-en"),
            ("name",),
            "the template 'hello-en' has this name and language already",
            id="a template of the same name and language",
        ),
        pytest.param(
            rules({"department": "slaes"}),
            ("rules", 0, "department"),
            "there is no department 'slaes'; there is sales, service",
            id="a rule for a department that does not exist",
        ),
        pytest.param(
            rules({"department": "sales", "business_address": "+49999"}),
            ("rules", 0, "business_address"),
            "there is no address of a channel '+49999'; there is +4930111",
            id="a rule for an address no channel has",
        ),
        pytest.param(
            rules({"department": "sales"}, {"department": "service", "keyword": "help"}),
            ("rules", 0),
            "this rule matches every message, so the ones after it never decide",
            id="a rule that shadows the others",
        ),
        pytest.param(
            a_department("sales", retired=True),
            ("retired",),
            "needs `move_to`, the department that takes over its chats; there is service",
            id="a department retired with nowhere for its chats to go",
        ),
        pytest.param(
            a_department("sales", move_to="service"),
            ("move_to",),
            "is for a department that says `retired: true`",
            id="a move of a department that stays",
        ),
        pytest.param(
            a_department("sales", retired=True, move_to="slaes"),
            ("move_to",),
            "there is no department 'slaes'; there is sales, service",
            id="a move to a department that does not exist",
        ),
        pytest.param(
            a_department("sales", retired=True, move_to="sales"),
            ("move_to",),
            "goes round in a circle (sales → sales): one of them must stay",
            id="a move to itself",
        ),
        pytest.param(
            an_agent("bob", retired=True, move_to="ada"),
            ("move_to",),
            "only a department moves what it held: leave it out",
            id="a move of an agent",
        ),
        pytest.param(
            a_tenant(retired=True),
            ("retired",),
            "a tenant cannot be retired",
            id="a tenant retired",
        ),
        pytest.param(
            a_calendar("office", retired=True),
            ("retired",),
            "is still used by department service, tenant acme: give them another calendar first",
            id="a calendar retired that is used",
        ),
    ],
)
def test_a_document_that_does_not_fit_is_named(
    document: DirectoryDocument, path: tuple[str | int, ...], message: str
) -> None:
    taken = [Taken("whatsapp", "+4940999")]

    assert problems(TENANT, [document], WHOLE, taken) == (Problem(0, path, message),)


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param(
            (*WHOLE, an_agent("ada")),
            Problem(len(WHOLE), ("id",), "the agent 'ada' is there twice"),
            id="an id twice",
        ),
        pytest.param(
            (a_tenant("other", calendar=None), a_department("service")),
            Problem(0, ("id",), "the tenant's document is called like the tenant: 'acme'"),
            id="a tenant's document under another name",
        ),
        pytest.param(
            (a_department("service"),),
            Problem(None, (), "nothing says who the tenant 'acme' is: a tenant is needed"),
            id="no tenant at all",
        ),
    ],
)
def test_a_set_that_cannot_be_is_named(documents: Sequence[DirectoryDocument], expected: Problem) -> None:
    assert problems(TENANT, documents, ()) == (expected,)


def test_departments_that_move_round_in_a_circle_are_named() -> None:
    round_ = [
        a_department("service", retired=True, move_to="sales"),
        a_department("sales", retired=True, move_to="service"),
    ]
    assert [problem.message for problem in problems(TENANT, round_, WHOLE)] == [
        "goes round in a circle (service → sales → service): one of them must stay",
        "goes round in a circle (sales → service → sales): one of them must stay",
    ]


def test_a_retired_department_may_be_pointed_at_and_moved_on_again() -> None:
    moving = [
        a_department("sales", retired=True, move_to="service"),
        a_department("service", retired=True, move_to="care"),
        a_department("care"),
    ]
    assert problems(TENANT, moving, WHOLE) == ()


def test_nobody_may_go_by_a_retired_calendar() -> None:
    old = a_calendar("old", retired=True)
    (problem,) = problems(TENANT, [a_department("sales", calendar="old")], (*WHOLE, old))
    assert (problem.path, problem.message) == (("calendar",), "the calendar 'old' is retired")


def test_a_retired_channels_address_is_free_for_another() -> None:
    known = (*WHOLE, a_channel("main", address="+49 30-111", retired=True))
    assert problems(TENANT, [a_channel("second", address="+4930111")], known) == ()


def test_a_long_list_of_names_is_cut() -> None:
    departments = [a_department(f"d{nth:02}") for nth in range(12)]

    (problem,) = problems(TENANT, [a_tenant(first_line="x")], departments)

    assert problem.message == (
        "there is no department 'x'; there is d00, d01, d02, d03, d04, d05, d06, d07 and 4 more"
    )


def test_every_problem_is_named_at_once() -> None:
    found = problems(TENANT, [a_tenant(first_line="x"), an_agent(departments=["y"])], ())

    assert [problem.nth for problem in found] == [0, 1]
