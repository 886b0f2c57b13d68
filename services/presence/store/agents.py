"""Agents in PostgreSQL: lock, read, save."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.model import Agent, AgentKey, Declared
from services.presence.store.columns import columns
from shared.contracts.actors import Actor
from shared.contracts.event import Cause


@dataclass(frozen=True, slots=True)
class AgentRow:
    """What tells an agent apart when Redis and PostgreSQL are compared."""

    key: AgentKey
    is_expected: bool
    """Neither offline nor lost: some session should have a lease."""
    is_idle: bool


async def create(tx: AsyncConnection, keys: Iterable[AgentKey]) -> None:
    """Make sure that these agents have rows to lock."""
    wanted = columns(keys)
    if not wanted["tenants"]:
        return
    await tx.execute(
        text(
            "insert into agents (tenant_id, agent_id) "
            "select * from unnest(cast(:tenants as text[]), cast(:agents as text[])) on conflict do nothing"
        ),
        wanted,
    )


async def lock(tx: AsyncConnection, keys: Iterable[AgentKey], *, wait: bool = True) -> dict[AgentKey, Agent]:
    """Lock the agents' rows, sorted, then read them; without ``wait`` only those that are free.

    Reading comes in a statement of its own: the one that locks sees the time before it waited.
    """
    wanted = columns(keys)
    if not wanted["tenants"]:
        return {}
    locked = await tx.execute(
        text(
            "select a.tenant_id, a.agent_id from agents a join "
            "unnest(cast(:tenants as text[]), cast(:agents as text[])) as u(tenant_id, agent_id) "
            "using (tenant_id, agent_id) "
            "order by a.tenant_id, a.agent_id for update of a" + ("" if wait else " skip locked")
        ),
        wanted,
    )
    rows = await tx.execute(
        text(
            "select a.* from agents a join "
            "unnest(cast(:tenants as text[]), cast(:agents as text[])) as u(tenant_id, agent_id) "
            "using (tenant_id, agent_id)"
        ),
        columns(AgentKey(tenant, agent) for tenant, agent in locked),
    )
    return {agent.key: agent for agent in map(_agent, rows)}


async def page(tx: AsyncConnection, after: AgentKey, limit: int) -> list[AgentRow]:
    """List agents in order, unlocked, from the one after ``after``."""
    rows = await tx.execute(
        text(
            "select tenant_id, agent_id, state <> 'offline' and grace_until is null, idle from agents "
            "where (tenant_id, agent_id) > (:tenant, :agent) order by tenant_id, agent_id limit :limit"
        ),
        {"tenant": after.tenant_id, "agent": after.agent_id, "limit": limit},
    )
    return [AgentRow(AgentKey(tenant, agent), expected, idle) for tenant, agent, expected, idle in rows]


async def save_agents(tx: AsyncConnection, agents: Iterable[Agent]) -> None:
    """Write the rows of agents whose locks are held."""
    rows = [_row(agent) for agent in sorted(agents, key=lambda one: one.key)]
    if not rows:
        return
    assignments = ", ".join(f"{name} = u.{name}" for name in _TYPES if name not in _KEY)
    arrays = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in _TYPES.items())
    await tx.execute(
        text(
            f"update agents a set {assignments} from unnest({arrays}) as u({', '.join(_TYPES)}) "
            "where a.tenant_id = u.tenant_id and a.agent_id = u.agent_id"
        ),
        {name: [row[name] for row in rows] for name in _TYPES},
    )


_KEY = ("tenant_id", "agent_id")
_TYPES = {
    "tenant_id": "text",
    "agent_id": "text",
    "state": "text",
    "reason": "text",
    "declared_state": "text",
    "declared_reason": "text",
    "draining": "boolean",
    "idle": "boolean",
    "grace_until": "timestamptz",
    "lease_seconds": "int",
    "version": "bigint",
    "echoed_version": "bigint",
    "cause": "text",
    "by_role": "text",
    "by_id": "text",
    "since": "timestamptz",
    "changed_at": "timestamptz",
    "because_id": "text",
    "correlation_id": "text",
    "causation_id": "text",
}


def _row(agent: Agent) -> dict[str, Any]:
    declared, because = agent.declared, agent.because
    return {
        "tenant_id": agent.key.tenant_id,
        "agent_id": agent.key.agent_id,
        "state": agent.state,
        "reason": agent.reason,
        "declared_state": declared.state if declared else None,
        "declared_reason": declared.reason if declared else None,
        "draining": agent.draining,
        "idle": agent.idle,
        "grace_until": agent.grace_until,
        "lease_seconds": agent.lease_seconds,
        "version": agent.version,
        "echoed_version": agent.echoed_version,
        "cause": agent.cause,
        "by_role": agent.by.role if agent.by else None,
        "by_id": agent.by.id if agent.by else None,
        "since": agent.since,
        "changed_at": agent.changed_at,
        "because_id": because.id if because else None,
        "correlation_id": because.correlation_id if because else None,
        "causation_id": because.causation_id if because else None,
    }


def _agent(row: Any) -> Agent:
    return Agent(
        key=AgentKey(row.tenant_id, row.agent_id),
        state=row.state,
        reason=row.reason,
        declared=Declared(row.declared_state, row.declared_reason, row.draining)
        if row.declared_state
        else None,
        idle=row.idle,
        grace_until=row.grace_until,
        lease_seconds=row.lease_seconds,
        version=row.version,
        echoed_version=row.echoed_version,
        cause=row.cause,
        by=Actor(role=row.by_role, id=row.by_id) if row.by_role else None,
        since=row.since,
        changed_at=row.changed_at,
        because=Cause(row.tenant_id, row.because_id, row.correlation_id, row.causation_id)
        if row.because_id
        else None,
    )
