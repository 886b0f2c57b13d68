"""What presence keeps of the directory: tenants' terms, and who is in it."""

from collections.abc import Collection, Iterable
from json import dumps

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.model import AgentKey, AgentRevised, TenantRevised, Terms
from services.presence.store.columns import columns


async def save_tenants(tx: AsyncConnection, documents: Iterable[TenantRevised]) -> None:
    """Keep of each tenant's document the newest revision."""
    rows = sorted(documents, key=lambda document: document.tenant_id)
    if not rows:
        return
    await tx.execute(
        text(
            "insert into tenants (tenant_id, revision, lease_seconds, grace_seconds, idle_seconds,"
            " away_reasons) "
            "select * from unnest(cast(:tenants as text[]), cast(:revisions as bigint[]),"
            " cast(:leases as int[]), cast(:graces as int[]), cast(:idles as int[]),"
            " cast(:reasons as jsonb[])) "
            "on conflict (tenant_id) do update set revision = excluded.revision,"
            " lease_seconds = excluded.lease_seconds, grace_seconds = excluded.grace_seconds,"
            " idle_seconds = excluded.idle_seconds, away_reasons = excluded.away_reasons "
            "where excluded.revision > tenants.revision"
        ),
        {
            "tenants": [row.tenant_id for row in rows],
            "revisions": [row.revision for row in rows],
            "leases": [row.terms.lease_seconds for row in rows],
            "graces": [row.terms.grace_seconds for row in rows],
            "idles": [row.terms.idle_seconds for row in rows],
            "reasons": [dumps(row.terms.away_reasons) for row in rows],
        },
    )


async def save_known_agents(tx: AsyncConnection, documents: Iterable[AgentRevised]) -> None:
    """Keep of each agent's document the newest revision.

    Their tenants become known with the default terms, whichever document of theirs comes first.
    """
    rows = sorted(documents, key=lambda document: document.key)
    if not rows:
        return
    await tx.execute(
        text(
            "insert into tenants (tenant_id) select unnest(cast(:tenants as text[])) on conflict do nothing"
        ),
        {"tenants": sorted({row.key.tenant_id for row in rows})},
    )
    await tx.execute(
        text(
            "insert into known_agents (tenant_id, agent_id, revision, retired) "
            "select * from unnest(cast(:tenants as text[]), cast(:agents as text[]),"
            " cast(:revisions as bigint[]), cast(:retired as boolean[])) "
            "on conflict (tenant_id, agent_id) do update"
            " set revision = excluded.revision, retired = excluded.retired "
            "where excluded.revision > known_agents.revision"
        ),
        {
            **columns(row.key for row in rows),
            "revisions": [row.revision for row in rows],
            "retired": [row.retired for row in rows],
        },
    )


async def tenants(tx: AsyncConnection) -> list[str]:
    """Return every tenant there is."""
    return list(await tx.scalars(text("select tenant_id from tenants order by tenant_id")))


async def terms_of(tx: AsyncConnection, tenant_ids: Collection[str]) -> dict[str, Terms]:
    """Return each tenant's terms; the defaults for one without a document."""
    if not tenant_ids:
        return {}
    rows = await tx.execute(
        text(
            "select tenant_id, lease_seconds, grace_seconds, idle_seconds, away_reasons from tenants"
            " where tenant_id = any(cast(:tenants as text[]))"
        ),
        {"tenants": sorted(tenant_ids)},
    )
    return dict.fromkeys(tenant_ids, Terms()) | {
        tenant: Terms(lease, grace, idle, tuple(reasons)) for tenant, lease, grace, idle, reasons in rows
    }


async def known(tx: AsyncConnection, keys: Iterable[AgentKey]) -> dict[AgentKey, bool]:
    """Return those of the agents who are in the directory, and whether they are retired."""
    wanted = columns(keys)
    if not wanted["tenants"]:
        return {}
    rows = await tx.execute(
        text(
            "select k.tenant_id, k.agent_id, k.retired from known_agents k join "
            "unnest(cast(:tenants as text[]), cast(:agents as text[])) as u(tenant_id, agent_id) "
            "using (tenant_id, agent_id)"
        ),
        wanted,
    )
    return {AgentKey(tenant, agent): retired for tenant, agent, retired in rows}
