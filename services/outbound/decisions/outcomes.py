"""What a provider's answer means for the message, its pair and its sender (docs/channels.md, 4)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from services.outbound.decisions import pacing
from services.outbound.model import (
    Accepted,
    CallOutcome,
    DeclineClass,
    Declined,
    InDoubt,
    NotSent,
    Rules,
    Send,
    SendState,
)

UNSETTLED = frozenset({SendState.SENDING, SendState.IN_DOUBT, SendState.UNKNOWN})
"""States in which the call's own answer is news; after a receipt it is not."""
A_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Settled:
    """A message after its call. ``next_turn_at`` is when its pair goes on; None leaves that as it is."""

    send: Send
    next_turn_at: datetime | None = None
    disproved: bool = False
    """The provider said that the window is closed."""
    slowed: bool = False
    halted: str | None = None
    """Why the sender must stop, when it must."""


def settle(send: Send, outcome: CallOutcome, now: datetime, rules: Rules) -> Settled:
    """Take in what came of the call.

    The row may have moved on meanwhile: a receipt overtook the answer, or the lease ran out.
    """
    match outcome:
        case Accepted(provider_message_id):
            return _accepted(send, provider_message_id, now)
        case Declined():
            return _declined(send, outcome, now)
        case InDoubt(cause):
            if send.state is not SendState.SENDING:
                return _overtaken(send, now)
            return Settled(doubt(send, cause, now), now + rules.in_doubt_hold)
        case NotSent(cause):
            if send.state is not SendState.SENDING:
                return _overtaken(send, now)
            return Settled(_requeued(send, now, cause), now)
        case _:
            assert_never(outcome)


def doubt(send: Send, cause: str, now: datetime) -> Send:
    """Mark a message whose call ended without an answer."""
    return replace(send, state=SendState.IN_DOUBT, reason=cause, in_doubt_since=now, lease_until=None)


def give_up_waiting(send: Send, now: datetime, rules: Rules) -> Send | None:
    """Call a message unknown once no receipt settled it in the stated time; None when it is not time."""
    if send.state is not SendState.IN_DOUBT or send.in_doubt_since is None:
        return None
    if now < send.in_doubt_since + rules.in_doubt_settle:
        return None
    return replace(send, state=SendState.UNKNOWN, reason="no_receipt")


def _accepted(send: Send, provider_message_id: str, now: datetime) -> Settled:
    known = replace(send, provider_message_id=provider_message_id, lease_until=None)
    if send.state not in UNSETTLED:
        return Settled(known, now)
    accepted = replace(known, state=SendState.ACCEPTED, reason=None, provider_code=None, provider_detail=None)
    return Settled(accepted, now)


def _overtaken(send: Send, now: datetime) -> Settled:
    """Keep what a receipt said meanwhile. A message that is in doubt goes on holding its pair back."""
    in_doubt = send.state in {SendState.IN_DOUBT, SendState.UNKNOWN}
    return Settled(replace(send, lease_until=None), None if in_doubt else now)


def _declined(send: Send, no: Declined, now: datetime) -> Settled:
    if send.state not in UNSETTLED:
        return _overtaken(send, now)
    told = replace(send, provider_code=no.code, provider_detail=no.detail, lease_until=None)
    if send.state is not SendState.SENDING:
        # It was reported in doubt already. It is settled by this late no, and still never sent again.
        return Settled(_failed(told, no.reason), now)
    pause = _pause_before_retry(told, no)
    if pause is not None:
        return _again(told, no, now, pause)
    if no.decline is DeclineClass.HALT_SENDER:
        held = replace(told, state=SendState.HELD, reason="sender_halted")
        return Settled(held, now, halted=no.reason)
    tomorrow = now + A_DAY if no.decline is DeclineClass.NOT_BEFORE_A_DAY else None
    failed = replace(_failed(told, no.reason), retry_not_before=tomorrow)
    return Settled(failed, now, disproved=no.decline is DeclineClass.WINDOW_CLOSED)


def _pause_before_retry(send: Send, no: Declined) -> timedelta | None:
    """Return how long to wait before the next attempt; None where there is none of our own accord."""
    match no.decline:
        case DeclineClass.RETRY | DeclineClass.SLOW_SENDER:
            return pacing.retry_pause(send.request.request_id, send.attempt, no.retry_after)
        case DeclineClass.RETRY_PAIR:
            return pacing.pair_pause(send.attempt)
        case (
            DeclineClass.HALT_SENDER
            | DeclineClass.PERMANENT
            | DeclineClass.TEMPLATE
            | DeclineClass.WINDOW_CLOSED
            | DeclineClass.NOT_BEFORE_A_DAY
        ):
            return None
        case _:
            assert_never(no.decline)


def _again(send: Send, no: Declined, now: datetime, pause: timedelta) -> Settled:
    slowed = no.decline is DeclineClass.SLOW_SENDER
    if send.attempt >= pacing.MOST_ATTEMPTS:
        return Settled(_failed(send, "retries_exhausted"), now, slowed=slowed)
    return Settled(_requeued(send, now + pause, no.reason), now + pause, slowed=slowed)


def _requeued(send: Send, not_before: datetime, reason: str) -> Send:
    return replace(send, state=SendState.QUEUED, not_before=not_before, lease_until=None, reason=reason)


def _failed(send: Send, reason: str) -> Send:
    return replace(send, state=SendState.FAILED, reason=reason)
