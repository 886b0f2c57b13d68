"""The contact window: free-form may go only within 24 hours of the customer's last word."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from services.outbound.model import Heard, Ledger, PairState, Rules
from shared.contracts.content import Content, Reaction
from shared.contracts.pairs import Window

HEARD_ON = ("inbound-messages.v1", "provider-events.v1")
"""Where customers' messages and calls come from: nothing else can open a window."""
LENGTH = timedelta(hours=24)
CLOSING = timedelta(hours=1)
"""An open window counts as ``closing`` in its last hour: time to answer, or to choose a template."""
LISTEN_AGAIN = timedelta(milliseconds=100)
"""How soon a send that waits for inbound to be read is looked at again."""
TELL_STEP = timedelta(minutes=5)
"""Readers may see the window end at most this much too early; so a burst tells them once."""


@dataclass(frozen=True, slots=True)
class Open:
    """Free-form may go until ``until``."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Closed:
    """Closed, and nothing unread can change it."""

    last_inbound_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unknowable:
    """Not open as far as we know, but a word of the customer may be missing: never sent on a guess."""

    why: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Not open yet: inbound that was published before the request is still to be read."""

    until: datetime


Judgement: TypeAlias = Open | Closed | Unknowable | Listen


def opens(content: Content) -> bool:
    """Say whether a customer's message of this kind opens the window.

    Whether a reaction does is documented nowhere, so it does not; an unreadable message does.
    """
    return not isinstance(content, Reaction)


def spoken_at(provider_time: datetime, received_at: datetime, now: datetime) -> datetime:
    """Return the time that counts: the provider's, but never later than its receipt or the present."""
    return min(provider_time, received_at, now)


def hear(ledger: Ledger, at: datetime) -> Ledger:
    """Take in a word of the customer. Late arrivals never lower T."""
    if ledger.last_inbound_at is not None and at <= ledger.last_inbound_at:
        return ledger
    return replace(ledger, last_inbound_at=at)


def disprove(ledger: Ledger, judged_by: datetime | None) -> Ledger:
    """Take in a provider's word that the window is closed, although T (``judged_by``) had it open.

    T stays what it was; it only stops to count until the customer writes again.
    """
    if judged_by is None or (ledger.disproved_at is not None and judged_by <= ledger.disproved_at):
        return ledger
    return replace(ledger, disproved_at=judged_by)


def closes_at(ledger: Ledger, rules: Rules) -> datetime | None:
    """Return the first moment at which free-form is refused; None when it is refused anyway."""
    last = ledger.last_inbound_at
    if last is None or (ledger.disproved_at is not None and last <= ledger.disproved_at):
        return None
    return last + LENGTH - rules.window_margin


def is_open(ledger: Ledger, now: datetime, rules: Rules) -> bool:
    """Say whether free-form may go at this moment."""
    end = closes_at(ledger, rules)
    return end is not None and now < end


def judge(ledger: Ledger, arrived_at: datetime, heard: Heard, now: datetime, rules: Rules) -> Judgement:
    """Decide whether a request that reached us at ``arrived_at`` finds its window open.

    "Open" is decided at once. "Closed" is final only when inbound was read up to a time at or after
    the request's arrival, and nothing of the last 24 hours can be missing (docs/rules.md, 8).
    """
    end = closes_at(ledger, rules)
    if end is not None and now < end:
        return Open(end)
    if not is_heard(arrived_at, heard.read_up_to):
        if (again := listen_again(arrived_at, heard, now, rules)) is not None:
            return again
        return Unknowable("inbound messages have not been read up to the request in time")
    if heard.complete_since is not None and heard.complete_since > now - LENGTH:
        return Unknowable(f"inbound messages from before {heard.complete_since.isoformat()} were never read")
    return Closed(ledger.last_inbound_at)


def complete_since(beginnings: Iterable[tuple[int, datetime]]) -> datetime | None:
    """Return the time since which no inbound message is missing; None: none ever was.

    ``beginnings`` are the first offset read of each partition, and when that message was received.
    A partition read from its first offset misses nothing. One that began later had been cut off by
    retention: what was received before its first record is unknown.
    """
    return max((received_at for offset, received_at in beginnings if offset > 0), default=None)


def is_heard(arrived_at: datetime, read_up_to: datetime | None) -> bool:
    """Say whether everything published before the request has been read."""
    return read_up_to is not None and read_up_to >= arrived_at


def listen_again(arrived_at: datetime, heard: Heard, now: datetime, rules: Rules) -> Listen | None:
    """Return when to look again at a request whose facts are still being read; None: the wait is over."""
    begun = arrived_at if heard.listening_since is None else max(arrived_at, heard.listening_since)
    ends = begun + rules.hearing_patience
    return Listen(min(now + LISTEN_AGAIN, ends)) if now < ends else None


def seen_by_readers(ledger: Ledger, now: datetime, rules: Rules) -> Window:
    """Describe the window as events carry it."""
    end = closes_at(ledger, rules)
    if end is None or now >= end:
        return Window(state="closed", last_inbound_at=ledger.last_inbound_at, expires_at=end)
    state = "closing" if now >= end - CLOSING else "open"
    return Window(state=state, last_inbound_at=ledger.last_inbound_at, expires_at=end)


def is_news(pair: PairState, now: datetime, rules: Rules) -> bool:
    """Say whether readers of ``pairs.v1`` must be told of this pair's window.

    They are when it opens, when its end moves by a step, and when a provider closes it early. That it
    closes with time follows from ``expires_at``; that an old word arrived late changes nothing.
    """
    end = closes_at(pair.ledger, rules)
    told = pair.told_expires_at
    held_open = told is not None and told > now
    if end is None:
        return held_open
    if end <= now:
        return False
    return told is None or not held_open or end - told >= TELL_STEP
