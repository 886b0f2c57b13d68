"""A Kafka record as bytes, and what decoding made of it."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model

Headers = tuple[tuple[str, bytes | None], ...]


class Record(NamedTuple):
    """One record as it came; ``topic`` is the logical name, without the prefix of this installation.

    A tuple, as what is made of it on its way to a decision: a frozen dataclass takes four times as long.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Decoded(NamedTuple):
    """A record that is an event we know."""

    record: Record
    event: Event[Model]
    key: str
    digest: bytes
    body: bytes | None
    version: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that is none, with the reason."""

    record: Record
    error: Rejected


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key's end on a compacted topic. It passes by: the retired document before it did the work (0084)."""

    record: Record


Item = Decoded | Undecodable | Tombstone


@dataclass(frozen=True, slots=True)
class Parked:
    """A record to put aside with its reason; ``blocks_key`` holds later events of its key behind it."""

    record: Record
    tenant_id: str
    key: str
    reason: str
    detail: str
    blocks_key: bool
    attempts: int = 1
    admitted: bool = False
    """Its event is among those seen, so that replaying it is no repeat."""
    version: tuple[str, int] | None = None


def kept_headers(headers: Headers) -> str:
    """Return headers as JSON from which `headers_of` makes the same again (but for NUL in a name)."""
    return json.dumps(
        [
            (_storable(name), None if value is None else base64.b64encode(value).decode())
            for name, value in headers
        ]
    )


def headers_of(kept: Sequence[Sequence[str | None]]) -> Headers:
    """Return the headers that `kept_headers` put away."""
    return tuple((name or "", None if value is None else base64.b64decode(value)) for name, value in kept)


def next_offsets(items: Sequence[Item]) -> dict[tuple[str, int], int]:
    """Return, for each (topic, partition), the offset after the last of these records."""
    ends: dict[tuple[str, int], int] = {}
    for item in items:
        place = (item.record.topic, item.record.partition)
        ends[place] = max(ends.get(place, 0), item.record.offset + 1)
    return ends


def readable_headers(headers: Headers) -> list[tuple[str, str | None]]:
    """Return headers as JSON and PostgreSQL can hold them: a name may be any text on Kafka."""
    return [(_storable(name), readable(value)) for name, value in headers]


def readable(value: bytes | None) -> str | None:
    """Return bytes as text where they are text, else as ``base64:…``."""
    if value is None:
        return None
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()
    return _storable(decoded)


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd")
