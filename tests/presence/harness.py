"""Presence on a real database and a real Redis, with time and the reading of signals in the test's hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.app import STEPS
from services.presence.decisions.absence import listen
from services.presence.handlers import PresenceHandlers
from services.presence.model import AgentKey, Leased
from services.presence.store import sessions
from services.presence.store.leases import Leases
from services.presence.store.standings import Standings
from services.presence.timers import FIRST, Watch
from shared.contracts.agent_signals import AgentSignalRefused
from shared.contracts.agents import AgentChanged
from shared.contracts.event import Event, Model
from shared.platform.clock import Clock
from shared.platform.database import Database
from shared.platform.outcome import Due, Outcome, Received, Rejection
from shared.platform.running import Running
from tests.desk_events import NOON, received


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()


class Presence(Running):
    """One replica of presence. What it says and times is kept in lists instead of the outbox."""

    def __init__(self, database: Database, redis: Redis, prefix: str, world: "World") -> None:
        self.clock: Clock = world.clock
        self.transaction: Callable[[], AbstractAsyncContextManager[AsyncConnection]] = database.transaction
        self.wake = lambda: None
        self.stopping = asyncio.Event()
        self.leases = Leases(redis, prefix)
        standings = Standings(self.leases)
        self.watch = Watch(standings, sweep_seconds=1, reconcile_seconds=1)
        self.handlers = PresenceHandlers(standings, STEPS, lambda: self.watch.contact)
        self._world = world

    async def read_up_to(self, topics: Iterable[str] | None = None) -> datetime | None:  # noqa: ARG002 - all are one here
        return self._world.read_up_to or self.clock.now()

    async def save(self, tx: AsyncConnection, outcome: Outcome) -> None:  # noqa: ARG002 - kept here, not there
        self._world.keep(outcome)

    async def hear(self, *said: Model | Event[Model], fails: bool = False) -> list[Rejection]:
        """Handle a batch; with ``fails`` its commit does not happen."""
        batch = [received(one) if isinstance(one, Model) else _again(one) for one in said]
        outcome = Outcome()
        try:
            async with self.transaction() as tx:
                outcome = await self.handlers.handle(tx, batch, self.clock.now())
                if fails:
                    raise Crash  # noqa: TRY301
        except Crash:
            return []
        self._world.keep(outcome)
        return outcome.rejected

    async def sweep(self) -> None:
        await self.watch.sweep_once(self)

    async def reconcile(self) -> None:
        after = await self.watch.reconcile_page(self, FIRST)
        while after != FIRST:
            after = await self.watch.reconcile_page(self, after)

    async def forget(self) -> None:
        async with self.transaction() as tx:
            await sessions.forget_ended_sessions(tx, self.clock.now(), 100)

    async def known(self, agent_id: str = "ann") -> Leased:
        """Return what Redis holds of an agent."""
        return (await self.leases.look([key(agent_id)]))[key(agent_id)]

    async def fire(self) -> None:
        """Fire the timers that are due, as the platform does: once everything was read up to them."""
        read_up_to = await self.read_up_to()
        ready = [due for due in self._world.dues.values() if read_up_to and due.at <= read_up_to]
        for due in ready:
            del self._world.dues[due.kind, due.key]
        async with self.transaction() as tx:
            outcome = await self.handlers.fire(tx, ready, self.clock.now())
        self._world.keep(outcome)


class Crash(Exception):  # noqa: N818 - it is no error but an act of the test
    """The process ends before the commit."""


class World:
    """What all replicas share: the clock, Redis, the database, what was said and what is timed."""

    def __init__(self, database: Database, redis: Redis, prefix: str) -> None:
        self.clock = SetClock()
        self.read_up_to: datetime | None = None
        """Set to hold the reading of signals back; None follows the clock."""
        self.said: list[Event[Model]] = []
        self.dues: dict[tuple[str, str], Due] = {}
        self.replicas: list[Presence] = []
        self._database = database
        self._redis = redis
        self._prefix = prefix

    def replica(self) -> Presence:
        """Start a replica: it has listened to nothing yet."""
        self.replicas.append(Presence(self._database, self._redis, self._prefix, self))
        return self.replicas[-1]

    def keep(self, outcome: Outcome) -> None:
        self.said += outcome.outgoing
        for kind, key in outcome.cancel:
            self.dues.pop((kind, key), None)
        self.dues |= {(due.kind, due.key): due for due in outcome.schedule}

    def changes(self, agent_id: str = "ann") -> list[AgentChanged]:
        return [
            event.data
            for event in self.said
            if isinstance(event.data, AgentChanged) and event.data.agent_id == agent_id
        ]

    def refusals(self) -> list[AgentSignalRefused]:
        """Return what was refused, in order."""
        return [event.data for event in self.said if isinstance(event.data, AgentSignalRefused)]

    def states(self, agent_id: str = "ann") -> list[tuple[str, str]]:
        """Return every state that was said of an agent, with its cause."""
        return [(change.state, change.cause) for change in self.changes(agent_id)]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, here and in Redis, while every replica listens each second but does nothing else."""
        end = self.clock.time + timedelta(seconds=seconds)
        while self.clock.time < end:
            self.clock.time = min(end, self.clock.time + timedelta(seconds=1))
            for replica in self.replicas:
                contact, now = replica.watch.contact, self.clock.time
                replica.watch.contact = listen(contact, now, self.read_up_to or now)
        await age(self._redis, self._prefix, seconds)

    async def freeze(self, seconds: float) -> None:
        """Let time pass while no replica listens."""
        self.clock.time += timedelta(seconds=seconds)
        await age(self._redis, self._prefix, seconds)

    async def flush_redis(self) -> None:
        """Lose everything of this installation, as a flush or a fresh Redis would."""
        if keys := await self._redis.keys(f"{self._prefix}*"):
            await self._redis.delete(*keys)

    async def row_versions(self) -> list[Any]:
        """Return what changes whenever any row of presence's is written."""
        names = ("agents", "sessions", "tenants", "known_agents")
        each = (f"select '{name}', xmin::text, ctid::text from {name}" for name in names)
        return await self.rows(" union all ".join(each) + " order by 1, 2, 3")

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self._database.transaction() as tx:
            return list(await tx.execute(text(statement), values))


async def age(redis: Any, prefix: str, seconds: float) -> None:
    """Make everything that is held in Redis look so much older, and watched all the while."""
    for name in await redis.keys(f"{prefix}*"):
        if await redis.type(name) == "zset":
            for member, score in await redis.zrange(name, 0, -1, withscores=True):
                await redis.zadd(name, {member: int(score - seconds * 1000)})
        else:
            since, seen = (await redis.get(name)).split()
            await redis.set(name, f"{int(since) - int(seconds * 1000)} {seen}")


def _again(event: Event[Model]) -> Received:
    """Wrap an event that was said as it comes back."""
    one = received(event.data)
    return Received(event, one.record)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


def key(agent_id: str = "ann", tenant_id: str = "acme") -> AgentKey:
    return AgentKey(tenant_id, agent_id)
