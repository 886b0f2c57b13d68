"""Receipts that came before their message's provider id was stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.event import Cause
from shared.contracts.provider_events import Receipt

_KEEP = text(
    "insert into early_receipts (tenant_id, provider_message_id, cause_id, correlation_id, causation_id,"
    " receipt, arrived_at) "
    "select tenant_id, message, cause, correlation, causation, cast(receipt as jsonb), :now "
    "from unnest(cast(:tenants as text[]), cast(:messages as text[]), cast(:causes as text[]),"
    " cast(:correlations as text[]), cast(:causations as text[]), cast(:receipts as text[]))"
    " as u(tenant_id, message, cause, correlation, causation, receipt) on conflict do nothing"
)
_TAKE = text(
    "delete from early_receipts r using unnest(cast(:tenants as text[]), cast(:messages as text[]))"
    " as u(tenant_id, message) where r.tenant_id = u.tenant_id and r.provider_message_id = u.message "
    "returning r.tenant_id, r.cause_id, r.correlation_id, r.causation_id, cast(r.receipt as text)"
)


@dataclass(frozen=True, slots=True)
class EarlyReceipt:
    """A receipt, with what to name as the cause of what follows from it."""

    cause: Cause
    receipt: Receipt


class EarlyReceipts:
    """Statements on ``early_receipts``."""

    async def keep(self, tx: AsyncConnection, receipts: Sequence[EarlyReceipt], now: datetime) -> None:
        """Put receipts aside until their message is known; each has a ``provider_message_id``."""
        rows = sorted(receipts, key=lambda one: (one.cause.tenant_id, one.cause.id))
        if not rows:
            return
        await tx.execute(
            _KEEP,
            {
                "tenants": [row.cause.tenant_id for row in rows],
                "messages": [row.receipt.provider_message_id for row in rows],
                "causes": [row.cause.id for row in rows],
                "correlations": [row.cause.correlation_id for row in rows],
                "causations": [row.cause.causation_id for row in rows],
                "receipts": [row.receipt.model_dump_json(exclude_none=True) for row in rows],
                "now": now,
            },
        )

    async def take(self, tx: AsyncConnection, messages: Iterable[tuple[str, str]]) -> list[EarlyReceipt]:
        """Remove and return what was put aside for these (tenant, provider message id)."""
        wanted = sorted(set(messages))
        if not wanted:
            return []
        rows = await tx.execute(
            _TAKE, {"tenants": [t for t, _ in wanted], "messages": [m for _, m in wanted]}
        )
        found = [EarlyReceipt(Cause(*cause), Receipt.model_validate_json(raw)) for *cause, raw in rows]
        return sorted(found, key=lambda one: (one.receipt.at, one.cause.id))
