"""What a receipt changes: accepted < sent < delivered < read < played, and failed only from below."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.outbound.model import DeclineClass, Declined, Send, SendRef, SendState
from shared.contracts.provider_events import Receipt

_RANK = {
    SendState.ACCEPTED: 1,
    SendState.SENT: 2,
    SendState.DELIVERED: 3,
    SendState.READ: 4,
    SendState.PLAYED: 5,
}
_UNANSWERED = frozenset(
    {SendState.QUEUED, SendState.HELD, SendState.SENDING, SendState.IN_DOUBT, SendState.UNKNOWN}
)
"""No answer of the provider is stored yet; whatever a receipt says is the first we know."""
AFTER_FAILURE = "succeeded_after_failure"
A_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Received:
    """A message after a receipt. ``releases`` lets its pair go on; ``disproved`` closes its window."""

    send: Send
    releases: bool = False
    disproved: bool = False


def take_in(send: Send, receipt: Receipt, failure: Declined | None, now: datetime) -> Received:
    """Move a message by one receipt; one that says nothing new leaves it as it is.

    Receipts come twice, late and in any order (docs/channels.md, 5). A delivery after a failure is
    true all the same, some device has the message: it wins, and is kept as an anomaly.
    ``failure`` is what the provider's code means, for receipts that say ``failed``.
    """
    known = send
    if send.provider_message_id is None and receipt.provider_message_id is not None:
        known = replace(send, provider_message_id=receipt.provider_message_id)
    status = SendState(receipt.status)
    if not _moves(send.state, status):
        return Received(known)
    releases = send.state in {SendState.IN_DOUBT, SendState.QUEUED}
    if status is SendState.FAILED:
        return _failed(known, receipt, failure, releases=releases, now=now)
    reason = AFTER_FAILURE if send.state is SendState.FAILED else None
    moved = replace(
        known, state=status, reason=reason, provider_code=None, provider_detail=None, not_before=None
    )
    return Received(moved, releases)


def _moves(state: SendState, status: SendState) -> bool:
    if state in _UNANSWERED:
        return True
    if state is SendState.FAILED:
        return _RANK.get(status, 0) >= _RANK[SendState.DELIVERED]
    if state not in _RANK:
        return False
    if status is SendState.FAILED:
        return _RANK[state] <= _RANK[SendState.SENT]
    return _RANK[status] > _RANK[state]


def _failed(
    send: Send, receipt: Receipt, failure: Declined | None, *, releases: bool, now: datetime
) -> Received:
    decline = None if failure is None else failure.decline
    failed = replace(
        send,
        state=SendState.FAILED,
        reason="provider_rejected" if failure is None else failure.reason,
        provider_code=receipt.code,
        provider_detail=receipt.detail,
        retry_not_before=now + A_DAY if decline is DeclineClass.NOT_BEFORE_A_DAY else None,
        not_before=None,
    )
    return Received(failed, releases, disproved=decline is DeclineClass.WINDOW_CLOSED)


def ref_of(receipt: Receipt, tenant_id: str) -> SendRef | None:
    """Read the correlation id that we gave the provider, ``tenant|request_id``; None when it is not ours."""
    prefix = f"{tenant_id}|"
    if receipt.correlation_id is None or not receipt.correlation_id.startswith(prefix):
        return None
    request_id = receipt.correlation_id.removeprefix(prefix)
    return SendRef(tenant_id, request_id) if request_id else None
