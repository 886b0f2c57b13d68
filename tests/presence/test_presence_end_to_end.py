"""Presence as a process: signals on Kafka in, agents' states on Kafka out."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from redis.asyncio import Redis

from ops.stack.answers import redis_silence
from ops.stack.children import Child, Launch, kill, last_words, spawn
from ops.stack.kinds import quietly
from ops.stack.ports import free_port
from ops.stack.redis import find
from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Event, Model
from shared.platform.settings import PlatformSettings
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.pipeline.waiting import until_holds
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set
from tests.topics import publish, publish_raw, until_events

pytestmark = pytest.mark.servers

SIGNALS = "agent-signals.v1"
LEASE, GRACE = 3, 2
"""Seconds; long enough for a busy machine to renew in time."""
BACKLOG = 3_000
"""Heartbeats; read one by one they take a process several times as long as lease and grace."""


@pytest.fixture
async def settings(installation: Installation, migrated: Migrated) -> PlatformSettings:
    """An installation whose tenant has a lease and a grace of seconds, and ann and ben."""
    await migrated("presence")
    documents = [
        desk.a_tenant(lease_seconds=LEASE, grace_seconds=GRACE),
        desk.an_agent_document("ann"),
        desk.an_agent_document("ben"),
    ]
    await publish(installation.settings, map(desk.an_event, documents))
    return installation.settings


async def until_states(settings: PlatformSettings, *expected: str, agent: str = "ann") -> list[Event[Model]]:
    """Wait until exactly these states were said of an agent; returns them all."""

    def said(events: Sequence[Event[Model]]) -> list[str]:
        return [f"{e.data.state} {e.data.cause}" for e in events if e.data.agent_id == agent]  # type: ignore[attr-defined]

    found = await until_events(settings, "agents.v1", lambda events: said(events) == list(expected))
    return [event for event in found if event.data.agent_id == agent]


@asynccontextmanager
async def living(
    settings: PlatformSettings, *sessions: tuple[str, str], partition: int | None = None
) -> AsyncIterator[None]:
    """Renew these sessions, (agent, session), well within their lease, for as long as the block lasts."""
    stopping = asyncio.Event()
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)

    async def renew() -> None:
        while not stopping.is_set():
            for agent, session in sessions:
                event = desk.an_event(heartbeat(session, agent))
                await producer.send(
                    settings.topic_prefix + SIGNALS,
                    cloudevents.encode(event),
                    key=catalogue.key_of(event).encode(),
                    partition=partition,
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE / 5):
                    await stopping.wait()

    await producer.start()
    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        stopping.set()
        await renewing
        await producer.stop()


async def test_an_agents_day_and_a_strangers(settings: PlatformSettings, processes: Processes) -> None:
    processes.start("presence").until_ready()

    await publish(settings, [desk.an_event(signed_in(agent="zoe")), desk.an_event(signed_in())])
    async with living(settings, ("ann", "tab")):
        (letter,) = await until_events(
            settings, "presence.dead-letters.v1", lambda letters: len(letters) == 1
        )
        assert letter.data.reason == "unknown_agent"
        assert "'zoe' is not in the directory" in letter.data.detail

        await publish(settings, [desk.an_event(state_set("away", reason="lunch", draining=True))])
        await until_states(settings, "online signed_in", "away state_set")

    before = ("online signed_in", "away state_set", "offline lost")
    await until_states(settings, *before)
    async with living(settings, ("ann", "tab")):
        await until_states(settings, *before, "away returned")
        await publish(settings, [desk.an_event(signed_out())])
        said = await until_states(settings, *before, "away returned", "offline signed_out")

    assert [event.data.version for event in said] == [1, 2, 3, 4, 5]  # type: ignore[attr-defined]
    assert [event.data.draining for event in said] == [False, True, True, True, False]  # type: ignore[attr-defined]


async def test_a_lost_redis_and_a_killed_process_make_nobody_absent(
    settings: PlatformSettings, processes: Processes, redis: Redis
) -> None:
    first = processes.start("presence").until_ready()
    await publish(settings, [desk.an_event(signed_in()), desk.an_event(signed_in("tab", "ben"))])
    async with living(settings, ("ann", "tab")):
        await until_states(settings, "online signed_in")
        await until_states(settings, "online signed_in", "offline lost", agent="ben")
        await redis.delete(*await redis.keys(f"{settings.topic_prefix}*"))
        first.kill()
        processes.start("presence").until_ready()
        await _until_ben_is_lost_again(settings)
        await until_states(settings, "online signed_in")
    await until_states(settings, "online signed_in", "offline lost")


async def test_a_stale_state_that_comes_last_on_the_topic_is_made_good(
    settings: PlatformSettings, processes: Processes
) -> None:
    processes.start("presence").until_ready()
    await publish(settings, [desk.an_event(signed_in())])
    async with living(settings, ("ann", "tab")):
        await publish(settings, [desk.an_event(state_set("away"))])
        first, second = await until_states(settings, "online signed_in", "away state_set")

        await publish(settings, [first])

        found = await until_events(settings, "agents.v1", lambda events: len(events) == 4)
        assert found[2:] == [first, second]


class OwnRedis:
    """A Redis of one test, that keeps nothing on disk: killed and started again it is empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port(str(folder))
        self._child: Child | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        log = self._folder / "log"
        self._child = spawn(Launch([str(find(quietly).executable), *options], self._folder), log)
        deadline = time.monotonic() + 30
        while silence := redis_silence(self.url):
            assert time.monotonic() < deadline, (silence, last_words(log))
            time.sleep(0.05)

    def kill(self) -> None:
        if self._child is not None:
            kill(self._child)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


async def test_a_redis_that_is_killed_and_starts_empty_makes_nobody_absent(
    settings: PlatformSettings, processes: Processes, own_redis: OwnRedis
) -> None:
    """Ann beats within her lease, but later than a grace after Redis is back, and nobody else beats."""
    lease, grace = 5, 1
    terms = desk.a_tenant(revision=2, lease_seconds=lease, grace_seconds=grace)
    await publish(settings, [desk.an_event(terms)])
    often = {"PRESENCE_RECONCILE_SECONDS": "0.1"}
    processes.start("presence", CHATDESK_REDIS_URL=own_redis.url, **often).until_ready()
    await publish(settings, [desk.an_event(signed_in())])
    await until_states(settings, "online signed_in")
    async with living(settings, ("ann", "tab")):
        await asyncio.sleep(lease + 1)  # nobody is judged before signals were heard for as long as a lease

    own_redis.kill()
    own_redis.start()
    await asyncio.sleep(grace + 2)  # whoever seemed absent is offline now
    await publish(settings, [desk.an_event(heartbeat())])
    await publish(settings, [desk.an_event(signed_in("tab", "ben"))])
    await until_states(settings, "online signed_in", agent="ben")
    await until_states(settings, "online signed_in")

    await until_states(settings, "online signed_in", "offline lost")


async def test_a_process_that_stands_still_takes_nobody_for_absent(
    settings: PlatformSettings, processes: Processes
) -> None:
    presence = processes.start("presence").until_ready()
    await publish(settings, [desk.an_event(signed_in()), desk.an_event(signed_in("tab", "ben"))])
    async with living(settings, ("ann", "tab")):
        await until_states(settings, "online signed_in")
        await until_states(settings, "online signed_in", "offline lost", agent="ben")
        os.kill(presence.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(LEASE + GRACE + 1)  # every lease in Redis ends, and signals wait unread
        finally:
            os.kill(presence.pid, signal.SIGCONT)
        await _until_ben_is_lost_again(settings)
        await until_states(settings, "online signed_in")
    await until_states(settings, "online signed_in", "offline lost")


@pytest.mark.long
async def test_a_backlog_that_takes_longer_than_lease_and_grace_makes_nobody_absent(
    settings: PlatformSettings, processes: Processes
) -> None:
    """Ann beats on, behind so many of ben's heartbeats that hers are read when she would long be offline."""
    before = processes.start("presence").until_ready()
    await publish(settings, [desk.an_event(signed_in()), desk.an_event(signed_in("tab", "ben"))])
    await until_states(settings, "online signed_in")
    await until_states(settings, "online signed_in", agent="ben")
    before.stop()

    beats = [cloudevents.encode(desk.an_event(heartbeat("tab", "ben"))) for _ in range(BACKLOG)]
    await publish_raw(settings, [(SIGNALS, None, beat, []) for beat in beats], partition=0)
    async with living(settings, ("ann", "tab"), partition=0):
        began = time.monotonic()
        processes.start("presence", CHATDESK_BATCH_RECORDS="1").until_ready()
        await until_holds(
            lambda: read_of(settings, partition=0), lambda offset: offset > BACKLOG, seconds=120
        )
        assert time.monotonic() - began > LEASE + GRACE + 1, "too short a backlog for anybody to seem absent"
        await until_states(settings, "online signed_in")
        await until_states(settings, "online signed_in", "offline lost", agent="ben")
        await until_states(settings, "online signed_in")
    await until_states(settings, "online signed_in", "offline lost")


async def read_of(settings: PlatformSettings, *, partition: int) -> int:
    """Return behind which offset of a partition of signals presence has read."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        return int(
            await connection.fetchval(
                "select coalesce(max(next_offset), 0) from presence.positions"
                " where topic = $1 and partition = $2",
                SIGNALS,
                partition,
            )
        )
    finally:
        await connection.close()


async def _until_ben_is_lost_again(settings: PlatformSettings) -> None:
    """It takes longer than ann's loss would have, had she seemed absent at any time."""
    await publish(settings, [desk.an_event(heartbeat("tab", "ben"))])
    expected = ("online signed_in", "offline lost", "online returned", "offline lost")
    await until_states(settings, *expected, agent="ben")
