"""The directory documents routing goes by, cached by a version that never returns."""

from collections.abc import Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import Documents
from services.routing.store.documents import documents
from shared.contracts import catalogue
from shared.contracts.directory import (
    CalendarDocument,
    DepartmentDocument,
    DirectoryDocument,
    RoutingRulesDocument,
    TenantDocument,
)
from shared.contracts.event import Event, Model

_KEPT = (TenantDocument, DepartmentDocument, CalendarDocument, RoutingRulesDocument)
_MODELS = {catalogue.type_of(model): model for model in _KEPT}


class Directory:
    """Statements on documents. Agents are not here: their rows carry loads and are locked."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[int, Documents]] = {}

    async def save(self, tx: AsyncConnection, events: Sequence[Event[Model]]) -> None:
        """Keep each document's newest revision among the stored and these."""
        newest: dict[tuple[str, str, str], DirectoryDocument] = {}
        for event in events:
            if isinstance(event.data, _KEPT):
                key = (event.tenant_id, event.type, event.data.id)
                if key not in newest or newest[key].revision < event.data.revision:
                    newest[key] = event.data
        if not newest:
            return
        keys = sorted(newest)
        await tx.execute(
            text(
                "insert into documents (tenant_id, kind, id, revision, body) "
                "select t, k, i, r, cast(b as jsonb) from unnest(cast(:tenants as text[]),"
                " cast(:kinds as text[]), cast(:ids as text[]), cast(:revisions as bigint[]),"
                " cast(:bodies as text[])) as u(t, k, i, r, b) "
                "on conflict (tenant_id, kind, id) do update"
                " set revision = excluded.revision, body = excluded.body"
                " where documents.revision < excluded.revision"
            ),
            {
                "tenants": [tenant for tenant, _, _ in keys],
                "kinds": [kind for _, kind, _ in keys],
                "ids": [name for _, _, name in keys],
                "revisions": [newest[key].revision for key in keys],
                "bodies": [newest[key].model_dump_json(by_alias=True) for key in keys],
            },
        )
        await tx.execute(
            text(
                "insert into directories (tenant_id, version) "
                "select t, nextval('directory_version') from unnest(cast(:tenants as text[])) as u(t) "
                "on conflict (tenant_id) do update set version = excluded.version"
            ),
            {"tenants": sorted({tenant for tenant, _, _ in keys})},
        )

    async def read(self, tx: AsyncConnection, tenants: Iterable[str]) -> dict[str, Documents]:
        """Return these tenants' directories; a tenant nobody described is absent."""
        rows = await tx.execute(
            text(
                "select tenant_id, version from directories where tenant_id = any(cast(:tenants as text[]))"
            ),
            {"tenants": sorted(tenants)},
        )
        versions = {row.tenant_id: row.version for row in rows}
        outdated = [t for t, v in versions.items() if t not in self._cache or self._cache[t][0] != v]
        if outdated:
            fresh = await self._load(tx, outdated)
            self._cache |= {tenant: (versions[tenant], fresh[tenant]) for tenant in outdated}
        return {tenant: self._cache[tenant][1] for tenant in versions}

    async def _load(self, tx: AsyncConnection, tenants: Sequence[str]) -> dict[str, Documents]:
        rows = await tx.execute(
            text(
                "select tenant_id, kind, cast(body as text) from documents "
                "where tenant_id = any(cast(:tenants as text[]))"
            ),
            {"tenants": sorted(tenants)},
        )
        bodies: dict[str, list[DirectoryDocument]] = {tenant: [] for tenant in tenants}
        for tenant_id, kind, body in rows:
            bodies[tenant_id].append(_MODELS[kind].model_validate_json(body))
        return {tenant: documents(found, tenant) for tenant, found in bodies.items()}
