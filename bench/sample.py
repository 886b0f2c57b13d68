"""What routing made of a few messages, kept so that every baseline moves and stores the very same bytes."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ops.topics import read
from shared.platform.settings import PlatformSettings


@dataclass(frozen=True)
class Sample:
    """Inbound records, the records routing published for each (in order), the chats and timers it stored."""

    inbound: list[tuple[bytes, bytes]]
    published: list[list[tuple[bytes, bytes]]]
    chats: list[dict[str, Any]]
    timers: list[dict[str, Any]]


async def take(settings: PlatformSettings) -> Sample:
    """Read the sample from a desk whose routing has just come to an end."""
    inbound = await _records(settings, "inbound-messages.v1")
    published: dict[bytes, list[tuple[bytes, bytes]]] = {key: [] for key, _ in inbound}
    for key, value in await _records(settings, "chats.v1"):
        published[key].append((key, value))
    connection = await asyncpg.connect(settings.database_url)
    try:
        chats = await connection.fetch("select * from routing.chats order by pair_key")
        timers = await connection.fetch(
            "select kind, key, tenant_id, at from routing.due where kind = 'answer_overdue' order by key"
        )
    finally:
        await connection.close()
    return Sample(
        inbound, list(published.values()), [dict(row) for row in chats], [dict(row) for row in timers]
    )


def save(sample: Sample, path: Path) -> None:
    """Write a sample for the baselines' processes."""
    path.write_text(
        json.dumps(
            {
                "inbound": [_written(record) for record in sample.inbound],
                "published": [[_written(record) for record in records] for records in sample.published],
                "chats": sample.chats,
                "timers": sample.timers,
            },
            default=str,
        )
    )


def load(path: Path) -> Sample:
    """Read what `save` wrote; times in chats are text."""
    found = json.loads(path.read_text())
    return Sample(
        [_read(record) for record in found["inbound"]],
        [[_read(record) for record in records] for records in found["published"]],
        found["chats"],
        found["timers"],
    )


async def _records(settings: PlatformSettings, topic: str) -> list[tuple[bytes, bytes]]:
    records = [record async for record in read(settings.kafka, settings.topic_prefix + topic)]
    return [(record.key, record.value) for record in sorted(records, key=lambda r: (r.partition, r.offset))]


def _written(record: tuple[bytes, bytes]) -> list[str]:
    return [base64.b64encode(part).decode() for part in record]


def _read(parts: list[str]) -> tuple[bytes, bytes]:
    key, value = (base64.b64decode(part) for part in parts)
    return key, value
