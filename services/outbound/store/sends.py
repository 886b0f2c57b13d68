"""The sends: every request once, with what became of it so far."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.model import Send, SendRef, SendState
from shared.contracts.event import Cause
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair

_COLUMNS = (
    "s.tenant_id, s.pair_key, cast(s.request as text), s.cause_id, s.correlation_id, s.causation_id,"
    " s.arrived_at, s.state, s.attempt, s.not_before, s.lease_until, s.judged_by, s.in_doubt_since,"
    " s.provider, s.provider_message_id, s.reason, s.provider_code, s.provider_detail,"
    " s.retry_not_before, s.fallback"
)
_ADD = text(
    "insert into sends (tenant_id, request_id, pair_key, request, cause_id, correlation_id, causation_id,"
    " arrived_at, state) "
    "select tenant_id, request_id, pair_key, cast(request as jsonb), cause_id, correlation_id, causation_id,"
    " arrived_at, 'queued' "
    "from unnest(cast(:tenants as text[]), cast(:ids as text[]), cast(:pairs as text[]),"
    " cast(:requests as text[]), cast(:causes as text[]), cast(:correlations as text[]),"
    " cast(:causations as text[]), cast(:arrivals as timestamptz[])) with ordinality"
    " as u(tenant_id, request_id, pair_key, request, cause_id, correlation_id, causation_id, arrived_at, n) "
    "order by n on conflict do nothing"
)
_LOAD = text(
    f"select {_COLUMNS} "
    "from sends s join unnest(cast(:tenants as text[]), cast(:ids as text[])) as u(tenant_id, request_id) "
    "on s.tenant_id = u.tenant_id and s.request_id = u.request_id"
)
_HEADS = text(
    f"select {_COLUMNS} "
    "from unnest(cast(:tenants as text[]), cast(:keys as text[])) as u(tenant_id, pair_key) "
    "cross join lateral ("
    "  select * from sends where tenant_id = u.tenant_id and pair_key = u.pair_key"
    "  and state in ('queued', 'sending') order by seq limit 1"
    ") s"
)
_BY_PROVIDER_MESSAGE = text(
    "select s.tenant_id, s.provider_message_id, s.request_id "
    "from sends s join unnest(cast(:tenants as text[]), cast(:ids as text[])) as u(tenant_id, id) "
    "on s.tenant_id = u.tenant_id and s.provider_message_id = u.id"
)
_SAVE = text(
    "update sends s set state = u.state, attempt = u.attempt, not_before = u.not_before,"
    " lease_until = u.lease_until, judged_by = u.judged_by, in_doubt_since = u.in_doubt_since,"
    " provider = u.provider, provider_message_id = u.provider_message_id, reason = u.reason,"
    " provider_code = u.provider_code, provider_detail = u.provider_detail,"
    " retry_not_before = u.retry_not_before, fallback = u.fallback "
    "from unnest(cast(:tenants as text[]), cast(:ids as text[]), cast(:states as text[]),"
    " cast(:attempts as int[]), cast(:not_before as timestamptz[]), cast(:leases as timestamptz[]),"
    " cast(:judged as timestamptz[]), cast(:doubts as timestamptz[]), cast(:providers as text[]),"
    " cast(:messages as text[]), cast(:reasons as text[]), cast(:codes as text[]), cast(:details as text[]),"
    " cast(:tomorrows as timestamptz[]), cast(:fallbacks as boolean[]))"
    " as u(tenant_id, request_id, state, attempt, not_before, lease_until, judged_by, in_doubt_since,"
    " provider, provider_message_id, reason, provider_code, provider_detail, retry_not_before, fallback) "
    "where s.tenant_id = u.tenant_id and s.request_id = u.request_id"
)


class Sends:
    """Statements on ``sends``. A row is written only under the lock of its pair."""

    async def add(self, tx: AsyncConnection, sends: Sequence[Send]) -> None:
        """Queue new requests in the order given; a request id that is known stays as it is."""
        if not sends:
            return
        await tx.execute(
            _ADD,
            {
                "tenants": [send.pair.tenant_id for send in sends],
                "ids": [send.request.request_id for send in sends],
                "pairs": [send.pair.key for send in sends],
                "requests": [
                    send.request.model_dump_json(by_alias=True, exclude_none=True) for send in sends
                ],
                "causes": [send.cause.id for send in sends],
                "correlations": [send.cause.correlation_id for send in sends],
                "causations": [send.cause.causation_id for send in sends],
                "arrivals": [send.arrived_at for send in sends],
            },
        )

    async def load(self, tx: AsyncConnection, refs: Iterable[SendRef]) -> dict[SendRef, Send]:
        """Read these sends as they are now."""
        wanted = sorted(set(refs))
        if not wanted:
            return {}
        rows = await tx.execute(
            _LOAD, {"tenants": [r.tenant_id for r in wanted], "ids": [r.request_id for r in wanted]}
        )
        return {send.ref: send for send in map(_send, rows)}

    async def heads(self, tx: AsyncConnection, pairs: Iterable[Pair]) -> dict[Pair, Send]:
        """Read each pair's oldest message that is queued or sending."""
        wanted = sorted(pairs)
        rows = await tx.execute(
            _HEADS, {"tenants": [p.tenant_id for p in wanted], "keys": [p.key for p in wanted]}
        )
        return {send.pair: send for send in map(_send, rows)}

    async def refs_of(
        self, tx: AsyncConnection, messages: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], SendRef]:
        """Find the sends that a provider knows by these ids, each given as (tenant, id)."""
        wanted = sorted(set(messages))
        if not wanted:
            return {}
        rows = await tx.execute(
            _BY_PROVIDER_MESSAGE, {"tenants": [t for t, _ in wanted], "ids": [i for _, i in wanted]}
        )
        return {(tenant, message): SendRef(tenant, request) for tenant, message, request in rows}

    async def save(self, tx: AsyncConnection, sends: Iterable[Send]) -> None:
        """Write sends back."""
        rows = sorted(sends, key=lambda send: send.ref)
        if not rows:
            return
        await tx.execute(
            _SAVE,
            {
                "tenants": [row.pair.tenant_id for row in rows],
                "ids": [row.request.request_id for row in rows],
                "states": [row.state.value for row in rows],
                "attempts": [row.attempt for row in rows],
                "not_before": [row.not_before for row in rows],
                "leases": [row.lease_until for row in rows],
                "judged": [row.judged_by for row in rows],
                "doubts": [row.in_doubt_since for row in rows],
                "providers": [row.provider for row in rows],
                "messages": [row.provider_message_id for row in rows],
                "reasons": [row.reason for row in rows],
                "codes": [row.provider_code for row in rows],
                "details": [row.provider_detail for row in rows],
                "tomorrows": [row.retry_not_before for row in rows],
                "fallbacks": [row.fallback for row in rows],
            },
        )


def _send(row: Sequence[Any]) -> Send:
    tenant, pair_key, request, cause, correlation, causation, arrived_at, state, *rest = row
    return Send(
        Pair.parse(pair_key),
        MessageSend.model_validate_json(request),
        Cause(tenant, cause, correlation, causation),
        arrived_at,
        SendState(state),
        *rest,
    )
