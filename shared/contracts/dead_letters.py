"""`<service>.dead-letters.v1`: what a service could not handle, with the reason and the original bytes."""

from shared.contracts.event import Model


class DeadLetter(Model):
    """One record put aside. ``parked_key`` is set when later events of that key wait behind it.

    ``value`` and ``key`` are text, or ``base64:…`` where they are none; ``value`` is left out above
    512 KB, where (topic, partition, offset) still tells where to find it.
    """

    service: str
    topic: str
    partition: int
    offset: int
    key: str | None = None
    headers: list[tuple[str, str | None]]
    value: str | None = None
    reason: str
    detail: str
    attempts: int
    parked_key: str | None = None
