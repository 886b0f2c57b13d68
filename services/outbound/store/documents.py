"""Copies of the directory's channel and template documents."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.model import ChannelFact, Line, SenderKey, TemplateFact
from shared.contracts.directory import ChannelDocument, DirectoryDocument, TemplateDocument
from shared.contracts.pair import canonical_address
from shared.contracts.provider_events import TemplateChanged

DocumentT = TypeVar("DocumentT", bound=DirectoryDocument)

_PUT_CHANNELS = text(
    "insert into channel_documents (tenant_id, id, revision, channel, business_address, provider, base_url,"
    " provider_account, secret_ref, retired) "
    "select * from unnest(cast(:tenants as text[]), cast(:ids as text[]), cast(:revisions as bigint[]),"
    " cast(:channels as text[]), cast(:businesses as text[]), cast(:providers as text[]),"
    " cast(:urls as text[]), cast(:accounts as text[]), cast(:secrets as text[]),"
    " cast(:retired as boolean[])) "
    "on conflict (tenant_id, id) do update set revision = excluded.revision, channel = excluded.channel,"
    " business_address = excluded.business_address, provider = excluded.provider,"
    " base_url = excluded.base_url, provider_account = excluded.provider_account,"
    " secret_ref = excluded.secret_ref, retired = excluded.retired "
    "where channel_documents.revision <= excluded.revision"
)
# The provider's word on a template holds until its document is revised.
_PUT_TEMPLATES = text(
    "insert into template_documents (tenant_id, id, revision, name, language, state, parameters, retired) "
    "select * from unnest(cast(:tenants as text[]), cast(:ids as text[]), cast(:revisions as bigint[]),"
    " cast(:names as text[]), cast(:languages as text[]), cast(:states as text[]),"
    " cast(:parameters as int[]), cast(:retired as boolean[])) "
    "on conflict (tenant_id, id) do update set revision = excluded.revision, name = excluded.name,"
    " language = excluded.language, state = excluded.state, parameters = excluded.parameters,"
    " retired = excluded.retired, provider_state = null "
    "where template_documents.revision < excluded.revision"
)
_MARK_TEMPLATES = text(
    "update template_documents t set provider_state = u.state "
    "from unnest(cast(:tenants as text[]), cast(:names as text[]), cast(:languages as text[]),"
    " cast(:states as text[])) as u(tenant_id, name, language, state) "
    "where t.tenant_id = u.tenant_id and t.name = u.name and t.language = u.language"
)
_CHANNELS = text(
    "select d.tenant_id, d.channel, d.business_address, d.provider, d.base_url, d.provider_account,"
    " d.secret_ref, d.id, d.retired "
    "from channel_documents d join unnest(cast(:tenants as text[]), cast(:channels as text[]),"
    " cast(:businesses as text[])) as u(tenant_id, channel, business_address) "
    "on d.tenant_id = u.tenant_id and d.channel = u.channel and d.business_address = u.business_address"
)
_TEMPLATES = text(
    "select t.tenant_id, t.name, t.language, t.state, t.parameters, t.provider_state "
    "from template_documents t join unnest(cast(:tenants as text[]), cast(:names as text[]))"
    " as u(tenant_id, name) on t.tenant_id = u.tenant_id and t.name = u.name "
    "where not t.retired order by t.tenant_id, t.name, t.language, t.id"
)


class Documents:
    """Statements on ``channel_documents`` and ``template_documents``. An older revision changes nothing."""

    async def put_channels(
        self, tx: AsyncConnection, documents: Sequence[tuple[str, ChannelDocument]]
    ) -> None:
        """Take in channel documents, each with its tenant; the highest revision of each counts."""
        rows = _newest(documents)
        if not rows:
            return
        await tx.execute(
            _PUT_CHANNELS,
            {
                "tenants": [tenant for tenant, _ in rows],
                "ids": [row.id for _, row in rows],
                "revisions": [row.revision for _, row in rows],
                "channels": [row.channel for _, row in rows],
                "businesses": [canonical_address(row.business_address) for _, row in rows],
                "providers": [row.provider for _, row in rows],
                "urls": [row.base_url for _, row in rows],
                "accounts": [row.provider_account for _, row in rows],
                "secrets": [row.secret_ref for _, row in rows],
                "retired": [row.retired for _, row in rows],
            },
        )

    async def put_templates(
        self, tx: AsyncConnection, documents: Sequence[tuple[str, TemplateDocument]]
    ) -> None:
        """Take in template documents, each with its tenant."""
        rows = _newest(documents)
        if not rows:
            return
        await tx.execute(
            _PUT_TEMPLATES,
            {
                "tenants": [tenant for tenant, _ in rows],
                "ids": [row.id for _, row in rows],
                "revisions": [row.revision for _, row in rows],
                "names": [row.name for _, row in rows],
                "languages": [row.language for _, row in rows],
                "states": [row.state for _, row in rows],
                "parameters": [row.parameters for _, row in rows],
                "retired": [row.retired for _, row in rows],
            },
        )

    async def mark_templates(
        self, tx: AsyncConnection, changes: Sequence[tuple[str, TemplateChanged]]
    ) -> None:
        """Take in a provider's word on templates, each with its tenant; the last of a batch counts."""
        last = {(tenant, change.name, change.language): change.state for tenant, change in changes}
        rows = sorted(last.items())
        if not rows:
            return
        await tx.execute(
            _MARK_TEMPLATES,
            {
                "tenants": [tenant for (tenant, _, _), _ in rows],
                "names": [name for (_, name, _), _ in rows],
                "languages": [language for (_, _, language), _ in rows],
                "states": [state for _, state in rows],
            },
        )

    async def channels(
        self, tx: AsyncConnection, senders: Iterable[SenderKey]
    ) -> dict[SenderKey, list[ChannelFact]]:
        """Read every document that names one of these business addresses, retired ones too."""
        wanted = sorted(set(senders))
        rows = await tx.execute(
            _CHANNELS,
            {
                "tenants": [key.tenant_id for key in wanted],
                "channels": [key.channel for key in wanted],
                "businesses": [key.business_address for key in wanted],
            },
        )
        found: dict[SenderKey, list[ChannelFact]] = {}
        for tenant, channel, business, provider, url, account, secret, id_, retired in rows:
            key = SenderKey(tenant, channel, business)
            line = Line(key, provider, url, account, secret)
            found.setdefault(key, []).append(ChannelFact(id_, line, retired))
        return found

    async def templates(
        self, tx: AsyncConnection, names: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], list[TemplateFact]]:
        """Read the templates of these (tenant, name), in every language."""
        wanted = sorted(set(names))
        found: dict[tuple[str, str], list[TemplateFact]] = {}
        if not wanted:
            return found
        rows = await tx.execute(
            _TEMPLATES, {"tenants": [t for t, _ in wanted], "names": [n for _, n in wanted]}
        )
        for tenant, name, *rest in rows:
            found.setdefault((tenant, name), []).append(TemplateFact(name, *rest))
        return found


def _newest(documents: Sequence[tuple[str, DocumentT]]) -> list[tuple[str, DocumentT]]:
    """Return the highest revision of each document, sorted by its key."""
    in_order = sorted(documents, key=lambda one: one[1].revision)
    newest = {(tenant, document.id): document for tenant, document in in_order}
    return [(tenant, document) for (tenant, _), document in sorted(newest.items(), key=lambda item: item[0])]
