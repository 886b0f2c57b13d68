"""The lease scripts against a real Redis."""

from datetime import timedelta
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.crc import key_slot

from services.presence.model import Leased, Renewal
from services.presence.store.leases import LeaseChange, Leases
from shared.platform.faults import Retryable
from tests.presence.harness import age, key

pytestmark = pytest.mark.servers

ANN, BEN = key("ann"), key("ben")
NO_MARGIN = timedelta()


@pytest.fixture
def leases(redis: Redis, prefix: str) -> Leases:
    return Leases(redis, prefix)


async def admit(leases: Leases, *sessions: str, seconds: int = 60) -> None:
    await leases.write([LeaseChange(ANN, grant=dict.fromkeys(sessions, seconds))])


async def running(leases: Leases) -> dict[str, bool]:
    return lives((await leases.look([ANN]))[ANN])


def lives(leased: Leased) -> dict[str, bool]:
    """Say of each session with a lease whether it still runs."""
    return {name: left > NO_MARGIN for name, left in leased.left.items()}


async def test_a_session_lives_while_its_lease_runs(leases: Leases, redis: Redis, prefix: str) -> None:
    await admit(leases, "tab")
    await age(redis, prefix, 59)
    assert await running(leases) == {"tab": True}

    await age(redis, prefix, 2)
    assert await running(leases) == {"tab": False}


async def test_a_heartbeat_renews_a_session_that_was_admitted(
    leases: Leases, redis: Redis, prefix: str
) -> None:
    await admit(leases, "tab")
    await age(redis, prefix, 61)

    assert await leases.renew([Renewal(ANN, "tab", 10)]) == set()
    assert await running(leases) == {"tab": True}
    assert await leases.lapsed("acme", NO_MARGIN, 10) == []


async def test_a_heartbeat_admits_nobody(leases: Leases) -> None:
    await admit(leases, "tab")

    assert await leases.renew(
        [Renewal(ANN, "tab", 60), Renewal(ANN, "phone", 60), Renewal(BEN, "tab", 60)]
    ) == {ANN, BEN}
    assert await running(leases) == {"tab": True}


async def test_agents_of_several_tenants_renew_apart(leases: Leases) -> None:
    other = key("ann", "globex")
    await leases.write([LeaseChange(ANN, grant={"tab": 60}), LeaseChange(other, grant={"tab": 60})])

    assert await leases.renew(
        [Renewal(ANN, "tab", 60), Renewal(other, "phone", 60), Renewal(BEN, "tab", 60)]
    ) == {other, BEN}


async def test_who_lapsed_is_listed_by_their_longest_lease(leases: Leases, redis: Redis, prefix: str) -> None:
    await leases.write(
        [LeaseChange(ANN, grant={"tab": 10, "phone": 60}), LeaseChange(BEN, grant={"tab": 20})]
    )
    await age(redis, prefix, 30)
    assert await leases.lapsed("acme", NO_MARGIN, 10) == [BEN]
    assert await leases.lapsed("acme", timedelta(seconds=15), 10) == []

    await age(redis, prefix, 31)
    assert await leases.lapsed("acme", NO_MARGIN, 10) == [BEN, ANN]
    assert await leases.lapsed("acme", NO_MARGIN, 1) == [BEN]


async def test_a_shorter_lease_of_the_longest_session_counts(
    leases: Leases, redis: Redis, prefix: str
) -> None:
    await admit(leases, "tab", seconds=300)
    await leases.renew([Renewal(ANN, "tab", 10)])
    await age(redis, prefix, 11)

    assert await leases.lapsed("acme", NO_MARGIN, 10) == [ANN]


async def test_who_is_claimed_has_no_session_left(leases: Leases, redis: Redis, prefix: str) -> None:
    await admit(leases, "tab", "phone")
    await age(redis, prefix, 64)

    claimed = await leases.claim({ANN: 60}, NO_MARGIN)

    ended_ago = claimed[ANN]
    assert ended_ago is not None
    assert timedelta(seconds=4) <= ended_ago < timedelta(seconds=34)
    assert await running(leases) == {}
    assert await leases.lapsed("acme", NO_MARGIN, 10) == []
    assert await leases.renew([Renewal(ANN, "tab", 60)]) == {ANN}


async def test_who_renewed_in_time_is_not_claimed(leases: Leases, redis: Redis, prefix: str) -> None:
    await admit(leases, "tab")
    await age(redis, prefix, 64)
    await leases.renew([Renewal(ANN, "tab", 60)])

    assert await leases.claim({ANN: 60}, NO_MARGIN) == {}
    assert await running(leases) == {"tab": True}


async def test_nobody_is_claimed_whose_lease_ended_since_signals_were_read(
    leases: Leases, redis: Redis, prefix: str
) -> None:
    await admit(leases, "tab")
    await age(redis, prefix, 64)

    assert await leases.claim({ANN: 60}, timedelta(minutes=5)) == {}
    assert await running(leases) == {"tab": False}


async def test_nobody_is_claimed_before_leases_were_held_for_a_lease(
    leases: Leases, redis: Redis, prefix: str
) -> None:
    await admit(leases, "tab", seconds=10)
    await age(redis, prefix, 50)
    assert await leases.claim({ANN: 60, BEN: 60}, NO_MARGIN) == {}

    await age(redis, prefix, 11)
    claimed = await leases.claim({ANN: 60, BEN: 60}, NO_MARGIN)
    assert set(claimed) == {ANN, BEN}
    assert claimed[BEN] is None


async def test_a_flush_begins_a_new_time_of_holding(leases: Leases, redis: Redis, prefix: str) -> None:
    await admit(leases, "tab")
    await age(redis, prefix, 3600)
    assert (await leases.look([ANN]))[ANN].age >= timedelta(hours=1)

    await redis.delete(*await redis.keys(f"{prefix}*"))

    assert (await leases.look([ANN]))[ANN].age < timedelta(minutes=1)
    assert await leases.claim({ANN: 60}, NO_MARGIN) == {}


async def test_dropped_and_forgotten_sessions_are_gone(leases: Leases) -> None:
    await admit(leases, "tab", "phone", "laptop")
    await leases.write([LeaseChange(ANN, drop=["tab"], grant={"kiosk": 60})])
    assert await running(leases) == {"phone": True, "laptop": True, "kiosk": True}

    await leases.write([LeaseChange(ANN, forget=True)])
    assert await running(leases) == {}
    assert await leases.lapsed("acme", timedelta(days=-1), 10) == []


async def test_keys_of_a_tenant_share_a_hash_tag(redis: Redis, prefix: str) -> None:
    odd = key("a}{b", "t}{:x")
    leases = Leases(redis, prefix)
    await leases.write([LeaseChange(odd, grant={"{s}": 60})])

    names = [str(name).removeprefix(prefix) for name in await redis.keys(f"{prefix}*")]
    assert {name[: name.index("}")] for name in names} == {"presence:{t%7D%7B%3Ax"}
    assert lives((await leases.look([odd]))[odd]) == {"{s}": True}


@pytest.mark.parametrize("tenant", ["acme", "t}{:x", "{}", "{"])
async def test_a_cluster_keeps_a_tenants_keys_in_one_slot(redis: Redis, prefix: str, tenant: str) -> None:
    await Leases(redis, prefix).write(
        [LeaseChange(key(name, tenant), grant={"tab": 60}) for name in ("ann", "ben", "{cid}", "}")]
    )

    names = [str(name) for name in await redis.keys(f"{prefix}*")]
    assert len(names) == 6
    assert len({key_slot(name.encode()) for name in names}) == 1


async def test_no_name_of_a_tenant_reaches_into_another(leases: Leases) -> None:
    one, other = key("b}:since", "a"), key("ann", "a}:sessions:b")
    await leases.write([LeaseChange(one, grant={"tab": 60})])
    await leases.write([LeaseChange(other, grant={"phone": 60})])

    found = await leases.look([one, other])
    assert (lives(found[one]), lives(found[other])) == ({"tab": True}, {"phone": True})


async def test_sets_of_sessions_go_by_themselves(leases: Leases, redis: Redis, prefix: str) -> None:
    await admit(leases, "tab", seconds=60)

    (name,) = await redis.keys(f"{prefix}*:sessions:*")
    assert 3600 < await redis.ttl(name) <= 3660 + 600

    await redis.pexpireat(name, 1 + int(1000 * (await redis.time())[0]) + 60_000)
    await redis.zadd(f"{str(name).partition(':sessions:')[0]}:leases", {"ann": 0})  # as if renewed long ago
    await leases.renew([Renewal(ANN, "tab", 60)])
    assert 3600 < await redis.ttl(name) <= 3660 + 600


@pytest.mark.parametrize("said", [[("tab", 1)], [("tab", 90), ("tab", 1)], [("tab", 1), ("tab", 1)]])
async def test_the_longest_lease_counts_also_when_it_is_renewed_for_less(
    leases: Leases, redis: Redis, prefix: str, said: list[tuple[str, int]]
) -> None:
    await leases.write([LeaseChange(ANN, grant={"tab": 60, "phone": 30})])

    await leases.renew([Renewal(ANN, name, seconds) for name, seconds in said])
    await age(redis, prefix, 29)
    assert await leases.lapsed(ANN.tenant_id, timedelta(), 10) == []
    await age(redis, prefix, 2)
    assert await leases.lapsed(ANN.tenant_id, timedelta(), 10) == [ANN]


async def test_scripts_come_back_after_a_restart_of_redis(leases: Leases, redis: Redis) -> None:
    await admit(leases, "tab")
    await redis.script_flush()

    assert await leases.renew([Renewal(ANN, "tab", 60)]) == set()


async def test_a_redis_that_is_failing_over_heals(redis: Redis, prefix: str) -> None:
    leases = Leases(_FailingOver(connection_pool=redis.connection_pool), prefix)

    with pytest.raises(Retryable):
        await leases.renew([Renewal(ANN, "tab", 60)])


class _FailingOver(Redis):
    """Answers as a primary does that was made a replica."""

    async def evalsha(self, *_: object) -> Any:
        raise exceptions.ReadOnlyError("You can't write against a read only replica.")


async def test_redis_back_from_an_old_snapshot_counts_as_fresh(
    leases: Leases, redis: Any, prefix: str
) -> None:
    """Its leases ended while nobody wrote them down: that is no absence."""
    await admit(leases, "tab")
    await age(redis, prefix, 600)
    assert (await leases.look([ANN]))[ANN].age > timedelta(seconds=600)

    (name,) = [name for name in await redis.keys(f"{prefix}*") if name.endswith(":since")]
    since, seen = (await redis.get(name)).split()
    await redis.set(name, f"{since} {int(seen) - 60_000}")
    assert (await leases.look([ANN]))[ANN].age < timedelta(seconds=5)


async def test_who_rests_is_asked_for_only_with_new_input(leases: Leases) -> None:
    await leases.write([LeaseChange(ANN, grant={"tab": 60}, quiet="resting")])

    def heard(seconds: float) -> Renewal:
        return Renewal(ANN, "tab", 60, 900, timedelta(seconds=seconds))

    assert await leases.renew([heard(900), heard(5000)]) == set()
    assert await leases.renew([heard(899)]) == {ANN}
