"""The only SQL of the desk: tenants' documents with their revisions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.model import KINDS, DocumentKey, Stored, Taken
from shared.contracts.directory import ChannelDocument, DirectoryDocument
from shared.contracts.pair import canonical_address


class DocumentStore:
    """The documents people edit. Whoever writes any of a tenant's holds that tenant's row."""

    async def lock(self, tx: AsyncConnection, tenants: Iterable[str]) -> None:
        """Lock tenants, sorted, creating missing rows first."""
        wanted = {"tenants": sorted(set(tenants))}
        await tx.execute(
            text(
                "insert into tenants (tenant_id) select unnest(cast(:tenants as text[])) "
                "on conflict do nothing"
            ),
            wanted,
        )
        await tx.execute(
            text(
                "select from tenants where tenant_id = any(cast(:tenants as text[])) "
                "order by tenant_id for update"
            ),
            wanted,
        )

    async def of_tenant(self, tx: AsyncConnection, tenant_id: str) -> dict[DocumentKey, Stored]:
        """Return every document of a tenant, removed ones too."""
        rows = await tx.execute(
            text(f"select {_STORED} from documents where tenant_id = :tenant"), {"tenant": tenant_id}
        )
        return _by_key(rows)

    async def named(self, tx: AsyncConnection, keys: Collection[DocumentKey]) -> dict[DocumentKey, Stored]:
        """Return those of the documents that exist or did."""
        rows = await tx.execute(
            text(
                f"select {_STORED} from documents where (tenant_id, kind, id) in (select * from"
                " unnest(cast(:tenants as text[]), cast(:kinds as text[]), cast(:ids as text[])))"
            ),
            _columns(sorted(keys)),
        )
        return _by_key(rows)

    async def taken(self, tx: AsyncConnection, tenant_id: str) -> frozenset[Taken]:
        """Return every business address that another tenant holds."""
        rows = await tx.execute(
            text(
                "select body::text from documents"
                " where kind = 'channel' and tenant_id <> :tenant and removed_at is null"
            ),
            {"tenant": tenant_id},
        )
        channels = [ChannelDocument.model_validate_json(body) for (body,) in rows]
        return frozenset(Taken(one.channel, canonical_address(one.business_address)) for one in channels)

    async def write(
        self, tx: AsyncConnection, documents: Mapping[DocumentKey, DirectoryDocument], now: datetime
    ) -> None:
        """Put documents in place of what stood there. The caller has judged their revisions."""
        if not documents:
            return
        keys = sorted(documents)
        await tx.execute(
            text(
                "insert into documents (tenant_id, kind, id, revision, body, retired_at) "
                "select tenant, kind, id, revision, body::jsonb,"
                " case when retired then cast(:now as timestamptz) end from unnest(cast(:tenants as text[]),"
                " cast(:kinds as text[]), cast(:ids as text[]), cast(:revisions as bigint[]),"
                " cast(:bodies as text[]), cast(:retired as boolean[]))"
                " as u(tenant, kind, id, revision, body, retired) "
                "order by tenant, kind, id "
                "on conflict (tenant_id, kind, id) do update"
                " set revision = excluded.revision, body = excluded.body, removed_at = null,"
                " retired_at = case when excluded.retired_at is not null and documents.removed_at is null"
                " then coalesce(documents.retired_at, excluded.retired_at) else excluded.retired_at end"
            ),
            {
                **_columns(keys),
                "revisions": [documents[key].revision for key in keys],
                "bodies": [documents[key].model_dump_json(by_alias=True) for key in keys],
                "retired": [documents[key].retired for key in keys],
                "now": now,
            },
        )

    async def remove(self, tx: AsyncConnection, key: DocumentKey, now: datetime) -> None:
        """Remember that a retired document has left its topic; its last revision stays known."""
        await tx.execute(
            text(
                "update documents set removed_at = :now"
                " where tenant_id = :tenant_id and kind = :kind and id = :id"
            ),
            {"tenant_id": key.tenant_id, "kind": key.kind, "id": key.id, "now": now},
        )

    async def echoed(self, tx: AsyncConnection, revisions: Mapping[DocumentKey, int]) -> None:
        """Remember the newest revision read back of each document."""
        keys = sorted(revisions)
        await tx.execute(
            text(
                "update documents d set echoed_revision = greatest(d.echoed_revision, u.revision) "
                "from unnest(cast(:tenants as text[]), cast(:kinds as text[]), cast(:ids as text[]),"
                " cast(:revisions as bigint[])) as u(tenant_id, kind, id, revision) "
                "where (d.tenant_id, d.kind, d.id) = (u.tenant_id, u.kind, u.id)"
            ),
            {**_columns(keys), "revisions": [revisions[key] for key in keys]},
        )


_STORED = "tenant_id, kind, id, body::text, echoed_revision, retired_at, removed_at is not null as removed"


def _by_key(rows: Iterable[Row[Any]]) -> dict[DocumentKey, Stored]:
    return {
        DocumentKey(row.tenant_id, row.kind, row.id): Stored(
            KINDS[row.kind].model_validate_json(row.body), row.echoed_revision, row.retired_at, row.removed
        )
        for row in rows
    }


def _columns(keys: Sequence[DocumentKey]) -> dict[str, list[str]]:
    return {
        "tenants": [key.tenant_id for key in keys],
        "kinds": [key.kind for key in keys],
        "ids": [key.id for key in keys],
    }
