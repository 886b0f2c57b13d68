"""What people change in the directory takes effect at once, on real PostgreSQL."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.contact import Contact

pytestmark = pytest.mark.servers


@pytest.fixture
async def floor(migrated: Migrated) -> AsyncIterator[Contact]:
    """Two departments, of which `sales` is the first line; ann (2 chats) is in sales, bob in care."""
    database = Database(await migrated("routing"), "routing", connections=3)
    found = Contact(database)
    await found.hear(
        desk.a_tenant(),
        desk.a_department("sales"),
        desk.a_department("care"),
        desk.an_agent_document("ann", capacity=2),
        desk.an_agent_document("bob", capacity=9, departments=("care",)),
    )
    await found.hear(desk.agent_changed("ann"), desk.agent_changed("bob"))
    await found.sweep()
    yield found
    await database.close()


async def _write(floor: Contact, *numbers: int) -> None:
    """Let customers write one after the other: within one batch they would all wait since the same moment."""
    for number in numbers:
        await floor.hear(desk.a_message(customer=f"+2782{number:07}"))
    await floor.sweep()


async def _change(floor: Contact, *documents: Any) -> None:
    await floor.hear(*documents)
    await floor.sweep()


async def _chats(floor: Contact) -> dict[int, tuple[str, str | None, str | None]]:
    """Return each customer's chat: its state, its department, who holds it."""
    async with floor.database.transaction() as tx:
        rows = await tx.execute(text("select customer_address, state, department_id, agent_id from chats"))
        return {int(row[0][-3:]): (row[1], row[2], row[3]) for row in rows}


async def _said(floor: Contact, kind: str) -> list[dict[str, Any]]:
    async with floor.database.transaction() as tx:
        rows = await tx.execute(text("select value from outbox where topic = 'chats.v1' order by id"))
        events = [json.loads(value) for (value,) in rows]
    return [event["data"] for event in events if event["type"] == f"chatdesk.chat.{kind}.v1"]


ANN, WAITS = ("assigned", "sales", "ann"), ("queued", "sales", None)


async def test_a_capacity_below_the_load_stops_new_chats_and_cuts_nothing(floor: Contact) -> None:
    await _write(floor, 1, 2)
    await _change(floor, desk.an_agent_document("ann", revision=2, capacity=1))
    await _write(floor, 3)
    assert await _chats(floor) == {1: ANN, 2: ANN, 3: WAITS}


async def test_a_raised_capacity_drains_the_queue_at_once(floor: Contact) -> None:
    await _write(floor, 1, 2, 3, 4)
    await _change(floor, desk.an_agent_document("ann", revision=2, capacity=3))
    assert await _chats(floor) == {1: ANN, 2: ANN, 3: ANN, 4: WAITS}


async def test_who_leaves_a_department_keeps_its_chats_and_gets_no_more(floor: Contact) -> None:
    await _write(floor, 1)
    await _change(floor, desk.an_agent_document("ann", revision=2, departments=("care",)))
    await _write(floor, 1, 2)
    chats = await _chats(floor)
    assert chats[1] == ANN
    assert chats[2] == ("diverted", "sales", None)


async def test_who_leaves_a_department_gets_nothing_of_it_within_the_same_batch(floor: Contact) -> None:
    await floor.hear(
        desk.a_message(customer="+27820000001"),
        desk.an_agent_document("ann", revision=2, departments=("care",)),
        desk.a_message(customer="+27820000002"),
    )
    assert await _chats(floor) == {1: ANN, 2: ("diverted", "sales", None)}


async def test_a_retired_agent_keeps_chats_until_they_go_and_gets_nothing_new(floor: Contact) -> None:
    await _write(floor, 1)
    await _change(floor, desk.an_agent_document("ann", revision=2, retired=True))
    await _write(floor, 1, 2)
    assert await _chats(floor) == {1: ANN, 2: ("diverted", "sales", None)}

    await _change(floor, desk.agent_changed("ann", "offline", version=2))
    assert (await _chats(floor))[1] == ("diverted", "sales", None)


RETIRED = {"revision": 2, "retired": True, "move_to": "care"}


async def test_a_retired_department_hands_on_what_waits_and_leaves_what_agents_hold(floor: Contact) -> None:
    await _change(floor, desk.an_agent_document("bob", revision=2, capacity=1, departments=("care",)))
    await _write(floor, 1, 2, 3, 4)
    await _change(floor, desk.a_department("sales", **RETIRED))
    await _write(floor, 5)

    waits_in_care = ("queued", "care", None)
    assert await _chats(floor) == {
        1: ANN,
        2: ANN,
        3: ("assigned", "care", "bob"),
        4: waits_in_care,
        5: waits_in_care,
    }
    moved = await _said(floor, "moved")
    assert [(one["previous_department_id"], one["department_id"], one["state"]) for one in moved] == [
        ("sales", "care", "queued")
    ] * 2
    assert {one["reason"] for one in moved} == {"department_retired"}


async def test_a_retired_departments_tickets_go_along_and_go_on_there(floor: Contact) -> None:
    await _change(floor, desk.agent_changed("ann", "offline", version=2))
    await _write(floor, 1)
    await _change(floor, desk.a_department("sales", **RETIRED))
    assert await _chats(floor) == {1: ("diverted", "care", None)}

    await _write(floor, 1)
    assert await _chats(floor) == {1: ("assigned", "care", "bob")}


async def test_a_lost_agents_chats_of_a_retired_department_go_to_its_successor(floor: Contact) -> None:
    await _write(floor, 1)
    await _change(floor, desk.a_department("sales", **RETIRED))
    assert await _chats(floor) == {1: ANN}
    await _change(floor, desk.agent_changed("ann", "offline", version=2))
    assert await _chats(floor) == {1: ("assigned", "care", "bob")}


async def test_what_waits_is_handed_on_as_soon_as_the_successor_is_heard_of(floor: Contact) -> None:
    await _write(floor, 1, 2, 3)
    await _change(floor, desk.a_department("sales", **RETIRED | {"move_to": "help"}))
    assert (await _chats(floor))[3] == WAITS
    await _change(floor, desk.a_department("help", revision=1, retired=True, move_to="care"))
    assert (await _chats(floor))[3] == ("assigned", "care", "bob")


async def test_a_chat_that_comes_late_into_a_retired_department_is_handed_on_in_its_turn(
    floor: Contact,
) -> None:
    await _change(floor, desk.an_agent_document("bob", revision=2, capacity=1, departments=("care",)))
    await _write(floor, 1, 2, 3, 4)
    await _change(floor, desk.a_department("sales", **RETIRED))
    async with floor.database.transaction() as tx:  # as if decided upon the directory before it changed
        await tx.execute(text("update agents set load = 0 where agent_id = 'bob'"))
        await tx.execute(
            text(
                "update chats set state = 'queued', agent_id = null, department_id = 'sales',"
                " queued_at = now(), waiting_since = now() where agent_id = 'bob'"
            )
        )
    await _change(floor, desk.an_agent_document("ann", revision=3, capacity=2))
    chats = await _chats(floor)
    assert (chats[3], chats[4]) == (("queued", "care", None), ("assigned", "care", "bob"))


async def test_more_than_one_sweep_looks_at_are_all_handed_on(floor: Contact) -> None:
    await floor.hear(*(desk.a_message(customer=f"+2782{n:07}") for n in range(1, 451)))
    await floor.sweep()
    await _change(floor, desk.a_department("sales", **RETIRED))
    assert await floor.count("select count(*) from chats where department_id = 'sales'") == 2
    assert await floor.count("select count(*) from chats where agent_id = 'bob'") == 9
    assert await floor.count("select count(*) from chats where state = 'queued'") == 450 - 11


async def test_a_department_that_comes_back_takes_its_messages_again(floor: Contact) -> None:
    await _change(floor, desk.a_department("sales", **RETIRED))
    await _change(floor, desk.a_department("sales", revision=3))
    await _write(floor, 1)
    assert await _chats(floor) == {1: ANN}
