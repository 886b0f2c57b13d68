from typing import Any

import pytest

from services.routing.decisions.choice import choose
from services.routing.decisions.placement import Assign, Divert, Hold, Placement, Queue, place
from services.routing.model import Agent, Calendar
from tests.desk_events import NOON
from tests.routing.builders import a_calendar, a_department, an_agent, minutes

OPEN, CLOSED = a_calendar("09:00", "17:00"), a_calendar("13:00", "17:00")
FREE, FULL, AWAY = an_agent(), an_agent(load=3, capacity=3), an_agent(state="away")
DRAINING = an_agent(draining=True)


def placed(
    agents: list[Agent], calendar: Calendar | None = None, *, ahead: int = 0, **department: Any
) -> Placement:
    named = {"calendar_id": "hours"} if calendar is not None else {}
    return place(a_department(**{**named, **department}), calendar, choose(agents), ahead=ahead, now=NOON)


def test_a_free_agent_gets_the_chat_at_once() -> None:
    found = placed([FREE], OPEN)
    assert isinstance(found, Assign)
    assert found.agent == FREE


@pytest.mark.parametrize("agents", [[FREE], [FULL], []])
def test_a_closed_department_diverts_whoever_is_there(agents: list[Agent]) -> None:
    found = placed(agents, CLOSED)
    assert isinstance(found, Divert)
    assert (found.reason, found.next_open_at) == ("outside_business_hours", NOON + minutes(60))


@pytest.mark.parametrize("agents", [[], [AWAY], [DRAINING], [an_agent(state="offline")]])
def test_nobody_online_and_not_draining_diverts(agents: list[Agent]) -> None:
    found = placed(agents)
    assert isinstance(found, Divert)
    assert found.reason == "no_agents_online"


def test_all_full_waits_until_the_department_closes() -> None:
    found = placed([FULL, AWAY], OPEN)
    assert isinstance(found, Queue)
    assert found.closes_at == NOON + minutes(300)


def test_all_full_diverts_at_once_where_the_department_says_so() -> None:
    found = placed([FULL], when_full="ticket")
    assert isinstance(found, Divert)
    assert found.reason == "all_full"


def test_a_new_chat_does_not_overtake_those_who_wait() -> None:
    assert isinstance(placed([FREE], ahead=1), Queue)


def test_a_calendar_that_is_named_but_missing_means_hold_not_open() -> None:
    assert isinstance(placed([FREE], calendar_id="hours"), Hold)


def test_no_calendar_named_is_always_open() -> None:
    assert isinstance(placed([FREE]), Assign)


def test_every_placement_says_why() -> None:
    found = placed([FREE, FULL], OPEN)
    assert found.why["counts"] == {"available": 1, "full": 1}
    assert [candidate[:3] for candidate in found.why["shortlist"]] == [
        ("ann", "available", 0),
        ("ann", "full", 3),
    ]
    assert found.why["calendar"] == {"id": "hours", "revision": 0, "open": True}
