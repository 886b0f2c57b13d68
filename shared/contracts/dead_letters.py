"""``<service>.dead-letters.v1``: what a service could not handle, and what became of it."""

from shared.contracts.event import Model
from shared.contracts.fields import Count, Word


class DeadLetter(Model):
    """One record put aside. ``parked_key`` is set when later events of that key wait behind it.

    ``value`` and ``key`` are text, or ``base64:…`` where they are none; ``value`` is left out above
    512 KB, where (topic, partition, offset) still tells where to find it.
    """

    service: Word
    topic: str
    partition: Count
    offset: Count
    key: str | None = None
    headers: tuple[tuple[str, str | None], ...] = ()
    value: str | None = None
    reason: str
    detail: str
    attempts: Count
    parked_key: str | None = None


class DeadLetterEnd(Model):
    """What became of one record that was put aside; ``by`` is absent where nobody had to ask."""

    service: Word
    topic: str
    partition: Count
    offset: Count
    parked_key: str | None = None
    by: str | None = None


class DeadLetterReplayed(DeadLetterEnd):
    """The service has handled it after all."""


class DeadLetterDropped(DeadLetterEnd):
    """Somebody decided that it never will be handled, and said why."""

    why: str
