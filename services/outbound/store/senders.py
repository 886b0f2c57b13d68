"""The senders: their pace, and whether they are halted."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.model import Sender, SenderKey

_COLUMNS = "s.tenant_id, s.channel, s.business_address, s.next_slot_at, s.slowed_until, s.halted_reason"
_ADD = text(
    "insert into senders (tenant_id, channel, business_address) "
    "select * from unnest(cast(:tenants as text[]), cast(:channels as text[]), cast(:businesses as text[]))"
    " on conflict do nothing"
)
# Two replicas pace one sender by one row: whoever holds it grants, the other passes it over.
_LOCK_DUE = text(
    f"select {_COLUMNS} "
    "from senders s where exists ("
    "  select from pairs p where p.tenant_id = s.tenant_id and p.channel = s.channel"
    "  and p.business_address = s.business_address and p.next_turn_at <= :now"
    ") order by s.tenant_id, s.channel, s.business_address for update of s skip locked"
)
_LOCK = text(
    f"select {_COLUMNS} "
    "from senders s join unnest(cast(:tenants as text[]), cast(:channels as text[]),"
    " cast(:businesses as text[])) as u(tenant_id, channel, business_address) "
    "on s.tenant_id = u.tenant_id and s.channel = u.channel and s.business_address = u.business_address "
    "order by s.tenant_id, s.channel, s.business_address for update of s"
)
_READ = text(
    f"select {_COLUMNS} "
    "from senders s join unnest(cast(:tenants as text[]), cast(:channels as text[]),"
    " cast(:businesses as text[])) as u(tenant_id, channel, business_address) "
    "on s.tenant_id = u.tenant_id and s.channel = u.channel and s.business_address = u.business_address"
)
_SAVE = text(
    "update senders s set next_slot_at = u.next_slot_at, slowed_until = u.slowed_until,"
    " halted_reason = u.halted_reason "
    "from unnest(cast(:tenants as text[]), cast(:channels as text[]), cast(:businesses as text[]),"
    " cast(:slots as timestamptz[]), cast(:slowed as timestamptz[]), cast(:halted as text[]))"
    " as u(tenant_id, channel, business_address, next_slot_at, slowed_until, halted_reason) "
    "where s.tenant_id = u.tenant_id and s.channel = u.channel and s.business_address = u.business_address"
)


class Senders:
    """Statements on ``senders``."""

    async def add(self, tx: AsyncConnection, keys: Iterable[SenderKey]) -> None:
        """Make sure that these senders have a row."""
        if wanted := _names(keys):
            await tx.execute(_ADD, wanted)

    async def lock_due(self, tx: AsyncConnection, now: datetime) -> dict[SenderKey, Sender]:
        """Lock the senders of which a pair is due, except those that another process holds."""
        return _by_key(await tx.execute(_LOCK_DUE, {"now": now}))

    async def lock(self, tx: AsyncConnection, keys: Iterable[SenderKey]) -> dict[SenderKey, Sender]:
        """Lock these senders, waiting for whoever holds them."""
        wanted = _names(keys)
        return _by_key(await tx.execute(_LOCK, wanted)) if wanted else {}

    async def read(self, tx: AsyncConnection, keys: Iterable[SenderKey]) -> dict[SenderKey, Sender]:
        """Read senders as they are now, without a lock."""
        wanted = _names(keys)
        return _by_key(await tx.execute(_READ, wanted)) if wanted else {}

    async def save(self, tx: AsyncConnection, senders: Iterable[Sender]) -> None:
        """Write locked senders back."""
        rows = sorted(senders, key=lambda sender: sender.key)
        if not rows:
            return
        names = {
            "tenants": [row.key.tenant_id for row in rows],
            "channels": [row.key.channel for row in rows],
            "businesses": [row.key.business_address for row in rows],
        }
        values = {
            "slots": [row.next_slot_at for row in rows],
            "slowed": [row.slowed_until for row in rows],
            "halted": [row.halted_reason for row in rows],
        }
        await tx.execute(_SAVE, names | values)


def _names(keys: Iterable[SenderKey]) -> dict[str, list[str]]:
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    return {
        "tenants": [key.tenant_id for key in wanted],
        "channels": [key.channel for key in wanted],
        "businesses": [key.business_address for key in wanted],
    }


def _by_key(rows: Iterable[Sequence[Any]]) -> dict[SenderKey, Sender]:
    found = {}
    for tenant, channel, business, *rest in rows:
        key = SenderKey(tenant, channel, business)
        found[key] = Sender(key, *rest)
    return found
