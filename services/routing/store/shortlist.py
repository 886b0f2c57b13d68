"""Whom to lock and read of departments: as many of the best as a batch may choose, and a count of the others.

The order is that of the department's strategy (`decisions.choice`), asked of the rows as they are before
they are locked. What is chosen is judged by the rows as they are after; whether the best of those who were
not read could have come first is judged there too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import Agent, Key, Others, Strategy

_VERDICT = (
    "case when a.state <> 'online' then case a.state when 'away' then 'away' else 'offline' end"
    " when a.draining then 'draining' when a.load >= a.capacity then 'full'"
    " when w.skills is null or string_to_array(w.skills, chr(31)) <@ a.skills then 'available'"
    " else 'lacks_skill' end"
)
_SHORTLIST = text(
    f"""
    with wanted as (
        select * from unnest(cast(:tenants as text[]), cast(:names as text[]), cast(:strategies as text[]),
            cast(:turns as text[]), cast(:sizes as int[]), cast(:skills as text[]))
            as w(tenant_id, department_id, strategy, turn, size, skills)
    ), named as (
        select * from unnest(cast(:named_tenants as text[]), cast(:named as text[])) as n(tenant_id, agent_id)
    ), ranked as (
        select a.tenant_id, w.department_id, w.skills, a.agent_id, a.load, a.last_assigned_at, w.size,
            v.verdict,
            row_number() over (partition by w.tenant_id, w.department_id, w.skills order by
                v.verdict <> 'available',
                case w.strategy when 'least_loaded' then a.load end,
                case when w.strategy <> 'round_robin' then coalesce(a.last_assigned_at, '-infinity') end,
                w.strategy = 'round_robin' and a.agent_id collate "C" <= w.turn,
                a.agent_id collate "C") as place
        from wanted w
        join members m on m.tenant_id = w.tenant_id and m.department_id = w.department_id
        join agents a on a.tenant_id = m.tenant_id and a.agent_id = m.agent_id,
        lateral (select {_VERDICT}) as v(verdict)
        where 'agent' = any(a.roles) and (a.tenant_id, a.agent_id) not in (select * from named)
    ), picked as (select distinct tenant_id, agent_id from ranked where place <= size)
    select tenant_id, null as department_id, null as skills, agent_id, null as verdict, null as number,
        null as load, null as last_assigned_at, null as latest
    from picked
    union all
    select tenant_id, department_id, skills, (array_agg(agent_id order by place))[1], verdict, count(*),
        (array_agg(load order by place))[1], (array_agg(last_assigned_at order by place))[1],
        max(last_assigned_at)
    from ranked where place > size and (tenant_id, agent_id) not in (select * from picked)
    group by tenant_id, department_id, skills, verdict
    """
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """So many candidates of a department, as its strategy orders them; ``turn`` is whom it chose last.

    ``skilled`` is how many more of those who have some skills, by these (parted by `PARTED`).
    """

    size: int
    strategy: Strategy = "least_loaded"
    turn: str = ""
    skilled: Mapping[str, int] = field(default_factory=dict)


async def shortlist(
    tx: AsyncConnection, wanted: Mapping[Key, Wanted], named: Iterable[Key]
) -> tuple[set[Key], dict[Key, Others]]:
    """Return whom to read beside those who are ``named``, and per department what is known of the others.

    The departments' rows are locked, so that nobody comes, goes or changes state meanwhile; loads may.
    """
    if not wanted:
        return set(), {}
    people = sorted(named)
    asked: list[tuple[Key, Wanted, int, str | None]] = []
    for key, one in sorted(wanted.items()):
        asked.append((key, one, one.size, None))
        asked += ((key, one, size, skills) for skills, size in sorted(one.skilled.items()))
    rows = await tx.execute(
        _SHORTLIST,
        {
            "tenants": [key[0] for key, *_ in asked],
            "names": [key[1] for key, *_ in asked],
            "strategies": [one.strategy for _, one, *_ in asked],
            "turns": [one.turn for _, one, *_ in asked],
            "sizes": [size for _, _, size, _ in asked],
            "skills": [skills for *_, skills in asked],
            "named_tenants": [tenant for tenant, _ in people],
            "named": [name for _, name in people],
        },
    )
    picked: set[Key] = set()
    others: dict[Key, Others] = {}
    skilled: dict[Key, dict[str, Others]] = {}
    for tenant_id, department_id, skills, agent_id, *found in rows:
        key = (tenant_id, department_id)
        if department_id is None:
            picked.add((tenant_id, agent_id))
        elif skills is None:
            others[key] = _with(others.get(key, Others()), tenant_id, agent_id, *found)
        else:
            of = skilled.setdefault(key, {})
            of[skills] = _with(of.get(skills, Others()), tenant_id, agent_id, *found)
    return picked, {key: replace(one, skilled=skilled.get(key, {})) for key, one in others.items()}


def _with(others: Others, tenant_id: str, agent_id: str, *found: Any) -> Others:
    verdict, number, load, last_assigned_at, latest = found
    best = Agent(tenant_id, agent_id, load=load, last_assigned_at=last_assigned_at)
    times = [at for at in (others.last_assigned_at, latest) if at is not None]
    return Others(
        {**others.counts, verdict: number},
        best if verdict == "available" else others.best,
        max(times, default=None),
    )
