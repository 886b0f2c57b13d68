"""Sessions on record: which are open, and which were signed out for good."""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.model import REMEMBERED, AgentKey
from services.presence.store.columns import columns

_A_DAY = timedelta(days=1)

SessionKey = tuple[AgentKey, str]


@dataclass(slots=True)
class Recorded:
    """One agent's sessions as PostgreSQL has them."""

    open: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)


async def sessions_of(
    tx: AsyncConnection, mentioned: Mapping[AgentKey, Collection[str]]
) -> dict[AgentKey, Recorded]:
    """Return the open sessions of these agents, and which of the mentioned ones have ended."""
    found = {key: Recorded() for key in mentioned}
    rows = await tx.execute(
        text(
            "select s.tenant_id, s.agent_id, s.session_id, s.ended_at is not null from sessions s join "
            "unnest(cast(:tenants as text[]), cast(:agents as text[])) as u(tenant_id, agent_id) "
            "using (tenant_id, agent_id) "
            "where s.ended_at is null or s.session_id = any(cast(:names as text[]))"
        ),
        {
            **columns(mentioned),
            "names": sorted({name for names in mentioned.values() for name in names}),
        },
    )
    for tenant, agent, name, ended in rows:
        recorded = found[AgentKey(tenant, agent)]
        (recorded.ended if ended else recorded.open).add(name)
    return found


async def ended_among(tx: AsyncConnection, sessions: AbstractSet[SessionKey]) -> set[AgentKey]:
    """Return the agents of those of the sessions that were signed out."""
    if not sessions:
        return set()
    rows = await tx.execute(
        text(
            "select distinct tenant_id, agent_id from sessions join unnest(cast(:tenants as text[]),"
            " cast(:agents as text[]), cast(:sessions as text[])) as u(tenant_id, agent_id, session_id) "
            "using (tenant_id, agent_id, session_id) where ended_at is not null"
        ),
        _session_columns(sessions),
    )
    return {AgentKey(tenant, agent) for tenant, agent in rows}


async def open_sessions(tx: AsyncConnection, sessions: AbstractSet[SessionKey]) -> None:
    """Record sessions that came in; those on record stay as they are."""
    if not sessions:
        return
    await tx.execute(
        text(
            "insert into sessions (tenant_id, agent_id, session_id) select * from"
            " unnest(cast(:tenants as text[]), cast(:agents as text[]), cast(:sessions as text[])) "
            "on conflict do nothing"
        ),
        _session_columns(sessions),
    )


async def end_sessions(tx: AsyncConnection, sessions: AbstractSet[SessionKey], now: datetime) -> None:
    """Record sessions as signed out, whether or not they were ever heard of."""
    if not sessions:
        return
    await tx.execute(
        text(
            "insert into sessions (tenant_id, agent_id, session_id, ended_at) select t, a, s, :now from"
            " unnest(cast(:tenants as text[]), cast(:agents as text[]), cast(:sessions as text[]))"
            " as u(t, a, s) "
            "on conflict (tenant_id, agent_id, session_id) do update set ended_at = excluded.ended_at "
            "where sessions.ended_at is null"
        ),
        _session_columns(sessions) | {"now": now},
    )


async def remember_ended(tx: AsyncConnection, sessions: AbstractSet[SessionKey], now: datetime) -> None:
    """Remember signed-out sessions that are still heard of from now on anew; to the day, to write rarely.

    A forgotten tab that goes on beating would else sign its agent in when its sign-out is forgotten.
    """
    if not sessions:
        return
    await tx.execute(
        text(
            "update sessions s set ended_at = :now from unnest(cast(:tenants as text[]),"
            " cast(:agents as text[]), cast(:sessions as text[])) as u(tenant_id, agent_id, session_id) "
            "where s.tenant_id = u.tenant_id and s.agent_id = u.agent_id and s.session_id = u.session_id"
            " and s.ended_at < :before"
        ),
        _session_columns(sessions) | {"now": now, "before": now - _A_DAY},
    )


async def forget_open_sessions(tx: AsyncConnection, keys: Collection[AgentKey]) -> None:
    """Delete what is open of agents who are gone; what was signed out stays on record."""
    if not keys:
        return
    await tx.execute(
        text(
            "delete from sessions s using unnest(cast(:tenants as text[]), cast(:agents as text[]))"
            " as u(tenant_id, agent_id) "
            "where s.tenant_id = u.tenant_id and s.agent_id = u.agent_id and s.ended_at is null"
        ),
        columns(keys),
    )


async def forget_ended_sessions(tx: AsyncConnection, now: datetime, limit: int) -> int:
    """Delete one slice of the sessions that ended longest ago; returns how many went."""
    deleted = await tx.execute(
        text(
            "delete from sessions where (tenant_id, agent_id, session_id) in ("
            "select tenant_id, agent_id, session_id from sessions where ended_at < :before"
            " order by ended_at limit :limit for update skip locked)"
        ),
        {"before": now - REMEMBERED, "limit": limit},
    )
    return deleted.rowcount


def _session_columns(sessions: Iterable[SessionKey]) -> dict[str, Any]:
    ordered = sorted(sessions)
    return {
        "tenants": [key.tenant_id for key, _ in ordered],
        "agents": [key.agent_id for key, _ in ordered],
        "sessions": [name for _, name in ordered],
    }
