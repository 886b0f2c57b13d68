"""Edits of documents on a real PostgreSQL: whole or not at all, once, and never over somebody else's."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.decisions.removals import STAYS_RETIRED
from services.desk.handlers import DeskHandlers, DocumentEdits
from services.desk.model import (
    Applied,
    Conflict,
    Conflicted,
    DocumentKey,
    Invalid,
    Kept,
    Plan,
    Problem,
    Removed,
    Stored,
    Taken,
)
from services.desk.store import DocumentStore
from shared.contracts import catalogue
from shared.contracts.directory import DirectoryDocument
from shared.contracts.event import Cause, Event, Model
from shared.platform.database import Database
from shared.platform.outcome import End, Outcome, Received
from shared.platform.records import Record
from tests.conftest import Migrated
from tests.desk.builders import (
    TENANT,
    a_calendar,
    a_channel,
    a_department,
    a_template,
    a_tenant,
    an_agent,
    at_revision,
    rules,
)

pytestmark = pytest.mark.servers

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WHOLE: tuple[DirectoryDocument, ...] = (
    a_tenant(),
    a_calendar(
        week={"mon": [{"from": "09:00", "to": "17:00"}]}, exceptions=[{"date": "2026-12-25", "intervals": []}]
    ),
    a_department("service", calendar="office"),
    an_agent("ada", name="Ada Łęcka"),
    a_channel(),
    a_template(),
    rules({"department": "service", "keyword": "hi"}),
)
ADA = DocumentKey(TENANT, "agent", "ada")


@pytest.fixture
async def database(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("desk"), "desk")
    yield database
    await database.close()


class Editor:
    """Somebody who edits documents, and the events their edits said."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.edits = DocumentEdits(DocumentStore(), self._say)
        self.said: list[Event[Model]] = []
        self.ended: list[End] = []

    async def _say(self, _: AsyncConnection, said: Sequence[Event[Model] | End]) -> None:
        self.said += (one for one in said if not isinstance(one, End))
        self.ended += (one for one in said if isinstance(one, End))

    async def look(self, *wanted: DirectoryDocument, tenant: str = TENANT) -> Plan:
        async with self._database.transaction() as tx:
            plan = await self.edits.plan(tx, tenant, wanted)
        assert isinstance(plan, Plan)
        return plan

    async def look_in_vain(self, *wanted: DirectoryDocument, tenant: str = TENANT) -> tuple[Problem, ...]:
        async with self._database.transaction() as tx:
            plan = await self.edits.plan(tx, tenant, wanted)
        assert isinstance(plan, Invalid)
        return plan.problems

    async def write(self, plan: Plan, now: datetime = NOON) -> Applied | Conflicted | Invalid:
        async with self._database.transaction() as tx:
            return await self.edits.apply(tx, plan, now)

    async def remove(self, key: DocumentKey, now: datetime) -> Removed | Kept:
        async with self._database.transaction() as tx:
            return await self.edits.remove(tx, key, now)


async def _stored(database: Database, tenant: str = TENANT) -> dict[DocumentKey, Stored]:
    async with database.transaction() as tx:
        return await DocumentStore().of_tenant(tx, tenant)


async def test_documents_come_back_as_they_were_written_and_are_said_whole(database: Database) -> None:
    editor = Editor(database)

    assert await editor.write(await editor.look(*WHOLE)) == Applied(
        tuple(DocumentKey.of(TENANT, document) for document in WHOLE)
    )

    first = [at_revision(document, 1) for document in WHOLE]
    assert await _stored(database) == {
        DocumentKey.of(TENANT, document): Stored(document) for document in first
    }
    assert [event.data for event in editor.said] == first
    assert catalogue.key_of(editor.said[3]) == "acme:agent:ada"


async def test_applying_again_writes_nothing_and_says_nothing(database: Database) -> None:
    editor, again = Editor(database), Editor(database)
    await editor.write(await editor.look(*WHOLE))

    assert await again.write(await again.look(*WHOLE)) == Applied(())
    assert again.said == []
    assert {one.revision for one in (await _stored(database)).values()} == {1}


async def test_only_what_changed_is_written_and_what_is_left_out_stays(database: Database) -> None:
    editor = Editor(database)
    await editor.write(await editor.look(*WHOLE))

    plan = await editor.look(a_tenant(), an_agent("ada", capacity=9))

    assert await editor.write(plan) == Applied((ADA,))
    there = await _stored(database)
    assert there[ADA].document == at_revision(an_agent("ada", capacity=9), 2)
    assert len(there) == len(WHOLE)
    assert len(plan.untouched) == len(WHOLE) - 2


async def test_of_two_who_looked_at_the_same_the_second_is_refused_and_writes_nothing(
    database: Database,
) -> None:
    first, second = Editor(database), Editor(database)
    await first.write(await first.look(*WHOLE))
    mine = await first.look(an_agent("ada", capacity=4))
    theirs = await second.look(an_agent("ada", capacity=7), a_department("sales"))

    assert await first.write(mine) == Applied((ADA,))
    assert await second.write(theirs) == Conflicted((Conflict(ADA, 1, 2),))

    assert DocumentKey(TENANT, "department", "sales") not in await _stored(database)
    assert second.said == []


async def test_an_edit_waits_for_the_one_under_way_and_then_sees_it(database: Database) -> None:
    first, second = Editor(database), Editor(database)
    await first.write(await first.look(*WHOLE))
    mine = await first.look(an_agent("ada", capacity=4))
    theirs = await second.look(an_agent("ada", capacity=7))

    async with database.transaction() as tx:
        assert await first.edits.apply(tx, mine, NOON) == Applied((ADA,))
        waiting = asyncio.create_task(second.write(theirs))
        await _until_somebody_waits(database)

    assert await waiting == Conflicted((Conflict(ADA, 1, 2),))


async def _until_somebody_waits(database: Database) -> None:
    waiting = "wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(5):
        found = 0
        while not found:
            async with database.transaction() as tx:
                count = text(f"select count(*) from pg_stat_activity where {waiting}")
                found = (await tx.execute(count)).scalar_one()


async def test_a_plan_is_judged_once_more_when_it_is_written(database: Database) -> None:
    first, second = Editor(database), Editor(database)
    await first.write(await first.look(*WHOLE))
    mine = await first.look(a_channel("second", address="+49777"))
    theirs = await second.look(a_channel("third", address="+49777"))
    await first.write(mine)

    refused = await second.write(theirs)

    assert isinstance(refused, Invalid)
    assert refused.problems[0].message == "the channel 'second' has this address already"


async def test_another_tenants_documents_are_theirs_and_so_is_their_address(database: Database) -> None:
    editor = Editor(database)
    await editor.write(await editor.look(*WHOLE))
    other = (a_tenant("other"), a_department("service"))

    (problem,) = await editor.look_in_vain(*other, a_channel(), tenant="other")
    plan = await editor.look(*other, a_channel(address="+49888"), tenant="other")

    assert problem == Problem(2, ("business_address",), "another tenant has this address")
    assert plan.untouched == ()
    async with database.transaction() as tx:
        assert await DocumentStore().taken(tx, "other") == {Taken("whatsapp", "+4930111")}


async def _read_back(database: Database, *documents: DirectoryDocument) -> Outcome:
    events = [
        catalogue.fact(Cause(TENANT, f"late-{nth}"), document, source="desk", subject="x", time=NOON)
        for nth, document in enumerate(documents)
    ]
    received = [Received(event, Record("directory.v1", 0, nth, b"", b"")) for nth, event in enumerate(events)]
    async with database.transaction() as tx:
        return await DeskHandlers(DocumentStore()).handle(tx, received, NOON)


async def test_a_late_older_revision_is_answered_with_the_current_document(database: Database) -> None:
    editor = Editor(database)
    await editor.write(await editor.look(*WHOLE))
    await editor.write(await editor.look(an_agent("ada", capacity=9)))
    old, new = at_revision(an_agent("ada", name="Ada Łęcka"), 1), at_revision(an_agent("ada", capacity=9), 2)

    assert (await _read_back(database, old, new)).outgoing == []
    assert (await _stored(database))[ADA].echoed_revision == 2
    (again,) = (await _read_back(database, old)).outgoing

    assert again.data == new


async def test_a_document_that_only_the_topic_knows_is_taken_over(database: Database) -> None:
    newer = at_revision(an_agent("ada", capacity=9), 7)

    await _read_back(database, newer)

    assert (await _stored(database)) == {ADA: Stored(newer, 7)}


LATER = NOON + STAYS_RETIRED
SALES = DocumentKey(TENANT, "department", "sales")
RETIRED = a_department("sales", retired=True, move_to="service")


async def _retire_sales(editor: Editor) -> None:
    await editor.write(await editor.look(*WHOLE, a_department("sales")))
    await editor.write(await editor.look(RETIRED))


async def test_what_was_retired_long_enough_leaves_its_topic_once(database: Database) -> None:
    editor = Editor(database)
    await _retire_sales(editor)

    early = await editor.remove(SALES, LATER - timedelta(seconds=1))
    assert isinstance(early, Kept)
    assert editor.ended == []
    assert await editor.remove(SALES, LATER) == Removed(SALES, is_new=True)
    assert await editor.remove(SALES, LATER) == Removed(SALES, is_new=False)

    assert editor.ended == [End("directory.v1", "acme:department:sales")]
    plan = await editor.look(*WHOLE)
    assert SALES not in plan.untouched
    assert isinstance(await editor.remove(DocumentKey(TENANT, "department", "x"), LATER), Kept)


async def test_saying_again_that_it_is_retired_does_not_begin_its_time_anew(database: Database) -> None:
    editor = Editor(database)
    await _retire_sales(editor)
    renamed = RETIRED.model_copy(update={"name": "Sold"})
    await editor.write(await editor.look(renamed), LATER)
    assert await editor.remove(SALES, LATER) == Removed(SALES, is_new=True)


async def test_who_was_taken_back_and_retired_again_stays_its_whole_time(database: Database) -> None:
    editor = Editor(database)
    await _retire_sales(editor)
    await editor.write(await editor.look(a_department("sales")))
    assert await editor.remove(SALES, LATER) == Kept(
        ("is not retired: say `retired: true` of it and apply first",)
    )
    await editor.write(await editor.look(RETIRED), LATER)
    assert isinstance(await editor.remove(SALES, LATER), Kept)


async def test_whoever_makes_a_removed_document_anew_goes_on_with_its_revisions(database: Database) -> None:
    """Services hold the retired one at revision 2, and take nothing but a later one."""
    editor = Editor(database)
    await _retire_sales(editor)
    theirs = await editor.look(a_department("sales", name="Theirs"))
    await editor.remove(SALES, LATER)

    assert await editor.write(theirs) == Conflicted((Conflict(SALES, 2, 0),))
    plan = await editor.look(a_department("sales"))
    assert [edit.before for edit in plan.edits] == [None]
    assert await editor.write(plan, LATER) == Applied((SALES,))
    assert editor.said[-1].data == at_revision(a_department("sales"), 3)
    assert (await _stored(database))[SALES] == Stored(at_revision(a_department("sales"), 3))


async def test_what_is_made_anew_as_retired_stays_its_whole_time_again(database: Database) -> None:
    editor = Editor(database)
    await _retire_sales(editor)
    await editor.remove(SALES, LATER)
    await editor.write(await editor.look(RETIRED), LATER)
    assert isinstance(await editor.remove(SALES, LATER), Kept)


async def test_the_address_of_a_removed_channel_is_free_for_others(database: Database) -> None:
    editor = Editor(database)
    await editor.write(await editor.look(*WHOLE, a_channel("old", address="+49777")))
    await editor.write(await editor.look(a_channel("old", address="+49777", retired=True)))
    other = (a_tenant("other"), a_department("service"), a_channel(address="+49777"))
    await editor.look_in_vain(*other, tenant="other")
    await editor.remove(DocumentKey(TENANT, "channel", "old"), LATER)
    await editor.look(*other, tenant="other")


async def test_a_removed_document_that_is_read_back_late_is_ended_again(database: Database) -> None:
    editor = Editor(database)
    await _retire_sales(editor)
    await editor.remove(SALES, LATER)

    late = await _read_back(database, at_revision(a_department("sales"), 1))

    assert (late.outgoing, late.ended) == ([], [End("directory.v1", "acme:department:sales")])
    assert (await _stored(database))[SALES].removed
    newer = at_revision(a_department("sales"), 3)
    again = await _read_back(database, newer)
    assert (again.outgoing, again.ended) == ([], [])
    assert (await _stored(database))[SALES] == Stored(newer, 3)


async def test_of_a_removal_and_an_edit_that_would_name_it_the_second_is_refused(database: Database) -> None:
    editor = Editor(database)
    await _retire_sales(editor)
    joining = await editor.look(an_agent("bob", departments=["sales"]))

    async with database.transaction() as tx:
        assert await editor.edits.remove(tx, SALES, LATER) == Removed(SALES, is_new=True)
        waiting = asyncio.create_task(editor.write(joining))
        await _until_somebody_waits(database)
    assert isinstance(await waiting, Invalid)
