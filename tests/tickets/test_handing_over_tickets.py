"""Every ticket of an agent is handed over: to whom, in one go, and what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.tickets.decisions.folding import Folded, fold
from services.tickets.handlers import TicketHandlers
from services.tickets.model import DocumentKey, Facts, Ticket
from services.tickets.store import TicketStore
from shared.contracts import catalogue
from shared.contracts.actors import Actor
from shared.contracts.event import Event
from shared.contracts.ticket_commands import TicketHandOver
from shared.contracts.tickets import TicketAssigned, TicketCommandRefused, TicketMoved, TicketReleased
from shared.platform.database import Database
from shared.platform.outcome import Received
from shared.platform.records import Record
from tests.conftest import Migrated
from tests.tickets.builders import (
    SUPERVISOR,
    TENANT,
    a_department,
    a_ticket,
    an_agent,
    an_event,
    at,
    the_agent,
)


def a_hand_over(**fields: Any) -> TicketHandOver:
    return TicketHandOver(**{"by": SUPERVISOR, "agent_id": "ada", "note": "Ada is ill", **fields})


def held(number: int, agent: str = "ada", **fields: Any) -> Ticket:
    told = {"state": "assigned", "agent": agent, "customer": f"+4917000000{number:02}", **fields}
    return a_ticket(f"t{number}", chat=f"c{number}", **told)


TEAM = (
    an_agent("ada"),
    an_agent("bob"),
    an_agent("eve", retired=True),
    an_agent("sue", roles=("supervisor",)),
)
DEPARTMENTS = (a_department("support"), a_department("gone", retired=True, move_to="support"))


def handed(command: TicketHandOver, *tickets: Ticket) -> Folded:
    documents = {DocumentKey(TENANT, "agent", one.id): one for one in TEAM}
    departments = {DocumentKey(TENANT, "department", one.id): one for one in DEPARTMENTS}
    facts = Facts({ticket.key: ticket for ticket in tickets}, {**documents, **departments})
    return fold(facts, [an_event(command)], at(1))


OTHERS = (
    held(8, agent="bob"),
    a_ticket("t9", customer="+491700000099"),
    held(10, tenant="globex"),
    held(11, state="closed"),
)


def test_every_ticket_goes_to_the_agent_who_was_named_and_no_other_moves() -> None:
    folded = handed(a_hand_over(to_agent_id="bob"), held(1), held(2), *OTHERS)
    told = [event.data for event in folded.outgoing]
    assert [(type(one), one.ticket_id, one.agent_id, one.version) for one in told] == [  # type: ignore[attr-defined]
        (TicketAssigned, "t1", "bob", 2),
        (TicketAssigned, "t2", "bob", 2),
    ]
    first = told[0]
    assert isinstance(first, TicketAssigned)
    assert (first.previous_agent_id, first.by, first.note) == ("ada", SUPERVISOR, "Ada is ill")


def test_with_nobody_named_every_ticket_is_released_where_it_belongs() -> None:
    (released,) = [event.data for event in handed(a_hand_over(), held(1), *OTHERS).outgoing]
    assert isinstance(released, TicketReleased)
    assert (released.state, released.agent_id, released.previous_agent_id) == ("unassigned", None, "ada")


def test_every_ticket_is_released_into_the_department_that_was_named() -> None:
    folded = handed(a_hand_over(to_department_id="support"), held(1))
    moved, released = (event.data for event in folded.outgoing)
    assert isinstance(moved, TicketMoved)
    assert isinstance(released, TicketReleased)
    assert (moved.version, moved.agent_id, released.version) == (2, "ada", 3)
    assert (released.department_id, released.state) == ("support", "unassigned")
    assert len({event.id for event in folded.outgoing}) == 2


def test_an_agent_within_a_department_gets_them_there() -> None:
    folded = handed(a_hand_over(to_department_id="support", to_agent_id="bob"), held(1))
    (ticket,) = folded.tickets.values()
    assert (ticket.department_id, ticket.agent_id, ticket.state, ticket.version) == (
        "support",
        "bob",
        "assigned",
        3,
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"by": the_agent("ada")}, "role_not_allowed"),
        ({"by": Actor(role="customer")}, "role_not_allowed"),
        ({"agent_id": "zoe"}, "unknown_agent"),
        ({"to_agent_id": "zoe"}, "unknown_agent"),
        ({"to_agent_id": "eve"}, "unknown_agent"),
        ({"to_agent_id": "sue"}, "unknown_agent"),
        ({"to_agent_id": "ada"}, "same_agent"),
        ({"to_department_id": "nowhere"}, "unknown_department"),
        ({"to_department_id": "gone"}, "unknown_department"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], reason: str) -> None:
    folded = handed(a_hand_over(**asked), held(1))
    (refused,) = [event.data for event in folded.outgoing]
    assert isinstance(refused, TicketCommandRefused)
    assert (refused.reason, folded.tickets) == (reason, {})


@pytest.fixture
async def database(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("tickets"), "tickets")
    yield database
    await database.close()


async def _heard(database: Database, *events: Event[Any]) -> list[Event[Any]]:
    async with database.transaction() as tx:
        batch = [
            Received(event, Record(catalogue.topic_of(event.type), 0, n, b"", b""))
            for n, event in enumerate(events)
        ]
        return list((await TicketHandlers(TicketStore()).handle(tx, batch, at(1))).outgoing)


@pytest.mark.servers
async def test_a_thousand_tickets_are_handed_over_at_once_and_a_second_time_none(database: Database) -> None:
    async with database.transaction() as tx:
        await TicketStore().save(tx, [held(n) for n in range(1_000)] + [held(2_000, agent="bob")], {})
    await _heard(database, *(an_event(one) for one in TEAM))
    assert len(await _heard(database, an_event(a_hand_over(to_agent_id="bob")))) == 1_000
    assert await _heard(database, an_event(a_hand_over(to_agent_id="bob"))) == []
    assert len(await _heard(database, an_event(a_hand_over(agent_id="bob")))) == 1_001
