"""The only SQL of the desk: tenants' documents with their revisions."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy import text
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
        """Return every document of a tenant."""
        rows = await tx.execute(
            text(
                "select tenant_id, kind, id, echoed_revision, body::text from documents "
                "where tenant_id = :tenant"
            ),
            {"tenant": tenant_id},
        )
        return {DocumentKey(*key): _stored(key[1], body, echoed) for *key, echoed, body in rows}

    async def named(self, tx: AsyncConnection, keys: Collection[DocumentKey]) -> dict[DocumentKey, Stored]:
        """Return those of the documents that exist."""
        rows = await tx.execute(
            text(
                "select tenant_id, kind, id, echoed_revision, body::text from documents "
                "where (tenant_id, kind, id) in (select * from"
                " unnest(cast(:tenants as text[]), cast(:kinds as text[]), cast(:ids as text[])))"
            ),
            _columns(sorted(keys)),
        )
        return {DocumentKey(*key): _stored(key[1], body, echoed) for *key, echoed, body in rows}

    async def taken(self, tx: AsyncConnection, tenant_id: str) -> frozenset[Taken]:
        """Return every business address that another tenant holds."""
        rows = await tx.execute(
            text("select body::text from documents where kind = 'channel' and tenant_id <> :tenant"),
            {"tenant": tenant_id},
        )
        channels = [ChannelDocument.model_validate_json(body) for (body,) in rows]
        return frozenset(Taken(one.channel, canonical_address(one.business_address)) for one in channels)

    async def write(self, tx: AsyncConnection, documents: Mapping[DocumentKey, DirectoryDocument]) -> None:
        """Put documents in place of what stood there. The caller has judged their revisions."""
        if not documents:
            return
        keys = sorted(documents)
        await tx.execute(
            text(
                "insert into documents (tenant_id, kind, id, revision, body) "
                "select tenant, kind, id, revision, body::jsonb from unnest(cast(:tenants as text[]),"
                " cast(:kinds as text[]), cast(:ids as text[]), cast(:revisions as bigint[]),"
                " cast(:bodies as text[])) as u(tenant, kind, id, revision, body) "
                "order by tenant, kind, id "
                "on conflict (tenant_id, kind, id) do update"
                " set revision = excluded.revision, body = excluded.body"
            ),
            {
                **_columns(keys),
                "revisions": [documents[key].revision for key in keys],
                "bodies": [documents[key].model_dump_json(by_alias=True) for key in keys],
            },
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


def _stored(kind: str, body: str, echoed_revision: int) -> Stored:
    return Stored(KINDS[kind].model_validate_json(body), echoed_revision)


def _columns(keys: Sequence[DocumentKey]) -> dict[str, list[str]]:
    return {
        "tenants": [key.tenant_id for key in keys],
        "kinds": [key.kind for key in keys],
        "ids": [key.id for key in keys],
    }
