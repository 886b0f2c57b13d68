"""What signals do, on a real PostgreSQL and a real Redis."""

import pytest

from shared.contracts.actors import Actor
from shared.platform.outcome import Rejection
from tests import desk_events as desk
from tests.presence.harness import Presence, World, key
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set

pytestmark = pytest.mark.servers


async def test_who_signs_in_is_online_and_who_signs_out_is_offline_at_once(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await presence.hear(signed_out(reason="shift over"))

    assert world.states() == [("online", "signed_in"), ("offline", "signed_out")]
    assert [change.version for change in world.changes()] == [1, 2]
    assert world.changes()[-1].reason == "shift over"


async def test_a_batch_is_heard_in_order_agent_by_agent(world: World, presence: Presence) -> None:
    await presence.hear(
        signed_in(), signed_in(agent="ben"), state_set("away", reason="lunch"), signed_out(agent="ben")
    )

    assert world.states("ann") == [("online", "signed_in"), ("away", "state_set")]
    assert world.states("ben") == [("online", "signed_in"), ("offline", "signed_out")]


async def test_heartbeats_that_change_nothing_write_no_row(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), signed_in("tab", "ben"))
    before = await world.row_versions()

    await presence.hear(heartbeat(), heartbeat("tab", "ben"), heartbeat())

    assert await world.row_versions() == before
    assert world.states() == [("online", "signed_in")]


async def test_heartbeats_that_change_nothing_keep_the_lease(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    for _ in range(4):
        await world.pass_time(40)
        await presence.hear(heartbeat())
        await presence.sweep()

    assert world.states() == [("online", "signed_in")]
    assert world.dues == {}


async def test_a_late_heartbeat_of_a_signed_out_session_revives_nothing(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await presence.hear(signed_out())
    await presence.hear(heartbeat())
    await presence.hear(signed_in())

    assert world.states()[-1] == ("offline", "signed_out")
    assert (await presence.leases.look([key()]))[key()].left == {}

    await presence.hear(heartbeat("a new tab"))
    assert world.states()[-1] == ("online", "returned")


async def test_a_signed_out_session_stays_so_after_redis_was_flushed(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await presence.hear(signed_out())
    await world.flush_redis()
    await presence.hear(heartbeat())

    assert world.states()[-1] == ("offline", "signed_out")


async def test_a_sign_out_that_overtakes_its_sign_in_still_ends_it(world: World, presence: Presence) -> None:
    await presence.hear(signed_out())
    await presence.hear(signed_in())

    assert world.states() == []


async def test_one_session_of_two_may_sign_out(world: World, presence: Presence) -> None:
    await presence.hear(signed_in("tab"), signed_in("phone"))
    await presence.hear(signed_out("tab"))
    assert world.states() == [("online", "signed_in")]

    await presence.hear(signed_out("phone"))
    assert world.states()[-1] == ("offline", "signed_out")


async def test_another_session_never_changes_the_declared_state(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await presence.hear(state_set("away", reason="lunch", draining=True))
    await presence.hear(signed_in("phone", state="online", draining=False))
    assert world.states()[-1] == ("away", "state_set")

    await presence.hear(signed_out("tab"), signed_out("phone"), signed_in("laptop"))
    said = world.changes()[-1]
    assert (said.state, said.reason, said.draining) == ("online", None, False)


async def test_a_supervisor_sets_away_and_signs_out_every_session(world: World, presence: Presence) -> None:
    sue = Actor(role="supervisor", id="sue")
    await presence.hear(signed_in("tab"), signed_in("phone"))
    await presence.hear(state_set("away", by=sue, reason="meeting"))
    await presence.hear(signed_out(None, by=sue, reason="forgot to leave"))
    await presence.hear(heartbeat("tab"), heartbeat("phone"))

    assert world.states() == [("online", "signed_in"), ("away", "state_set"), ("offline", "signed_out")]
    assert world.changes()[-1].reason == "forgot to leave"


async def test_routing_sets_away_who_misses_offers_and_they_come_back_by_themselves(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await presence.hear(state_set("away", by=Actor(role="system"), reason="not answering"))
    await presence.hear(heartbeat())
    assert world.states() == [("online", "signed_in"), ("away", "state_set")]
    assert world.changes()[-1].reason == "not answering"

    await presence.hear(state_set("online", by=Actor(role="agent", id="ann"), session_id="tab"))
    assert (world.changes()[-1].state, world.changes()[-1].reason) == ("online", None)


async def test_nobody_is_known_before_the_directory_knows_them(world: World, presence: Presence) -> None:
    rejected = await presence.hear(
        signed_in(agent="zoe"), heartbeat(agent="zoe"), state_set(agent="zoe"), signed_in()
    )

    assert [one.reason for one in rejected] == ["unknown_agent"] * 3
    assert "'zoe' is not in the directory of tenant 'acme'" in rejected[0].detail
    assert world.states("zoe") == []
    assert world.states("ann") == [("online", "signed_in")]

    await presence.hear(signed_in(agent="zoe"), desk.an_agent_document("zoe"))
    assert world.states("zoe") == [("online", "signed_in")]


async def test_agents_of_other_tenants_are_others(world: World, presence: Presence) -> None:
    stranger = desk.an_event(signed_in(), tenant="globex")

    (rejection,) = await presence.hear(stranger)

    assert isinstance(rejection, Rejection)
    assert world.states() == []


async def test_who_is_retired_works_on_until_they_leave(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await presence.hear(desk.an_agent_document("ann", revision=2, retired=True))
    assert await presence.hear(state_set("away")) == []
    assert await presence.hear(signed_out()) == []

    (rejection,) = await presence.hear(signed_in("phone"))
    assert rejection.reason == "unknown_agent"
    assert world.states()[-1] == ("offline", "signed_out")


async def test_an_older_document_changes_nothing(world: World, presence: Presence) -> None:
    await presence.hear(desk.an_agent_document("ann", revision=3, retired=True))
    await presence.hear(desk.an_agent_document("ann", revision=2, retired=False))

    assert len(await presence.hear(signed_in())) == 1
    assert world.states() == []


async def test_a_batch_whose_commit_fails_is_heard_again_to_the_same_end(
    world: World, presence: Presence
) -> None:
    said = [desk.an_event(one) for one in (signed_in(), signed_in("phone"), signed_out("tab"))]
    await presence.hear(*said, fails=True)
    assert world.said == []

    await presence.hear(*said)

    assert world.states() == [("online", "signed_in")]
    assert set((await presence.leases.look([key()]))[key()].left) == {"phone"}


async def test_states_of_ours_that_come_back_in_order_are_noted(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await presence.hear(state_set("away"))
    await presence.hear(*world.said)

    assert len(world.said) == 2
    ((echoed,),) = await world.rows("select echoed_version from agents")
    assert echoed == 2


async def test_a_stale_state_that_came_last_is_made_good_with_the_very_same_event(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in())
    await presence.hear(state_set("away", reason="lunch"))
    first, second = world.said
    await presence.hear(first, second)

    await world.pass_time(5)
    await presence.hear(first)

    assert world.said[2:] == [second]


async def test_a_stale_state_is_no_trouble_when_a_newer_one_follows(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    await presence.hear(state_set("away"))
    first, second = world.said
    await presence.hear(first, second)

    await presence.hear(first, second)

    assert len(world.said) == 2
