"""Replicas side by side: locks in one order, nobody waits in vain, nobody is told twice."""

import asyncio

import pytest

from services.presence.store import agents
from tests.presence.harness import Presence, World, key
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set

pytestmark = pytest.mark.servers

ANN, ZOE = key("ann"), key("zoe")


@pytest.fixture
async def rows(presence: Presence) -> None:
    """Zoe's row was made before ann's: the order of the table is not the order of the locks."""
    async with presence.transaction() as tx:
        await agents.create(tx, [ZOE])
    async with presence.transaction() as tx:
        await agents.create(tx, [ANN])


@pytest.mark.usefixtures("rows")
async def test_what_somebody_else_holds_is_left_out_where_it_can_wait(presence: Presence) -> None:
    async with presence.transaction() as held, presence.transaction() as tx:
        await agents.lock(held, [ANN])

        async with asyncio.timeout(2):
            assert set(await agents.lock(tx, [ANN, ZOE], wait=False)) == {ZOE}


@pytest.mark.usefixtures("rows")
async def test_locks_are_taken_in_the_order_of_keys(presence: Presence) -> None:
    async with presence.transaction() as tx:
        async with presence.transaction() as held:
            await agents.lock(held, [ANN])
            waiting = asyncio.create_task(agents.lock(tx, [ZOE, ANN]))
            await _until_somebody_waits(presence)
            async with presence.transaction() as other:
                assert set(await agents.lock(other, [ZOE], wait=False)) == {ZOE}, "ann's comes first"
        assert set(await waiting) == {ANN, ZOE}


async def test_replicas_that_hear_the_same_agents_at_once_agree(world: World, presence: Presence) -> None:
    other = world.replica()
    for n in range(10):
        tab, phone = f"tab-{n}", f"phone-{n}"
        await asyncio.gather(
            presence.hear(signed_in(tab, "ann"), signed_in(tab, "ben")),
            other.hear(signed_in(phone, "ben"), signed_in(phone, "ann"), state_set("away", "ben")),
            presence.hear(heartbeat(tab, "ann"), heartbeat(tab, "ben")),
        )
        await asyncio.gather(
            presence.hear(signed_out(phone, "ben"), signed_out(tab, "ann")),
            other.hear(signed_out(phone, "ann"), signed_out(tab, "ben")),
            other.sweep(),
            presence.reconcile(),
        )
    for agent in ("ann", "ben"):
        versions = sorted(change.version for change in world.changes(agent))
        assert versions == list(range(1, len(versions) + 1))
        last = max(world.changes(agent), key=lambda change: change.version)
        assert last.state == "offline"


async def test_somebody_who_returns_while_they_are_claimed_is_not_lost(
    world: World, presence: Presence
) -> None:
    other = world.replica()
    await presence.hear(signed_in())
    for _ in range(10):
        await world.pass_time(61)
        await asyncio.gather(presence.sweep(), other.hear(heartbeat()), other.hear(heartbeat()))
        await other.hear(heartbeat())
        assert world.dues == {}
    assert world.states() == [("online", "signed_in")]


async def _until_somebody_waits(presence: Presence) -> None:
    async with asyncio.timeout(5), presence.transaction() as tx:
        while not (
            await tx.exec_driver_sql(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            )
        ).scalar_one():
            await tx.exec_driver_sql("select pg_stat_clear_snapshot()")
