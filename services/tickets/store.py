"""The only SQL of tickets: lock pairs, load what a batch is about, save what it changed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tickets.model import Document, DocumentKey, Facts, PairKey, Ticket, TicketKey, Wanted
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.contracts.pairs import PairRef

_TICKET = (
    "tenant_id, ticket_id, pair_key, channel, business_address, customer_address, customer_id, chat_id,"
    " chat_version, version, state, reason, opened_at, last_message_at, department_id, agent_id,"
    " next_open_at, answered_at, close_reason"
)


class TicketStore:
    """Tickets, the pairs they are locked by, and the directory documents they are judged by."""

    async def lock(self, tx: AsyncConnection, wanted: Wanted) -> list[PairKey]:
        """Lock the pairs of everything wanted, sorted, creating missing rows; returns those locked.

        A ticket never changes its pair, so finding it before the lock is safe.
        """
        pairs = await self.find(tx, wanted)
        if not pairs:
            return []
        keys = {"tenants": [pair.tenant_id for pair in pairs], "keys": [pair.key for pair in pairs]}
        await tx.execute(
            text(
                "insert into pairs (tenant_id, pair_key) "
                "select * from unnest(cast(:tenants as text[]), cast(:keys as text[])) "
                "on conflict do nothing"
            ),
            keys,
        )
        await tx.execute(
            text(
                "select from pairs where (tenant_id, pair_key) in"
                " (select * from unnest(cast(:tenants as text[]), cast(:keys as text[]))) "
                "order by tenant_id, pair_key for update"
            ),
            keys,
        )
        return pairs

    async def find(self, tx: AsyncConnection, wanted: Wanted) -> list[PairKey]:
        """Return the pairs of everything wanted, sorted."""
        held = await self._pairs_of_holders(tx, wanted.holders)
        return sorted(wanted.pairs | held | await self._pairs_of(tx, wanted.tickets))

    async def _pairs_of(self, tx: AsyncConnection, tickets: Collection[TicketKey]) -> set[PairKey]:
        if not tickets:
            return set()
        rows = await tx.execute(
            text(
                "select tenant_id, pair_key from tickets where (tenant_id, ticket_id) in"
                " (select * from unnest(cast(:tenants as text[]), cast(:ids as text[])))"
            ),
            _ids(tickets),
        )
        return {PairKey(*row) for row in rows}

    async def _pairs_of_holders(self, tx: AsyncConnection, holders: Collection[DocumentKey]) -> set[PairKey]:
        """Return the pairs of every ticket that these agents hold."""
        if not holders:
            return set()
        rows = await tx.execute(
            text(
                "select tenant_id, pair_key from tickets where state = 'assigned'"
                " and (tenant_id, agent_id) in"
                " (select * from unnest(cast(:tenants as text[]), cast(:ids as text[])))"
            ),
            {"tenants": [one.tenant_id for one in holders], "ids": [one.id for one in holders]},
        )
        return {PairKey(*row) for row in rows}

    async def load(self, tx: AsyncConnection, wanted: Wanted, locked: Sequence[PairKey]) -> Facts:
        """Read the wanted tickets and the open ones of the locked pairs, and the wanted documents.

        A ticket whose pair is not locked was opened since the lock was taken: it is not seen, as if
        the batch had come first.
        """
        return Facts(
            await self._tickets(tx, wanted.tickets, locked), await self._documents(tx, wanted.documents)
        )

    async def _tickets(
        self, tx: AsyncConnection, tickets: Collection[TicketKey], locked: Sequence[PairKey]
    ) -> dict[TicketKey, Ticket]:
        if not locked:
            return {}
        rows = await tx.execute(
            text(
                f"select {_TICKET} from tickets where (tenant_id, pair_key) in"
                " (select * from unnest(cast(:pair_tenants as text[]), cast(:pair_keys as text[])))"
                " and (state <> 'closed' or (tenant_id, ticket_id) in"
                " (select * from unnest(cast(:tenants as text[]), cast(:ids as text[]))))"
            ),
            {
                "pair_tenants": [pair.tenant_id for pair in locked],
                "pair_keys": [pair.key for pair in locked],
                **_ids(tickets),
            },
        )
        found = [_ticket(row) for row in rows]
        return {ticket.key: ticket for ticket in found}

    async def _documents(
        self, tx: AsyncConnection, keys: Collection[DocumentKey]
    ) -> dict[DocumentKey, Document]:
        if not keys:
            return {}
        ordered = sorted(keys)
        rows = await tx.execute(
            text(
                "select tenant_id, kind, id, body::text as body from directory where (tenant_id, kind, id) in"
                " (select * from unnest(cast(:tenants as text[]), cast(:kinds as text[]),"
                " cast(:ids as text[])))"
            ),
            _document_keys(ordered),
        )
        return {DocumentKey(row.tenant_id, row.kind, row.id): _document(row) for row in rows}

    async def save(
        self, tx: AsyncConnection, tickets: Collection[Ticket], documents: Mapping[DocumentKey, Document]
    ) -> None:
        """Write what changed. A document never goes back to an older revision."""
        if tickets:
            await self._save_tickets(tx, tickets)
        if documents:
            await self._save_documents(tx, documents)

    async def _save_tickets(self, tx: AsyncConnection, tickets: Collection[Ticket]) -> None:
        # Closed ones first: within one statement a pair's open ticket must be gone before its next.
        rows = sorted(tickets, key=lambda ticket: (ticket.is_open, ticket.key))
        await tx.execute(
            text(
                f"insert into tickets ({_TICKET}) select {_TICKET} from unnest("
                " cast(:tenant_id as text[]), cast(:ticket_id as text[]), cast(:pair_key as text[]),"
                " cast(:channel as text[]), cast(:business_address as text[]),"
                " cast(:customer_address as text[]), cast(:customer_id as text[]), cast(:chat_id as text[]),"
                " cast(:chat_version as bigint[]), cast(:version as bigint[]), cast(:state as text[]),"
                " cast(:reason as text[]), cast(:opened_at as timestamptz[]),"
                " cast(:last_message_at as timestamptz[]), cast(:department_id as text[]),"
                " cast(:agent_id as text[]), cast(:next_open_at as timestamptz[]),"
                " cast(:answered_at as timestamptz[]), cast(:close_reason as text[]))"
                f" with ordinality as u({_TICKET}, n) order by n "
                "on conflict (tenant_id, ticket_id) do update set channel = excluded.channel,"
                " business_address = excluded.business_address, customer_address = excluded.customer_address,"
                " chat_id = excluded.chat_id, chat_version = excluded.chat_version,"
                " version = excluded.version, state = excluded.state, reason = excluded.reason,"
                " last_message_at = excluded.last_message_at, department_id = excluded.department_id,"
                " agent_id = excluded.agent_id, next_open_at = excluded.next_open_at,"
                " answered_at = excluded.answered_at, close_reason = excluded.close_reason"
            ),
            {
                "tenant_id": [row.key.tenant_id for row in rows],
                "ticket_id": [row.key.ticket_id for row in rows],
                "pair_key": [row.pair_key for row in rows],
                "channel": [row.pair.channel for row in rows],
                "business_address": [row.pair.business_address for row in rows],
                "customer_address": [row.pair.customer_address for row in rows],
                "customer_id": [row.customer_id for row in rows],
                "chat_id": [row.chat_id for row in rows],
                "chat_version": [row.chat_version for row in rows],
                "version": [row.version for row in rows],
                "state": [row.state for row in rows],
                "reason": [row.reason for row in rows],
                "opened_at": [row.opened_at for row in rows],
                "last_message_at": [row.last_message_at for row in rows],
                "department_id": [row.department_id for row in rows],
                "agent_id": [row.agent_id for row in rows],
                "next_open_at": [row.next_open_at for row in rows],
                "answered_at": [row.answered_at for row in rows],
                "close_reason": [row.close_reason for row in rows],
            },
        )

    async def _save_documents(self, tx: AsyncConnection, documents: Mapping[DocumentKey, Document]) -> None:
        ordered = sorted(documents)
        await tx.execute(
            text(
                "insert into directory (tenant_id, kind, id, revision, body) "
                "select tenant, kind, id, revision, body::jsonb from unnest(cast(:tenants as text[]),"
                " cast(:kinds as text[]), cast(:ids as text[]), cast(:revisions as bigint[]),"
                " cast(:bodies as text[])) as u(tenant, kind, id, revision, body) "
                "order by tenant, kind, id "
                "on conflict (tenant_id, kind, id) do update"
                " set revision = excluded.revision, body = excluded.body"
                " where directory.revision < excluded.revision"
            ),
            {
                **_document_keys(ordered),
                "revisions": [documents[key].revision for key in ordered],
                "bodies": [documents[key].model_dump_json() for key in ordered],
            },
        )


class Glance(TicketStore):
    """A store that only looks: what would be decided now, with nothing locked or saved."""

    async def lock(self, tx: AsyncConnection, wanted: Wanted) -> list[PairKey]:
        """Return the pairs of everything wanted, unlocked."""
        return await self.find(tx, wanted)

    async def save(
        self, tx: AsyncConnection, tickets: Collection[Ticket], documents: Mapping[DocumentKey, Document]
    ) -> None:
        """Keep nothing."""


def _ids(tickets: Collection[TicketKey]) -> dict[str, list[str]]:
    ordered = sorted(tickets)
    return {"tenants": [one.tenant_id for one in ordered], "ids": [one.ticket_id for one in ordered]}


def _document_keys(keys: Sequence[DocumentKey]) -> dict[str, list[str]]:
    return {
        "tenants": [key.tenant_id for key in keys],
        "kinds": [key.kind for key in keys],
        "ids": [key.id for key in keys],
    }


def _document(row: Row[Any]) -> Document:
    model = AgentDocument if row.kind == "agent" else DepartmentDocument
    return model.model_validate_json(row.body)


def _ticket(row: Row[Any]) -> Ticket:
    return Ticket(
        key=TicketKey(row.tenant_id, row.ticket_id),
        pair_key=row.pair_key,
        pair=PairRef(
            channel=row.channel,
            business_address=row.business_address,
            customer_address=row.customer_address,
        ),
        customer_id=row.customer_id,
        chat_id=row.chat_id,
        chat_version=row.chat_version,
        version=row.version,
        state=row.state,
        reason=row.reason,
        opened_at=row.opened_at,
        last_message_at=row.last_message_at,
        department_id=row.department_id,
        agent_id=row.agent_id,
        next_open_at=row.next_open_at,
        answered_at=row.answered_at,
        close_reason=row.close_reason,
    )
