"""Agents with their sessions: read together under the agents' locks, and saved together."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.model import Agent, AgentKey, Change, Ended, Facts
from services.presence.store import agents, sessions
from services.presence.store.leases import LeaseChange, Leases


class Standings:
    """Reads and saves what presence holds, in PostgreSQL and in Redis."""

    def __init__(self, leases: Leases) -> None:
        self.leases = leases

    async def read(
        self,
        tx: AsyncConnection,
        locked: Mapping[AgentKey, Agent],
        mentioned: Mapping[AgentKey, Collection[str]],
    ) -> dict[AgentKey, Facts]:
        """Return the facts of each locked agent.

        ``mentioned`` names further sessions of which it matters whether they have ended.
        """
        if not locked:
            return {}
        leased = await self.leases.look(locked)
        names = {key: {*mentioned.get(key, ()), *leased[key].left} for key in locked}
        recorded = await sessions.sessions_of(tx, names)
        return {
            key: Facts(agent, leased[key], recorded[key].open, recorded[key].ended)
            for key, agent in locked.items()
        }

    async def save(self, tx: AsyncConnection, changes: Sequence[Change], now: datetime) -> None:
        """Save what was decided: rows, sessions and leases.

        Leases are written before the commit, under the agents' locks. If the commit fails they stay,
        and the batch when it is tried again, or else the reconciler, finds them.
        """
        await agents.save_agents(tx, [c.after.agent for c in changes if c.after.agent != c.before.agent])
        came = {(_key(change), name) for change in changes for name in change.after.renewals}
        await sessions.open_sessions(tx, came)
        ended = {(_key(change), name) for change in changes for name in _ended(change)}
        await sessions.end_sessions(tx, ended, now)
        heard_again = {
            (_key(change), name)
            for change in changes
            for name, life in change.before.sessions.items()
            if life == Ended()
        }
        await sessions.remember_ended(tx, heard_again, now)
        await sessions.forget_open_sessions(tx, [_key(change) for change in changes if _left(change)])
        await self.leases.write(filter(None, (_lease_change(change, now) for change in changes)))


def _key(change: Change) -> AgentKey:
    return change.after.agent.key


def _left(change: Change) -> bool:
    return change.after.agent.state == "offline" != change.before.agent.state


def _ended(change: Change) -> list[str]:
    was = change.before.sessions
    return [
        name for name, life in change.after.sessions.items() if life == Ended() and was.get(name) != Ended()
    ]


def _lease_change(change: Change, now: datetime) -> LeaseChange | None:
    after = change.after
    if _left(change) or after.agent.is_lost:  # their next heartbeat must ask for the row
        return LeaseChange(_key(change), forget=True)
    dropped = [name for name, life in after.sessions.items() if life == Ended()]
    quiet = _quiet(change, now)
    if not dropped and not after.renewals and quiet is None:
        return None
    return LeaseChange(_key(change), grant=after.renewals, drop=dropped, quiet=quiet)


def _quiet(change: Change, now: datetime) -> timedelta | Literal["resting"] | None:
    """Return what is to be known of the agent's input, if anything new is."""
    before, after = change.before, change.after
    if after.last_input is None:
        return None
    if after.agent.idle:
        return "resting"
    if after.last_input == before.last_input and not before.agent.idle:
        return None
    return max(now - after.last_input, timedelta())
