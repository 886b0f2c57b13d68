"""Leases in a Redis Cluster of three masters, which these tests start and end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from ops.stack.children import Child, Launch, is_alive, kill, last_words, spawn
from ops.stack.kinds import quietly
from ops.stack.ports import free_port
from ops.stack.redis import find
from services.presence.model import AgentKey, Renewal
from services.presence.store.leases import LeaseChange, Leases
from shared.platform.database import Database
from shared.platform.faults import Retryable
from shared.platform.redis_client import AnyRedis, connect
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.presence.harness import World, key
from tests.presence.signals import heartbeat, signed_in
from tests.topics import publish, until_events

pytestmark = pytest.mark.servers

MASTERS = 3
SLOTS = 16384
TENANTS = [f"tenant-{number}" for number in range(24)]
"""So many that every master has some."""


@dataclass(frozen=True)
class Node:
    port: int
    child: Child
    log: Path

    def ask(self, *words: str | int) -> str:
        with Redis(port=self.port) as client:
            said = client.execute_command(*words)
        return said.decode() if isinstance(said, bytes) else str(said)


def until(holds: Callable[[], bool], what: str, nodes: list[Node]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        told = [last_words(node.log) for node in nodes]
        assert all(is_alive(node.child) for node in nodes), told
        assert time.monotonic() < deadline, (what, told)
        time.sleep(0.05)


def answers(node: Node) -> bool:
    try:
        return node.ask("PING") in {"PONG", "True"}
    except RedisError:
        return False


def is_whole(node: Node) -> bool:
    told = node.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in told and f"cluster_size:{MASTERS}" in told


def started(folder: Path, number: int, avoid: list[int]) -> Node:
    port = free_port(f"{folder} {number}", avoid)
    home = folder / str(number)
    home.mkdir()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--save", ""]
    argv = [str(find(quietly).executable), *options, "--cluster-enabled", "yes"]
    return Node(port, spawn(Launch(argv, home), home / "log"), home / "log")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    folder = tmp_path_factory.mktemp("cluster")
    running: list[Node] = []
    try:
        for number in range(MASTERS):
            running.append(started(folder, number, [node.port for node in running]))
        until(lambda: all(map(answers, running)), "every node answers", running)
        for number, node in enumerate(running):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTS", *range(number, SLOTS, MASTERS))
            node.ask("CLUSTER", "MEET", "127.0.0.1", running[0].port)
        until(lambda: all(map(is_whole, running)), "the cluster is whole", running)
        yield running
    finally:
        for node in running:
            kill(node.child)


@pytest.fixture
def url(nodes: list[Node]) -> str:
    return f"redis+cluster://127.0.0.1:{nodes[0].port}"


@pytest.fixture
async def client(url: str) -> AsyncIterator[AnyRedis]:
    opened = connect(url, 2)
    yield opened
    await opened.flushall()
    await opened.aclose()


async def test_leases_of_many_tenants_are_kept_on_every_master(client: AnyRedis, nodes: list[Node]) -> None:
    leases = Leases(client, "desk.")
    agents = [AgentKey(tenant, name) for tenant in TENANTS for name in ("ann", "ben")]
    strangers = [AgentKey(tenant, "zoe") for tenant in TENANTS]

    await leases.write([LeaseChange(agent, grant={"tab": 60}) for agent in agents])
    asking = await leases.renew([Renewal(one, "tab", 90) for one in [*agents, *strangers]])
    found = await leases.look(agents)

    assert asking == set(strangers)
    assert all(found[agent].left["tab"] > timedelta(seconds=60) for agent in agents)
    assert await leases.lapsed(TENANTS[0], timedelta(), 10) == []
    assert await leases.claim(dict.fromkeys(agents, 60), timedelta()) == {}
    assert all(int(node.ask("DBSIZE")) for node in nodes), "every master holds some"


async def test_an_agent_comes_is_lost_and_returns(client: AnyRedis, database: Database) -> None:
    world = World(database, client, "desk.")  # type: ignore[arg-type]
    presence = world.replica()
    await presence.hear(desk.a_tenant(lease_seconds=60, grace_seconds=30), desk.an_agent_document("ann"))
    await presence.sweep()
    await world.pass_time(3600)
    await presence.hear(signed_in())
    await world.pass_time(61)
    await presence.sweep()
    await world.pass_time(30)
    await presence.fire()
    await presence.hear(heartbeat())

    assert world.states() == [("online", "signed_in"), ("offline", "lost"), ("online", "returned")]


async def test_the_service_finds_the_cluster_by_its_scheme(
    installation: Installation, migrated: Migrated, processes: Processes, client: AnyRedis, url: str
) -> None:
    await migrated("presence")
    settings = installation.settings
    await publish(settings, map(desk.an_event, [desk.a_tenant(), desk.an_agent_document("ann")]))
    processes.start("presence", CHATDESK_REDIS_URL=url).until_ready()

    await publish(settings, [desk.an_event(signed_in())])

    (said,) = await until_events(settings, "agents.v1", lambda events: len(events) == 1)
    assert said.data.state == "online"
    leased = await Leases(client, settings.topic_prefix).look([key()])
    assert set(leased[key()].left) == {"tab"}


async def test_a_cluster_without_any_node_heals(nodes: list[Node]) -> None:
    nobody = free_port("no node", [node.port for node in nodes])
    lost = connect(f"redis+cluster://127.0.0.1:{nobody}", 2)

    async with asyncio.timeout(30):
        with pytest.raises(Retryable):
            await Leases(lost, "desk.").look([key()])
    await lost.aclose()
