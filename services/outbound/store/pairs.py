"""The pairs: one row is the pair's lock, its window ledger and its place in the queue."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.model import Ledger, PairState, SenderKey
from shared.contracts.pair import Pair

_COLUMNS = (
    "p.tenant_id, p.channel, p.business_address, p.customer_address, p.last_inbound_at, p.disproved_at,"
    " p.told_expires_at, p.version, p.echoed_version, p.next_turn_at"
)
_CREATE = text(
    "insert into pairs (tenant_id, pair_key, channel, business_address, customer_address) "
    "select * from unnest(cast(:tenants as text[]), cast(:keys as text[]), cast(:channels as text[]),"
    " cast(:businesses as text[]), cast(:customers as text[])) on conflict do nothing"
)
_LOCK = text(
    f"select {_COLUMNS} "
    "from pairs p join unnest(cast(:tenants as text[]), cast(:keys as text[])) as u(tenant_id, pair_key) "
    "on p.tenant_id = u.tenant_id and p.pair_key = u.pair_key "
    "order by p.tenant_id, p.pair_key for update of p"
)
_SAVE = text(
    "update pairs p set last_inbound_at = u.last_inbound_at, disproved_at = u.disproved_at,"
    " told_expires_at = u.told_expires_at, version = u.version, echoed_version = u.echoed_version,"
    " next_turn_at = u.next_turn_at "
    "from unnest(cast(:tenants as text[]), cast(:keys as text[]), cast(:inbound as timestamptz[]),"
    " cast(:disproved as timestamptz[]), cast(:told as timestamptz[]), cast(:versions as bigint[]),"
    " cast(:echoed as bigint[]), cast(:turns as timestamptz[]))"
    " as u(tenant_id, pair_key, last_inbound_at, disproved_at, told_expires_at, version, echoed_version,"
    " next_turn_at) "
    "where p.tenant_id = u.tenant_id and p.pair_key = u.pair_key"
)
# A pair that a batch or another dispatcher holds is passed over: nobody waits for a lock here.
_CLAIM = text(
    f"select {_COLUMNS} "
    "from unnest(cast(:tenants as text[]), cast(:channels as text[]), cast(:businesses as text[]),"
    " cast(:limits as int[])) as s(tenant_id, channel, business_address, wanted) "
    "cross join lateral ("
    "  select * from pairs where tenant_id = s.tenant_id and channel = s.channel"
    "  and business_address = s.business_address and next_turn_at <= :now"
    "  order by next_turn_at limit s.wanted for update skip locked"
    ") p"
)
_LEDGERS = text(
    f"select {_COLUMNS} "
    "from pairs p join unnest(cast(:tenants as text[]), cast(:keys as text[])) as u(tenant_id, pair_key) "
    "on p.tenant_id = u.tenant_id and p.pair_key = u.pair_key"
)


class Pairs:
    """Statements on ``pairs``."""

    async def lock(self, tx: AsyncConnection, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """Lock the rows of these pairs in their one order, creating the missing ones first."""
        wanted = _sorted(pairs)
        if not wanted:
            return {}
        names = {"tenants": [p.tenant_id for p in wanted], "keys": [p.key for p in wanted]}
        parts = {
            "channels": [p.channel for p in wanted],
            "businesses": [p.business_address for p in wanted],
            "customers": [p.customer_address for p in wanted],
        }
        await tx.execute(_CREATE, names | parts)
        return _by_pair(await tx.execute(_LOCK, names))

    async def claim(
        self, tx: AsyncConnection, limits: Mapping[SenderKey, int], now: datetime
    ) -> dict[Pair, PairState]:
        """Lock pairs whose turn has come, at most so many of each sender, the longest due first."""
        senders = sorted(limits)
        rows = await tx.execute(
            _CLAIM,
            {
                "tenants": [s.tenant_id for s in senders],
                "channels": [s.channel for s in senders],
                "businesses": [s.business_address for s in senders],
                "limits": [limits[s] for s in senders],
                "now": now,
            },
        )
        return _by_pair(rows)

    async def read(self, tx: AsyncConnection, pairs: Iterable[Pair]) -> dict[Pair, PairState]:
        """Read pairs as they are now, without a lock: for a last look before a call."""
        wanted = _sorted(pairs)
        names = {"tenants": [p.tenant_id for p in wanted], "keys": [p.key for p in wanted]}
        return _by_pair(await tx.execute(_LEDGERS, names))

    async def save(self, tx: AsyncConnection, states: Iterable[PairState]) -> None:
        """Write locked pairs back."""
        rows = sorted(states, key=lambda state: (state.pair.tenant_id, state.pair.key))
        if not rows:
            return
        await tx.execute(
            _SAVE,
            {
                "tenants": [row.pair.tenant_id for row in rows],
                "keys": [row.pair.key for row in rows],
                "inbound": [row.ledger.last_inbound_at for row in rows],
                "disproved": [row.ledger.disproved_at for row in rows],
                "told": [row.told_expires_at for row in rows],
                "versions": [row.version for row in rows],
                "echoed": [row.echoed_version for row in rows],
                "turns": [row.next_turn_at for row in rows],
            },
        )


def _sorted(pairs: Iterable[Pair]) -> list[Pair]:
    return sorted(set(pairs), key=lambda pair: (pair.tenant_id, pair.key))


def _by_pair(rows: Iterable[Sequence[Any]]) -> dict[Pair, PairState]:
    found = {}
    for tenant, channel, business, customer, inbound, disproved, *rest in rows:
        pair = Pair(tenant, channel, business, customer)
        found[pair] = PairState(pair, Ledger(inbound, disproved), *rest)
    return found
