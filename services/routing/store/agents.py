"""Agents and the rows that departments are locked by."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import Agent, Key, Needs

Strength = Literal["update", "no key update", "key share"]

_KEYS = "(select * from unnest(cast(:tenants as text[]), cast(:names as text[])))"
_COLUMNS = (
    "tenant_id, agent_id, capacity, array_to_string(departments, chr(31)) as departments,"
    " array_to_string(roles, chr(31)) as roles, array_to_string(skills, chr(31)) as skills,"
    " state, draining, presence_version, revision, load, misses, last_assigned_at"
)


class Agents:
    """Statements on agents and departments."""

    async def create(self, tx: AsyncConnection, agents: Iterable[Key]) -> None:
        """Make sure these agents have rows, so that they can be locked."""
        wanted = _split(agents)
        if wanted["names"]:
            await tx.execute(
                text(
                    "insert into agents (tenant_id, agent_id) select * from"
                    " unnest(cast(:tenants as text[]), cast(:names as text[])) on conflict do nothing"
                ),
                wanted,
            )

    async def lock_departments(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, str]:
        """Create missing department rows, then lock all of them in order; return who had the last turns."""
        wanted = _split(departments)
        if not wanted["names"]:
            return {}
        await tx.execute(
            text(
                "insert into departments (tenant_id, department_id) select * from"
                " unnest(cast(:tenants as text[]), cast(:names as text[])) on conflict do nothing"
            ),
            wanted,
        )
        rows = await tx.execute(
            text(
                f"select tenant_id, department_id, turn from departments"
                f" where (tenant_id, department_id) in {_KEYS} "
                "order by tenant_id, department_id for update"
            ),
            wanted,
        )
        return {(tenant_id, name): turn for tenant_id, name, turn in rows if turn is not None}

    async def save_turns(self, tx: AsyncConnection, turns: Mapping[Key, str]) -> None:
        """Keep whom ``round_robin`` chose last in these departments, whose rows are locked."""
        if not turns:
            return
        await tx.execute(
            text(
                "update departments d set turn = u.turn from unnest(cast(:tenants as text[]),"
                " cast(:names as text[]), cast(:turns as text[])) as u(tenant_id, name, turn)"
                " where d.tenant_id = u.tenant_id and d.department_id = u.name"
            ),
            {**_split(turns), "turns": [turns[key] for key in sorted(turns)]},
        )

    async def departments_of(self, tx: AsyncConnection, needs: Needs) -> set[Key]:
        """Return the departments of the agents whose state or membership may change."""
        if not needs.states_change:
            return set()
        rows = await tx.execute(
            text(
                "select distinct tenant_id, unnest(departments) from agents "
                f"where (tenant_id, agent_id) in {_KEYS}"
            ),
            _split(needs.introduced),
        )
        return {(tenant_id, department_id) for tenant_id, department_id in rows}

    async def hold(self, tx: AsyncConnection, agents: Iterable[Key], strength: Strength) -> dict[Key, Agent]:
        """Lock agents' rows in order, and return them as they are then.

        A change of state takes ``update``, a change of load ``no key update``, an append to a held chat
        ``key share``: appends pass by loads, and only a change of state waits for them.
        """
        wanted = _split(agents)
        if not wanted["names"]:
            return {}
        rows = await tx.execute(
            text(
                f"select {_COLUMNS} from agents where (tenant_id, agent_id) in {_KEYS}"
                f" order by tenant_id, agent_id for {strength}"
            ),
            wanted,
        )
        return _agents(rows)

    async def read(self, tx: AsyncConnection, agents: Iterable[Key]) -> dict[Key, Agent]:
        """Return these agents."""
        wanted = _split(agents)
        if not wanted["names"]:
            return {}
        rows = await tx.execute(
            text(f"select {_COLUMNS} from agents where (tenant_id, agent_id) in {_KEYS}"), wanted
        )
        return _agents(rows)

    async def save(self, tx: AsyncConnection, agents: Sequence[Agent]) -> None:
        """Update agents whose rows are locked."""
        if not agents:
            return
        await tx.execute(
            text(
                "update agents a set capacity = u.capacity, "
                " departments = string_to_array(u.departments, chr(31)),"
                " roles = string_to_array(u.roles, chr(31)), state = u.state, draining = u.draining,"
                " presence_version = u.presence_version, revision = u.revision, load = u.load,"
                " misses = u.misses, last_assigned_at = u.last_assigned_at,"
                " skills = string_to_array(u.skills, chr(31)) "
                "from unnest(cast(:tenants as text[]), cast(:names as text[]), cast(:capacity as int[]),"
                " cast(:departments as text[]), cast(:roles as text[]), cast(:state as text[]),"
                " cast(:draining as boolean[]), cast(:presence_version as bigint[]),"
                " cast(:revision as bigint[]), cast(:load as int[]),"
                " cast(:misses as int[]),"
                " cast(:last_assigned_at as timestamptz[]), cast(:skills as text[]))"
                " as u(tenant_id, agent_id, capacity, departments, roles, state, draining, presence_version,"
                " revision, load, misses, last_assigned_at, skills) "
                "where a.tenant_id = u.tenant_id and a.agent_id = u.agent_id"
            ),
            {
                "tenants": [a.tenant_id for a in agents],
                "names": [a.agent_id for a in agents],
                "capacity": [a.capacity for a in agents],
                "departments": ["\x1f".join(sorted(a.departments)) for a in agents],
                "roles": ["\x1f".join(sorted(a.roles)) for a in agents],
                "state": [a.state for a in agents],
                "draining": [a.draining for a in agents],
                "presence_version": [a.presence_version for a in agents],
                "revision": [a.revision for a in agents],
                "load": [a.load for a in agents],
                "misses": [a.misses for a in agents],
                "last_assigned_at": [a.last_assigned_at for a in agents],
                "skills": ["\x1f".join(sorted(a.skills)) for a in agents],
            },
        )


def _split(keys: Iterable[Key]) -> dict[str, list[str]]:
    ordered = sorted(keys)
    return {"tenants": [tenant for tenant, _ in ordered], "names": [name for _, name in ordered]}


def _agents(rows: Iterable[Any]) -> dict[Key, Agent]:
    return {
        (tenant, name): Agent(
            tenant, name, capacity, _words(departments), _words(roles), _words(skills), *rest
        )
        for tenant, name, capacity, departments, roles, skills, *rest in rows
    }


@lru_cache(maxsize=65_536)
def _words(joined: str) -> frozenset[str]:
    """Read a list once: colleagues share their departments and roles, and hundreds are read for a batch."""
    return frozenset(joined.split("\x1f")) if joined else frozenset()
