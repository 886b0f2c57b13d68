"""How a change becomes an event on ``deliveries.v1`` or ``pairs.v1``."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.outbound.decisions import window
from services.outbound.model import Ledger, PairState, Rules, Send, SendState
from shared.contracts import catalogue
from shared.contracts.deliveries import (
    Delivery,
    DeliveryAccepted,
    DeliveryDelivered,
    DeliveryFailed,
    DeliveryHeld,
    DeliveryInDoubt,
    DeliveryPlayed,
    DeliveryRead,
    DeliveryRefused,
    DeliverySent,
    DeliveryUnknown,
)
from shared.contracts.event import Cause, Event, Model
from shared.contracts.pairs import Consent, PairChanged

SOURCE = "outbound"
FALLBACK = "fallback_template"
"""The reason on a delivery whose message went out as the template that its request names."""

_SAID: dict[SendState, type[Delivery]] = {
    SendState.HELD: DeliveryHeld,
    SendState.IN_DOUBT: DeliveryInDoubt,
    SendState.UNKNOWN: DeliveryUnknown,
    SendState.ACCEPTED: DeliveryAccepted,
    SendState.SENT: DeliverySent,
    SendState.DELIVERED: DeliveryDelivered,
    SendState.READ: DeliveryRead,
    SendState.PLAYED: DeliveryPlayed,
    SendState.FAILED: DeliveryFailed,
    SendState.REFUSED: DeliveryRefused,
}


def delivery(
    before: Send, after: Send, ledger: Ledger, *, at: datetime, now: datetime, rules: Rules
) -> list[Event[Model]]:
    """Return the event that tells of a message's new state: none when it did not change."""
    said = _SAID.get(after.state)
    if said is None or after.state is before.state:
        return []
    request = after.request
    data = said(
        request_id=request.request_id,
        purpose=request.purpose,
        by=request.by,
        chat_id=request.chat_id,
        ticket_id=request.ticket_id,
        channel=request.channel,
        business_address=request.business_address,
        customer_address=request.customer_address,
        provider=after.provider,
        provider_message_id=after.provider_message_id,
        at=at,
        reason=after.reason or (FALLBACK if after.state is SendState.ACCEPTED and after.fallback else None),
        provider_code=after.provider_code,
        provider_detail=after.provider_detail,
        retry_not_before=after.retry_not_before,
        window=window.seen_by_readers(ledger, now, rules) if request.channel == "whatsapp" else None,
    )
    return [
        catalogue.fact(
            after.cause,
            data,
            source=SOURCE,
            subject=request.request_id,
            time=now,
            pair_key=after.pair.key,
            nth=after.attempt,
        )
    ]


def window_news(
    pair: PairState, cause: Cause, now: datetime, rules: Rules
) -> tuple[PairState, list[Event[Model]]]:
    """Return the pair and the event that tells its readers of its window, if that is news to them."""
    if not window.is_news(pair, now, rules):
        return pair, []
    return reassert(pair, cause, now, rules)


def reassert(
    pair: PairState, cause: Cause, now: datetime, rules: Rules
) -> tuple[PairState, list[Event[Model]]]:
    """Say the pair's whole state under the next version.

    A restored database may have forgotten versions that readers know: what was read back counts too.
    """
    seen = window.seen_by_readers(pair.ledger, now, rules)
    told = replace(
        pair,
        version=max(pair.version, pair.echoed_version) + 1,
        told_expires_at=window.closes_at(pair.ledger, rules),
    )
    data = PairChanged(
        channel=pair.pair.channel,
        business_address=pair.pair.business_address,
        customer_address=pair.pair.customer_address,
        window=seen,
        consent=Consent(),
        version=told.version,
    )
    event = catalogue.fact(
        cause,
        data,
        source=SOURCE,
        subject=pair.pair.key,
        time=now,
        pair_key=pair.pair.key,
        nth=told.version,
    )
    return told, [event]


def hear_echoes(pair: PairState, versions: Sequence[int]) -> tuple[PairState, bool]:
    """Take in our own words read back from ``pairs.v1``, in order; tell whether to say it all again.

    A late duplicate may be the last record of its key, and then outlive the newer one when the topic
    is compacted: an older version behind a newer one is answered by the present state, unless a still
    newer word of ours is on its way and will come last.
    """
    echoed = max(pair.echoed_version, *versions)
    stale = versions[-1] < echoed and pair.version <= echoed
    return replace(pair, echoed_version=echoed), stale
