"""What tickets saves is what it loads, under locks, on a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.tickets.decisions.folding import wanted
from services.tickets.handlers import TicketHandlers
from services.tickets.model import Document, DocumentKey, Facts, PairKey, Ticket, TicketKey, Wanted
from services.tickets.store import TicketStore
from shared.contracts import catalogue
from shared.contracts.event import Event, Model
from shared.contracts.tickets import TicketClosed, TicketOpened
from shared.platform.database import Database
from shared.platform.outcome import Outcome, Received
from shared.platform.records import Record
from tests.conftest import Migrated
from tests.tickets.builders import (
    TENANT,
    a_department,
    a_ticket,
    an_agent,
    an_event,
    assigned,
    at,
    diverted,
    finish,
    give,
    message_added,
    pair_key,
)

pytestmark = pytest.mark.servers


@pytest.fixture
async def database(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("tickets"), "tickets")
    yield database
    await database.close()


def _about(*tickets: Ticket, documents: frozenset[DocumentKey] = frozenset()) -> Wanted:
    return Wanted(frozenset(), frozenset(ticket.key for ticket in tickets), documents)


async def _saved(database: Database, *tickets: Ticket) -> None:
    async with database.transaction() as tx:
        await TicketStore().save(tx, tickets, {})


async def _loaded(database: Database, about: Wanted) -> Facts:
    store = TicketStore()
    async with database.transaction() as tx:
        return await store.load(tx, about, await store.lock(tx, about))


async def test_a_ticket_comes_back_as_it_was_saved_and_as_it_was_saved_again(database: Database) -> None:
    ticket = a_ticket()
    await _saved(database, ticket)
    assert await _loaded(database, _about(ticket)) == Facts({ticket.key: ticket}, {})

    later = a_ticket(
        state="assigned", agent="ada", version=2, chat="c2", chat_version=9, last_message_at=at(9)
    )
    await _saved(database, later)
    assert (await _loaded(database, _about(ticket))).tickets == {ticket.key: later}


async def test_a_pairs_closed_ticket_and_its_next_are_saved_together_in_any_order(database: Database) -> None:
    await _saved(database, a_ticket("t9"))

    await _saved(database, a_ticket("t1"), a_ticket("t9", state="closed", version=2))

    about = Wanted(frozenset({PairKey(TENANT, pair_key())}), frozenset(), frozenset())
    assert list((await _loaded(database, about)).tickets) == [TicketKey(TENANT, "t1")]


async def test_the_database_itself_holds_one_open_ticket_per_pair(database: Database) -> None:
    await _saved(database, a_ticket("t1"))

    with pytest.raises(IntegrityError, match="one_open_ticket_per_pair"):
        await _saved(database, a_ticket("t2"))


async def test_a_closed_ticket_is_loaded_only_when_it_is_asked_for(database: Database) -> None:
    closed, neighbour = a_ticket("t1", state="closed"), a_ticket("t2")
    await _saved(database, closed, neighbour)

    assert set((await _loaded(database, _about(neighbour))).tickets) == {neighbour.key}
    assert set((await _loaded(database, _about(closed))).tickets) == {closed.key, neighbour.key}


async def test_another_tenants_ticket_is_not_loaded(database: Database) -> None:
    theirs = a_ticket("t1", tenant="other")
    await _saved(database, theirs)

    assert (await _loaded(database, _about(a_ticket("t1")))).tickets == {}


async def test_a_ticket_whose_pair_is_not_locked_is_not_seen(database: Database) -> None:
    ticket = a_ticket()
    await _saved(database, ticket)

    async with database.transaction() as tx:
        elsewhere = [PairKey(TENANT, "acme:whatsapp:+4930111:+49999")]
        facts = await TicketStore().load(tx, _about(ticket), elsewhere)

    assert facts.tickets == {}


async def test_a_document_never_goes_back_to_an_older_revision(database: Database) -> None:
    ada, sales = DocumentKey(TENANT, "agent", "ada"), DocumentKey(TENANT, "department", "sales")
    newer: dict[DocumentKey, Document] = {
        ada: an_agent("ada", revision=3, retired=True),
        sales: a_department("sales"),
    }
    older: dict[DocumentKey, Document] = {
        ada: an_agent("ada", revision=2),
        sales: a_department("sales", revision=2),
    }
    for documents in (newer, older):
        async with database.transaction() as tx:
            await TicketStore().save(tx, [], documents)

    found = (await _loaded(database, _about(documents=frozenset({ada, sales})))).documents

    assert found == {ada: newer[ada], sales: older[sales]}


async def _handle(database: Database, *data: Model) -> Outcome:
    events = [an_event(one) for one in data]
    async with database.transaction() as tx:
        return await TicketHandlers(TicketStore()).handle(tx, _received(events), at(1))


def _received(events: list[Event[Model]]) -> list[Received]:
    return [
        Received(event, Record(catalogue.topic_of(event.type), 0, n, b"", b""))
        for n, event in enumerate(events)
    ]


async def test_batches_build_upon_each_other_through_the_database(database: Database) -> None:
    await _handle(database, an_agent("ada"), diverted(version=3))
    await _handle(database, message_added(version=4, received_at=at(2)))
    await _handle(database, give(to="ada"))

    outcome = await _handle(database, assigned(version=5))

    (closed,) = [event.data for event in outcome.outgoing]
    assert isinstance(closed, TicketClosed)
    assert (closed.version, closed.chat_version, closed.agent_id, closed.last_message_at) == (
        3,
        5,
        "ada",
        at(2),
    )


async def test_a_divert_without_a_ticket_id_is_rejected_alone(database: Database) -> None:
    outcome = await _handle(database, diverted(ticket=None), diverted("c2", customer="+4917022"))

    (rejection,) = outcome.rejected
    assert rejection.reason == "missing_ticket_id"
    assert [type(event.data) for event in outcome.outgoing] == [TicketOpened]


async def test_a_close_waits_for_the_message_that_is_being_handled_and_then_names_its_version(
    database: Database,
) -> None:
    await _handle(database, diverted(version=3))
    store, handlers = TicketStore(), TicketHandlers(TicketStore())
    message = _received([an_event(message_added(version=4))])
    async with database.transaction() as tx:
        await store.lock(tx, wanted([one.event for one in message]))
        closing = asyncio.create_task(_handle(database, finish()))
        await _until_somebody_waits(database)
        await handlers.handle(tx, message, at(1))

    (closed,) = [event.data for event in (await closing).outgoing]
    assert isinstance(closed, TicketClosed)
    assert closed.chat_version == 4


async def test_two_tickets_opened_at_once_for_one_pair_leave_the_later_one_open(database: Database) -> None:
    await asyncio.gather(
        *(_handle(database, diverted(f"c{n}", ticket=f"t{n}", version=n)) for n in range(1, 9))
    )

    async with database.transaction() as tx:
        states = await tx.scalars(text("select state from tickets"))
        assert sorted(states) == ["closed"] * 7 + ["unassigned"]


async def _until_somebody_waits(database: Database) -> None:
    async with asyncio.timeout(5):
        while True:
            async with database.transaction() as tx:
                waiting = await tx.execute(
                    text(
                        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                        " and datname = current_database()"
                    )
                )
                if waiting.scalar_one():
                    return
