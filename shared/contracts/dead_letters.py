"""``<service>.dead-letters.v1``: records that could not be handled, with their reason."""

from shared.contracts.event import Model
from shared.contracts.fields import Count, Word


class DeadLetter(Model):
    """One parked record and where it was read.

    Bytes that are no text are written ``base64:…``; ``value`` is absent when it is too large to keep.
    ``parked_key`` is set when later events of that key wait behind it.
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
