"""Events on their way out: rows of the outbox, and what is told about records that were put aside."""

import zlib
from datetime import datetime

from shared.contracts import catalogue, cloudevents
from shared.contracts.dead_letters import DeadLetter, DeadLetterDropped, DeadLetterReplayed
from shared.contracts.event import Cause, Event, Model, derived_id
from shared.platform.asides import Aside
from shared.platform.journal import OutboxRow
from shared.platform.outcome import End
from shared.platform.records import Parked, readable, readable_headers
from shared.platform.tables import LANES

LARGEST_EVENT = 1_000_000
"""Bytes. A larger event fails in the handler, where it can be parked, not in the drain."""
LARGEST_KEPT = 512 * 1024
"""Bytes of an original record that a dead letter carries; above it, only where to find it."""


def outbox_row(event: Event[Model] | End) -> OutboxRow:
    """Encode an event for its lane. Raises ValueError when it is larger than a topic takes."""
    if isinstance(event, End):
        return OutboxRow(lane_of(event.key), event.topic, event.key, None)
    value = cloudevents.encode(event)
    if len(value) > LARGEST_EVENT:
        raise ValueError(f"{event.type} has {len(value)} bytes, at most {LARGEST_EVENT} can be published")
    key = catalogue.key_of(event)
    return OutboxRow(lane_of(key), catalogue.topic_of(event.type), key, value)


def lane_of(key: str) -> int:
    """Return the lane of a key: the same everywhere and always, for rows of one key must not part."""
    return zlib.crc32(key.encode()) % LANES


def dead_letter(service: str, parked: Parked, now: datetime) -> OutboxRow:
    """Build the dead letter that tells people what was parked, where and why.

    It leaves out parts of the original until a topic takes it, for bytes may grow sixfold as JSON. Where to
    find the original is always told.
    """
    record = parked.record
    source = f"{record.topic}/{record.partition}/{record.offset}"
    letter = DeadLetter(
        service=service,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=readable(record.key),
        headers=readable_headers(record.headers),
        value=readable(record.value) if len(record.value or b"") <= LARGEST_KEPT else None,
        reason=parked.reason,
        detail=parked.detail,
        attempts=parked.attempts,
        parked_key=parked.key if parked.blocks_key else None,
    )
    cause = Cause(parked.tenant_id, derived_id(service, source))

    def encoded(**left_out: tuple[()] | None) -> bytes:
        kept = letter.model_copy(update=left_out)
        return cloudevents.encode(catalogue.fact(cause, kept, source=service, subject=source, time=now))

    value = encoded()
    if len(value) > LARGEST_EVENT:
        value = encoded(value=None)
    if len(value) > LARGEST_EVENT:
        value = encoded(value=None, headers=(), key=None)
    return OutboxRow(lane_of(parked.key), f"{service}.dead-letters.v1", parked.key, value)


def end_of_letter(
    service: str, one: Aside, now: datetime, *, by: str | None, dropped_because: str | None = None
) -> OutboxRow:
    """Build the event that tells what became of a record that was put aside: replayed, or dropped."""
    record = one.record
    source = f"{record.topic}/{record.partition}/{record.offset}"
    ended = {
        "service": service,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "parked_key": one.key if one.blocks_key else None,
        "by": by,
    }
    said: Model = (
        DeadLetterReplayed.model_validate(ended)
        if dropped_because is None
        else DeadLetterDropped.model_validate(ended | {"why": dropped_because})
    )
    cause = Cause(one.tenant_id, derived_id(service, source))
    event = catalogue.fact(cause, said, source=service, subject=source, time=now)
    return OutboxRow(lane_of(one.key), f"{service}.dead-letters.v1", one.key, cloudevents.encode(event))
