"""How fast a sender may send, and how long to wait before trying again. No chance: spread by the request."""

import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.outbound.model import Rules, Sender

MOST_ATTEMPTS = 8
"""After so many declined attempts a message fails with ``retries_exhausted``."""
FIRST_RETRY = timedelta(seconds=1)
LONGEST_RETRY = timedelta(minutes=5)
PAIR_RETRY_FACTOR = 4.0
"""A pair over its own limit is left alone for 1, 4, 16, 64 … seconds (docs/channels.md, 1)."""
SLOWED_FOR = timedelta(minutes=1)
SLOWED_FACTOR = 2
EVEN_SHARE, BURST_SECONDS = 0.95, 0.05
"""Grants come at 95 % of the rate, and at most 50 ms of them at once: never more than it in any second."""


@dataclass(frozen=True, slots=True)
class Grant:
    """How many messages may leave now, and the sender's row after ``used`` of them."""

    count: int
    start: datetime
    interval: timedelta

    def spent(self, sender: Sender, used: int) -> Sender:
        """Return the sender after so many of the granted messages were taken."""
        if not used:
            return sender
        return replace(sender, next_slot_at=self.start + used * self.interval)


def grant(sender: Sender, now: datetime, rules: Rules) -> Grant:
    """Grant what is in the sender's rate at this moment. A slowed one gets half."""
    interval = timedelta(seconds=1) / (rules.rate_per_second * EVEN_SHARE)
    if sender.slowed_until is not None and now < sender.slowed_until:
        interval *= SLOWED_FACTOR
    start = now if sender.next_slot_at is None else max(sender.next_slot_at, now)
    ahead = now + timedelta(seconds=BURST_SECONDS) - start
    count = 0 if ahead < timedelta(0) else ahead // interval + 1
    return Grant(count, start, interval)


def slow(sender: Sender, now: datetime) -> Sender:
    """Halve the sender's pace for a while: its provider said that it is too fast."""
    return replace(sender, slowed_until=now + SLOWED_FOR)


def retry_pause(request_id: str, attempt: int, retry_after: timedelta | None) -> timedelta:
    """Return the pause after a declined attempt: doubling, bounded, at least what the provider asked for."""
    full = min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** min(attempt - 1, 20))
    pause = full * (0.5 + 0.5 * _spread(request_id, attempt))
    return pause if retry_after is None else max(pause, retry_after)


def pair_pause(attempt: int) -> timedelta:
    """Return how long a pair over its own limit is left alone."""
    return min(LONGEST_RETRY, FIRST_RETRY * PAIR_RETRY_FACTOR ** min(attempt - 1, 10))


def _spread(request_id: str, attempt: int) -> float:
    """Return a number from 0 to 1 that differs between requests and is always the same for one."""
    return zlib.crc32(f"{request_id}/{attempt}".encode()) / 0xFFFFFFFF
