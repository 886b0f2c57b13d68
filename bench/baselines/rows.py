"""B2: the rows that routing writes for a message, by raw asyncpg, 500 messages a transaction.

The same tables with the same locks taken; no decision, no decoding, no Kafka. Outbox rows of one
transaction are deleted by the next, as the lanes do it.
"""

import hashlib
import sys
import time
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from bench.measured import Measured, tell
from bench.sample import load
from bench.workload import AGENTS, DEPARTMENT, TENANT
from shared.platform.settings import PlatformSettings

BATCH = 500
NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
_CHAT = (
    "tenant_id text, chat_id text, pair_key text, business_address text, customer_address text,"
    " customer_id text, state text, opened_at timestamptz, version bigint, assignment_version bigint,"
    " department_id text, agent_id text, priority int, opened_by text, last_inbound_at timestamptz,"
    " waiting_since timestamptz, last_word text"
)
_NAMES = [column.split()[0] for column in _CHAT.split(", ")]
_ARRAYS = ", ".join(f"${n}::{column.split()[1]}[]" for n, column in enumerate(_CHAT.split(", "), 1))


async def main(count: int, path: Path) -> None:
    """Write ``count`` messages' rows and print the measurement."""
    settings = PlatformSettings()
    sample = load(path)
    chats = cycle([_timed(chat) for chat in sample.chats])
    answers = cycle(sample.published)
    timers = cycle([(timer["kind"], datetime.fromisoformat(timer["at"])) for timer in sample.timers])
    connection = await asyncpg.connect(
        settings.database_url,
        server_settings={"search_path": "routing", "jit": "off", "plan_cache_mode": "force_custom_plan"},
    )
    agents = [f"agent-{number:03}" for number in range(AGENTS)]
    await connection.execute(
        "insert into agents (tenant_id, agent_id) select $1, unnest($2::text[])", TENANT, agents
    )
    await connection.execute("insert into departments values ($1, $2)", TENANT, DEPARTMENT)
    published: list[int] = []
    started, cpu = time.perf_counter(), time.process_time()
    for first in range(0, count, BATCH):
        pairs = [f"{TENANT}:whatsapp:+4930901820:+27{number:09}" for number in range(first, first + BATCH)]
        batch = [
            {**chat, "chat_id": f"{chat['chat_id'][:26]}{number:010}", "pair_key": pair}
            for number, (chat, pair) in enumerate(zip(islice(chats, BATCH), pairs, strict=True), first)
        ]
        outbox = [record for records in islice(answers, BATCH) for record in records]
        async with connection.transaction():
            published = await _write(
                connection, pairs, batch, agents, list(islice(timers, BATCH)), outbox, published, first
            )
    tell(Measured(count, time.perf_counter() - started, time.process_time() - cpu))
    await connection.close()


async def _write(  # noqa: PLR0917 - one row kind each
    connection: Any,
    pairs: list[str],
    chats: list[dict[str, Any]],
    agents: list[str],
    timers: list[tuple[str, datetime]],
    outbox: list[tuple[bytes, bytes]],
    published: list[int],
    offset: int,
) -> list[int]:
    digests = sorted(hashlib.blake2b(pair.encode(), digest_size=16).digest() for pair in pairs)
    await connection.fetch(
        "insert into processed_events (digest, seen_at) select unnest($1::bytea[]), $2"
        " on conflict do nothing returning digest",
        digests,
        NOW,
    )
    await connection.execute("insert into pairs select unnest($1::text[]) on conflict do nothing", pairs)
    await connection.fetch("select 1 from pairs where pair_key = any($1) order by pair_key for update", pairs)
    await connection.fetch("select * from chats where pair_key = any($1) and state <> 'closed'", pairs)
    await connection.fetch("select 1 from departments for update")
    await connection.fetch(
        "select * from agents where tenant_id = $1 and agent_id = any($2)"
        " order by agent_id for no key update",
        TENANT,
        agents,
    )
    await connection.execute(
        f"insert into chats ({', '.join(_NAMES)}) select * from unnest({_ARRAYS})",
        *([chat[name] for chat in chats] for name in _NAMES),
    )
    await connection.execute(
        "update agents set load = load + 1, last_assigned_at = $3"
        " where tenant_id = $1 and agent_id = any($2)",
        TENANT,
        agents,
        NOW,
    )
    await connection.execute(
        "insert into due (kind, key, tenant_id, at, sweep) select k, c, $1, a, false"
        " from unnest($2::text[], $3::text[], $4::timestamptz[]) as u(k, c, a)"
        " on conflict (kind, key) do update set at = excluded.at",
        TENANT,
        [kind for kind, _ in timers],
        [f"{TENANT}:{chat['chat_id']}" for chat in chats],
        [at for _, at in timers],
    )
    await connection.execute("delete from outbox where id = any($1::bigint[])", published)
    written = await connection.fetch(
        "insert into outbox (lane, topic, key, value, created_at)"
        " select abs(hashtext(k)) % 64, 'chats.v1', k, v, $3 from unnest($1::text[], $2::bytea[]) as u(k, v)"
        " returning id",
        [key.decode() for key, _ in outbox],
        [value for _, value in outbox],
        NOW,
    )
    await connection.execute(
        "insert into positions (topic, partition, next_offset) values ('inbound-messages.v1', 0, $1)"
        " on conflict (topic, partition) do update set next_offset = excluded.next_offset",
        offset,
    )
    return [row["id"] for row in written]


def _timed(chat: dict[str, Any]) -> dict[str, Any]:
    moments = ("opened_at", "last_inbound_at", "waiting_since")
    return {**chat, **{name: chat[name] and datetime.fromisoformat(chat[name]) for name in moments}}


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
