"""Nobody there: a department's fallback is asked before the chat becomes a ticket."""

from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import SERVE_QUEUE, WAITED_TOO_LONG
from services.routing.decisions.fold import fold, fold_dues
from services.routing.decisions.needs import needs_of, places_into
from services.routing.decisions.rules import fallbacks
from services.routing.model import Agent, Changes, Department, Documents, Facts, State
from shared.platform.outcome import Due
from tests.desk_events import NOON, TENANT, a_message, received
from tests.routing.builders import a_calendar, a_chat, a_department, a_diverted_chat, an_agent, facts

SALES, CARE, NIGHT = (TENANT, "sales"), (TENANT, "care"), (TENANT, "night")
CLOSED = {"calendar_id": "later"}
CARER = an_agent("cara", departments=frozenset({"care"}))
FULL_CARER = an_agent("cara", departments=frozenset({"care"}), load=3)
WATCH = an_agent("nina", departments=frozenset({"night"}))


def known(*agents: Agent, care: dict[str, Any] | None = None, **fields: Any) -> Facts:
    """Sales falls back on care, care on night; each is always open unless it says otherwise."""
    return facts(
        agents=agents,
        departments=(
            a_department("sales", fallback_id="care", **fields.pop("sales", {})),
            a_department("care", fallback_id="night", **(care or {})),
            a_department("night"),
        ),
        calendars={"later": a_calendar("13:00", "17:00")},
        **fields,
    )


def after(found: Facts) -> Changes:
    return fold(found, [received(a_message())], STEPS, NOON)


def told(changes: Changes) -> list[str]:
    return [event.type.split(".")[-2] for event in changes.outcome.outgoing]


@pytest.mark.parametrize(
    ("found", "state", "department"),
    [
        pytest.param(known(CARER), State.ASSIGNED, "care", id="nobody online, somebody free there"),
        pytest.param(known(CARER, sales=CLOSED), State.ASSIGNED, "care", id="closed, somebody free there"),
        pytest.param(known(FULL_CARER), State.QUEUED, "care", id="somebody works there, but is full"),
        pytest.param(known(WATCH), State.ASSIGNED, "night", id="the fallback's fallback"),
        pytest.param(known(CARER, WATCH, care=CLOSED), State.ASSIGNED, "night", id="a closed fallback"),
        pytest.param(
            known(FULL_CARER, WATCH, care={"when_full": "ticket"}),
            State.ASSIGNED,
            "night",
            id="a full fallback without a queue",
        ),
        pytest.param(
            known(CARER, WATCH, care={"calendar_id": "missing"}),
            State.ASSIGNED,
            "night",
            id="a fallback whose calendar has not come takes nothing",
        ),
        pytest.param(known(), State.DIVERTED, "sales", id="nobody anywhere"),
        pytest.param(
            known(an_agent(load=3), CARER), State.QUEUED, "sales", id="full is no reason to fall back"
        ),
    ],
)
def test_who_takes_a_chat_that_nobody_works_for(found: Facts, state: State, department: str) -> None:
    (chat,) = after(found).chats
    assert (chat.state, chat.department_id) == (state, department)


def test_the_chat_says_that_it_moved_from_where_and_why() -> None:
    changes = after(known(CARER, sales=CLOSED))
    assert told(changes) == ["opened", "message_added", "moved", "assigned"]
    moved = changes.outcome.outgoing[2].data
    assert moved.previous_department_id == "sales"  # type: ignore[attr-defined]
    assert moved.department_id == "care"  # type: ignore[attr-defined]
    assert moved.reason == "outside_business_hours"  # type: ignore[attr-defined]


def test_a_divert_tells_the_first_department_s_reason_and_who_was_asked() -> None:
    diverted = after(known(sales=CLOSED)).outcome.outgoing[-1].data
    assert diverted.reason == "outside_business_hours"  # type: ignore[attr-defined]
    asked = [(one["department"]["id"], one["verdict"]) for one in diverted.why["fallbacks"]]  # type: ignore[attr-defined]
    assert asked == [("care", "no_agents_online"), ("night", "no_agents_online")]


def test_a_ticket_goes_on_in_the_fallback() -> None:
    changes = after(known(CARER, chats=(a_diverted_chat(),)))
    assert told(changes) == ["message_added", "moved", "assigned"]


def test_a_queue_whose_last_agent_left_moves_whole_and_waits_there_from_now() -> None:
    waiting = tuple(a_chat(f"+2782000000{n}") for n in range(3))
    found = known(FULL_CARER, chats=waiting, queues={SALES: tuple(chat.key for chat in waiting)})
    due = Due(SERVE_QUEUE, f"{TENANT}:sales", TENANT, NOON, sweep=True, generation=1)
    changes = fold_dues(found, [due], NOON)
    assert [(chat.state, chat.department_id) for chat in changes.chats] == [(State.QUEUED, "care")] * 3
    assert told(changes) == ["moved", "queued"] * 3
    assert [due.kind for due in changes.outcome.schedule].count(WAITED_TOO_LONG) == 3


def test_fallbacks_in_a_circle_are_asked_once() -> None:
    circle = [
        Department(TENANT, name, fallback_id=after)
        for name, after in [("sales", "care"), ("care", "night"), ("night", "care")]
    ]
    documents = Documents(departments={one.department_id: one for one in circle})
    assert fallbacks(documents, SALES) == (CARE, NIGHT)
    assert fallbacks(documents, CARE) == (NIGHT,)


def test_the_fallbacks_of_a_message_s_department_are_locked_with_it() -> None:
    found = known()
    assert places_into(needs_of([received(a_message())]), {}, {}, found.directory).keys() == {
        SALES,
        CARE,
        NIGHT,
    }
