"""Looks at the leases without being asked: who is absent, and do Redis and PostgreSQL agree."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.decisions.absence import differs_in_idleness, find, lapse, listen, may_judge, stand
from services.presence.decisions.outcome import outcome_of
from services.presence.decisions.word import changed
from services.presence.model import AgentKey, Change, Contact, Leased, Standing
from services.presence.store import agents, directory, sessions
from services.presence.store.leases import LeaseChange
from services.presence.store.standings import Standings
from shared.platform.metrics import PRESENCE_MENDED
from shared.platform.running import Running

SLICE = 500
"""Agents per transaction."""
FIRST = AgentKey("", "")
TO_SWEEP = timedelta(seconds=5)
"""Whose last lease ended since is the sweep's, and nothing that had to be mended."""


class Watch:
    """Keeps contact with the signals, and declares lost whoever has no lease left."""

    def __init__(self, standings: Standings, *, sweep_seconds: float, reconcile_seconds: float) -> None:
        self.contact = Contact()
        self._standings = standings
        self._sweep_seconds = sweep_seconds
        self._reconcile_seconds = reconcile_seconds
        self._log = structlog.get_logger()

    async def sweep(self, running: Running) -> None:
        """Look for leases that ended, again and again."""
        while not running.stopping.is_set():
            await self.sweep_once(running)
            await running.wait(self._sweep_seconds)

    async def sweep_once(self, running: Running) -> None:
        """Listen how far signals were read, and declare lost whose lease ended before that."""
        read_up_to = await running.read_up_to()
        now = running.clock.now()
        self._listen(now, read_up_to)
        if self.contact.steady_since is None:
            return
        async with running.transaction() as tx:
            tenant_ids = await directory.tenants(tx)
        for tenant_id in tenant_ids:
            lapsed = await self._standings.leases.lapsed(tenant_id, self._unread(now), SLICE)
            if lapsed:
                await self._declare_lost(running, lapsed)

    async def reconcile(self, running: Running) -> None:
        """Compare Redis and PostgreSQL, again and again, a page of agents at a time."""
        after = FIRST
        while not running.stopping.is_set():
            after = await self.reconcile_page(running, after)
            if after == FIRST:
                await self._forget_ended_sessions(running)
                await running.wait(self._reconcile_seconds)

    async def reconcile_page(self, running: Running, after: AgentKey) -> AgentKey:
        """Compare one page; returns where the next begins.

        They part when a process ends between Redis and the commit, or when Redis loses what it held.
        """
        async with running.transaction() as tx:
            page = await agents.page(tx, after, SLICE)
        leased = await self._standings.leases.look([row.key for row in page])
        living = {key for key, one in leased.items() if one.anybody_lives}
        lapsing = {key for key, one in leased.items() if one.ended_within(TO_SWEEP)}
        silent = [
            row.key for row in page if row.is_expected and row.key not in living and row.key not in lapsing
        ]
        if silent and self.contact.steady_since is not None:
            _count("absent", await self._declare_lost(running, silent))
        found = [row.key for row in page if not row.is_expected and row.key in living]
        if found:
            _count("present", await self._bring_back(running, found))
        await self._compare_sessions(running, leased)
        await self._compare_idleness(running, [row for row in page if _differs(row, leased[row.key])])
        return page[-1].key if len(page) == SLICE else FIRST

    def _listen(self, now: datetime, read_up_to: datetime | None) -> None:
        before, self.contact = self.contact, listen(self.contact, now, read_up_to)
        if before.steady_since != self.contact.steady_since:
            heard = "regained" if self.contact.steady_since else "lost"
            self._log.info("contact_" + heard, read_up_to=str(read_up_to))

    async def _compare_sessions(self, running: Running, leased: Mapping[AgentKey, Leased]) -> None:
        """Drop leases of sessions that were signed out: a Redis that fails over may bring them back."""
        named = {(key, name) for key, one in leased.items() for name in one.left}
        async with running.transaction() as tx:
            ended = await sessions.ended_among(tx, named)
        if ended:
            await self._bring_back(running, ended)
            _count("ended_session", len(ended))

    async def _compare_idleness(self, running: Running, rows: Collection[agents.AgentRow]) -> None:
        """Make the next heartbeat ask for the rows of agents whose input Redis takes otherwise."""
        if not rows:
            return
        async with running.transaction() as tx:
            locked = await agents.lock(tx, [row.key for row in rows], wait=False)
            leased = await self._standings.leases.look(locked)
            differing = [key for key, one in locked.items() if differs_in_idleness(one.idle, leased[key])]
            await self._standings.leases.write(LeaseChange(key, quiet="unknown") for key in differing)
        _count("idle", len(differing))

    async def _declare_lost(self, running: Running, keys: Collection[AgentKey]) -> int:
        """Claim who is absent, checked again under their locks; a heartbeat from now on finds no lease."""
        now = running.clock.now()
        async with running.transaction() as tx:
            locked = await agents.lock(tx, keys, wait=False)
            judged = {key: agent for key, agent in locked.items() if may_judge(agent, self.contact, now)}
            terms = await directory.terms_of(tx, {key.tenant_id for key in judged})
            waits = {key: agent.lease_seconds for key, agent in judged.items()}
            claimed = await self._standings.leases.claim(waits, self._unread(now))
            standings = {key: Standing(judged[key]) for key in claimed}
            changes = [
                changed(standings[key], lapse(standings[key], ended_ago, terms[key.tenant_id], now))
                for key, ended_ago in claimed.items()
            ]
            await self._save(running, tx, changes, now)
        running.wake()
        if claimed:
            self._log.info("agents_lost", count=len(claimed))
        return len(claimed)

    async def _bring_back(self, running: Running, keys: Collection[AgentKey]) -> int:
        now = running.clock.now()
        async with running.transaction() as tx:
            locked = await agents.lock(tx, keys, wait=False)
            facts = await self._standings.read(tx, locked, {})
            standings = [stand(one, self.contact, now) for one in facts.values()]
            changes = [changed(standing, find(standing, now)) for standing in standings]
            await self._save(running, tx, changes, now)
        running.wake()
        returned = sum(change.after.agent != change.before.agent for change in changes)
        if returned:
            self._log.warning("agents_found", count=returned)
        return returned

    async def _save(
        self, running: Running, tx: AsyncConnection, changes: Collection[Change], now: datetime
    ) -> None:
        await self._standings.save(tx, list(changes), now)
        await running.save(tx, outcome_of(changes))

    async def _forget_ended_sessions(self, running: Running) -> None:
        async with running.transaction() as tx:
            await sessions.forget_ended_sessions(tx, running.clock.now(), SLICE)

    def _unread(self, now: datetime) -> timedelta:
        """Return how far back signals may be unread: a lease that ended since may have been renewed."""
        return max(now - (self.contact.read_up_to or now), timedelta())


def _differs(row: agents.AgentRow, leased: Leased) -> bool:
    return differs_in_idleness(row.is_idle, leased)


def _count(what: str, agents_mended: int) -> None:
    PRESENCE_MENDED.labels(what).inc(agents_mended)
