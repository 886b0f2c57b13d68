"""Who is lost, and who only seems so, on a real PostgreSQL and a real Redis."""

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from services.presence.store import sessions
from services.presence.store.leases import LeaseChange
from tests import desk_events as desk
from tests.presence.harness import Presence, World, key
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set

pytestmark = pytest.mark.servers

LEASE, GRACE = 60, 30
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


async def test_who_is_silent_is_offline_when_lease_and_grace_are_over(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    assert world.states() == [("online", "signed_in")]

    await world.pass_time(GRACE - 3)
    await presence.fire()
    assert world.states() == [("online", "signed_in")]

    await world.pass_time(3)
    await presence.fire()
    assert world.states() == [("online", "signed_in"), ("offline", "lost")]
    assert world.dues == {}


async def test_a_return_within_the_grace_changes_nothing(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    assert len(world.dues) == 1

    await presence.hear(heartbeat())
    assert world.dues == {}

    await world.pass_time(GRACE + 1)
    await presence.sweep()
    await presence.fire()
    assert world.states() == [("online", "signed_in")]


async def test_who_returns_after_the_grace_is_what_they_declared(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), state_set("away", reason="lunch", draining=True))
    await lose(world, presence)
    await presence.hear(heartbeat())

    assert world.states()[-2:] == [("offline", "lost"), ("away", "returned")]
    said = world.changes()[-1]
    assert (said.reason, said.draining, said.version) == ("lunch", True, 4)


async def test_one_living_session_is_enough(world: World, presence: Presence) -> None:
    await presence.hear(signed_in("tab"), signed_in("phone"))
    await world.pass_time(LEASE - 10)
    await presence.hear(heartbeat("phone"))
    await world.pass_time(10 + GRACE)
    await presence.sweep()
    await presence.reconcile()
    assert world.dues == {}

    await presence.hear(signed_out("phone"))
    assert world.states()[-1] == ("offline", "signed_out")


async def test_who_signs_out_one_session_while_another_lapsed_just_now_may_return_with_that(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in("tab"), signed_in("phone"))
    await world.pass_time(LEASE - 1)
    await presence.hear(heartbeat("phone"))
    await world.pass_time(2)
    await presence.hear(signed_out("phone"))
    assert world.states() == [("online", "signed_in")]

    await presence.hear(heartbeat("tab"))
    assert world.dues == {}
    assert world.states() == [("online", "signed_in")]


async def test_a_sign_out_while_lost_is_told_at_once(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    await presence.hear(signed_out())

    assert world.states()[-1] == ("offline", "signed_out")
    assert world.dues == {}


async def test_lag_does_not_look_like_absence(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    world.read_up_to = world.clock.now()
    await world.pass_time(600)
    await presence.sweep()
    await presence.reconcile()
    assert world.dues == {}

    world.read_up_to = None
    await presence.sweep()
    assert world.dues == {}, "the backlog was read, but who could not be heard gets a lease to speak"

    await world.pass_time(LEASE - 2)
    await presence.hear(heartbeat())
    await world.pass_time(3)
    await presence.sweep()
    assert world.dues == {}


async def test_who_stays_silent_after_a_lag_is_lost_a_lease_later(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    world.read_up_to = world.clock.now()
    await world.pass_time(600)
    world.read_up_to = None
    await world.pass_time(LEASE + 2)
    await presence.sweep()
    await presence.fire()

    assert world.states()[-1] == ("offline", "lost")


async def test_what_is_not_read_yet_may_hold_a_heartbeat(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE - 1)
    world.read_up_to = world.clock.now()
    await world.pass_time(1.5)
    await presence.sweep()
    assert world.dues == {}, "the lease ended half a second ago, and signals were read up to before that"

    world.read_up_to = None
    await presence.sweep()
    assert len(world.dues) == 1


async def test_a_grace_is_not_over_while_signals_lag(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    await world.freeze(600)
    await presence.fire()
    assert world.states() == [("online", "signed_in")]

    await presence.hear(heartbeat())
    await world.pass_time(LEASE + 5)
    await presence.fire()
    assert world.states() == [("online", "signed_in")]


async def test_a_flushed_redis_loses_nobody(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), signed_in(agent="ben"), state_set("away"))
    await world.flush_redis()
    await presence.sweep()
    await presence.reconcile()
    assert world.dues == {}

    await world.pass_time(LEASE - 10)
    await presence.hear(heartbeat(), heartbeat(agent="ben"))
    await world.pass_time(11)
    await presence.sweep()
    await presence.reconcile()
    assert world.dues == {}
    assert world.states() == [("online", "signed_in"), ("away", "state_set")]


async def test_who_stays_silent_after_a_flush_is_lost_in_the_end(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.flush_redis()
    await presence.sweep()
    await world.pass_time(LEASE + 1)
    await presence.reconcile()
    await world.pass_time(LEASE + GRACE + 1)
    await presence.fire()

    assert world.states()[-1] == ("offline", "lost")


async def test_a_sign_out_after_a_flush_counts_sessions_that_were_not_heard_yet(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in("tab"), signed_in("phone"))
    await world.flush_redis()
    await presence.hear(signed_out("tab"))
    assert world.states() == [("online", "signed_in")]

    await presence.hear(heartbeat("phone"))
    assert world.dues == {}
    assert world.states() == [("online", "signed_in")]


async def test_sessions_of_somebody_who_was_lost_do_not_count_for_ever(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in("tab"))
    await lose(world, presence)
    await presence.hear(signed_in("phone"))
    await world.flush_redis()
    await presence.hear(signed_out("phone"))

    assert world.states()[-1] == ("offline", "signed_out")


async def test_a_new_replica_waits_a_lease_before_it_judges(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    newcomer = world.replica()
    await newcomer.sweep()
    await newcomer.reconcile()

    assert world.dues == {}


async def test_a_frozen_replica_judges_nobody_when_it_wakes(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await world.freeze(LEASE + 1)
    await presence.reconcile()
    await presence.sweep()

    assert world.dues == {}


async def test_two_replicas_lose_somebody_once(world: World, presence: Presence) -> None:
    other = world.replica()
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await other.sweep()
    await presence.sweep()
    await presence.fire()
    await world.pass_time(GRACE)
    await presence.fire()
    await other.fire()

    assert world.states() == [("online", "signed_in"), ("offline", "lost")]


async def test_a_return_whose_commit_failed_is_found_by_comparing(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await lose(world, presence)
    await presence.hear(heartbeat(), fails=True)
    await presence.hear(heartbeat())
    assert world.states()[-1] == ("offline", "lost"), "the lease alone tells nobody"

    await presence.reconcile()
    assert world.states()[-1] == ("online", "returned")


async def test_a_return_within_the_grace_whose_commit_failed_is_found_too(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    await presence.hear(heartbeat(), fails=True)
    assert len(world.dues) == 1

    await presence.reconcile()
    assert world.dues == {}
    assert world.states() == [("online", "signed_in")]


async def test_a_loss_whose_commit_failed_is_found_by_comparing(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await presence.leases.claim({key(): 0}, -3600 * SECOND)
    assert (await presence.leases.look([key()]))[key()].left == {}

    await presence.reconcile()
    await world.pass_time(LEASE + GRACE + 1)
    await presence.fire()
    assert world.states()[-1] == ("offline", "lost")


async def test_a_lease_of_a_signed_out_session_brings_nobody_back(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await presence.hear(signed_out())
    await presence.leases.write([LeaseChange(key(), grant={"tab": LEASE})])
    await presence.reconcile()

    assert world.states()[-1] == ("offline", "signed_out")
    assert (await presence.leases.look([key()]))[key()].left == {}


async def test_a_lapse_is_found_whatever_was_lost_of_the_leases(
    world: World, presence: Presence, redis: Redis, prefix: str
) -> None:
    await presence.hear(signed_in())
    await world.pass_time(LEASE + 6)
    await redis.delete(*await redis.keys(f"{prefix}*:leases"))
    await presence.sweep()
    assert world.dues == {}

    await presence.reconcile()
    assert len(world.dues) == 1


async def test_tenants_set_their_own_lease_and_grace(world: World, presence: Presence) -> None:
    await presence.hear(
        desk.a_tenant(revision=2, lease_seconds=3, grace_seconds=1), signed_in(lease_seconds=5)
    )
    await world.pass_time(6)
    await presence.sweep()
    await presence.fire()

    assert world.states()[-1] == ("offline", "lost")


async def test_an_older_document_of_a_tenant_changes_nothing(world: World, presence: Presence) -> None:
    await presence.hear(desk.a_tenant(revision=3, lease_seconds=3, grace_seconds=1))
    await presence.hear(desk.a_tenant(revision=2, lease_seconds=300, grace_seconds=300))
    await presence.hear(signed_in())
    await world.pass_time(5)
    await presence.sweep()
    await presence.fire()

    assert world.states()[-1] == ("offline", "lost")


async def test_ended_sessions_are_forgotten_after_eight_days(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), signed_out())
    async with presence.transaction() as tx:
        assert await sessions.forget_ended_sessions(tx, world.clock.now() + 7 * DAY, 10) == 0
        assert await sessions.forget_ended_sessions(tx, world.clock.now() + 9 * DAY, 10) == 1


async def lose(world: World, presence: Presence) -> None:
    await world.pass_time(LEASE + 1)
    await presence.sweep()
    await world.pass_time(GRACE)
    await presence.fire()
    assert world.states()[-1] == ("offline", "lost")
