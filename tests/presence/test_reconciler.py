"""What is broken by hand between Redis and PostgreSQL is found, mended and counted."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.presence.store.leases import LeaseChange
from tests import desk_events as desk
from tests.presence.harness import Presence, World, key
from tests.presence.signals import heartbeat, signed_in, signed_out

pytestmark = pytest.mark.servers

LEASE, GRACE = 60, 30
KINDS = ("absent", "present", "ended_session", "idle")


class Mended:
    """How many agents were mended since this was made, by kind; kinds without any are left out."""

    def __init__(self) -> None:
        self._before = _counts()

    def __call__(self) -> dict[str, float]:
        since = {kind: count - self._before[kind] for kind, count in _counts().items()}
        return {kind: count for kind, count in since.items() if count}


def _counts() -> dict[str, float]:
    return {
        kind: REGISTRY.get_sample_value("chatdesk_presence_mended_total", {"what": kind}) or 0
        for kind in KINDS
    }


@pytest.fixture
def mended() -> Mended:
    return Mended()


def active(seconds_ago: float, session: str = "tab") -> Any:
    return desk.an_event(heartbeat(session, active_at=desk.NOON - timedelta(seconds=seconds_ago)))


async def test_where_both_agree_nothing_is_mended(world: World, presence: Presence, mended: Mended) -> None:
    await presence.hear(signed_in(), active(3), signed_in("phone", "ben"), signed_out("phone", "ben"))
    before = await world.row_versions()

    await presence.reconcile()

    assert mended() == {}
    assert await world.row_versions() == before


async def test_a_lease_that_ended_just_now_is_the_sweeps(
    world: World, presence: Presence, mended: Mended
) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 4)
    await presence.reconcile()
    assert (mended(), world.dues) == ({}, {})

    await world.pass_time(2)
    await presence.reconcile()
    assert mended() == {"absent": 1}


async def test_somebody_present_without_any_lease_is_lost(
    world: World, presence: Presence, mended: Mended
) -> None:
    await presence.hear(signed_in())
    await presence.leases.write([LeaseChange(key(), forget=True)])

    await presence.reconcile()
    await world.pass_time(LEASE + GRACE + 1)
    await presence.fire()

    assert mended() == {"absent": 1}
    assert world.states()[-1] == ("offline", "lost")


async def test_somebody_gone_with_a_lease_is_brought_back(
    world: World, presence: Presence, mended: Mended
) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    await world.pass_time(GRACE)
    await presence.fire()
    await presence.leases.write([LeaseChange(key(), grant={"tab": LEASE})])

    await presence.reconcile()

    assert mended() == {"present": 1}
    assert world.states()[-1] == ("online", "returned")


async def test_a_lease_of_a_signed_out_session_is_dropped_beside_a_living_one(
    world: World, presence: Presence, mended: Mended
) -> None:
    await presence.hear(signed_in("tab"), signed_in("phone"), signed_out("tab"))
    await presence.leases.write([LeaseChange(key(), grant={"tab": LEASE})])

    await presence.reconcile()

    assert mended() == {"ended_session": 1}
    assert set((await presence.known()).left) == {"phone"}
    assert world.states() == [("online", "signed_in")]


async def test_who_redis_takes_for_idle_and_the_row_does_not_is_asked_for(
    world: World, presence: Presence, mended: Mended
) -> None:
    await presence.hear(signed_in())
    await presence.hear(active(900), fails=True)
    await presence.hear(active(900))
    assert world.states() == [("online", "signed_in")], "the mark alone tells nobody"

    await presence.reconcile()
    await presence.hear(active(900))

    assert mended() == {"idle": 1}
    assert world.states()[-1] == ("away", "idle")


async def test_who_is_idle_by_the_row_and_active_in_redis_is_asked_for(
    world: World, presence: Presence, mended: Mended
) -> None:
    await presence.hear(signed_in(), active(900))
    await presence.hear(active(1), fails=True)
    await presence.hear(active(1))
    assert world.states()[-1] == ("away", "idle"), "the mark alone tells nobody"

    await presence.reconcile()
    await presence.hear(active(1))

    assert mended() == {"idle": 1}
    assert world.states()[-1] == ("online", "active")
