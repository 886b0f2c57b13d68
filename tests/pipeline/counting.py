"""A service with nothing of its own: it counts each pair's messages, and says every count once.

What it does beside counting is asked for by the text of a message: `POISON`, `REJECT`, `WAIT`, `BULKY`
and `remind in SECONDS`. Run as a process: ``python -m tests.pipeline.counting PORT``.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

import asyncpg
import uvicorn
from faststream.asgi import AsgiFastStream
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import catalogue
from shared.contracts.actors import Actor
from shared.contracts.agents import AgentChanged
from shared.contracts.chats import ChatMessageAdded
from shared.contracts.content import Text
from shared.contracts.event import Cause, Event, Model
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.pairs import PairRef
from shared.contracts.tickets import TicketNoted
from shared.platform.app import build
from shared.platform.outcome import Due, Outcome, Received, Rejection
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings
from shared.platform.tables import STATEMENTS

NAME = "counting"
DEAD_LETTERS = f"{NAME}.dead-letters.v1"
COUNTS = "chats.v1"
COMPACTED = ("agents.v1",)
HEARS = ("inbound-messages.v1", "outbound-messages.v1", "tickets.v1", "agents.v1")
HANDLES = (
    "chatdesk.message.received.v1",
    "chatdesk.message.send.v1",
    "chatdesk.ticket.noted.v1",
    "chatdesk.agent.changed.v1",
)
POISON = "poison"
REJECT = "reject"
WAIT = "wait"
BULKY = "bulky"
REMIND = "remind in "
GATE = 7001
"""The advisory lock of the database that `WAIT` waits for."""

MENDED = "COUNTING_MENDED"
"""The environment variable of a process in which the bug that `POISON` shows is mended."""

_TABLES = (
    "create table pairs (pair_key text primary key)",
    "create table counters (pair_key text primary key, count bigint not null, remind_at timestamptz)",
    "create table effects (pair_key text, n bigint, message_id text, agents_known bigint)",
    "create table agents (agent_id text primary key, version bigint not null)",
)


class Locking(Enum):
    """How the pairs of a batch are locked: the law, and two ways to break it."""

    BEFORE_READING = auto()
    WHILE_READING = auto()
    NOT_AT_ALL = auto()


@dataclass(slots=True)
class Counter:
    """How many messages of a pair were counted, and when to remind it."""

    count: int = 0
    remind_at: datetime | None = None


@dataclass(slots=True)
class Fold:
    """The working copy of one batch."""

    counters: dict[str, Counter]
    now: datetime
    outcome: Outcome = field(default_factory=Outcome)
    effects: list[tuple[str, int, str]] = field(default_factory=list)
    agents: dict[str, int] = field(default_factory=dict)
    mended: bool = False

    def count(self, cause: Cause, pair_key: str, message_id: str, content: Any) -> None:
        """Count one message and say so, as the next version of the pair's chat."""
        counter = self.counters[pair_key]
        counter.count += 1
        self.effects.append((pair_key, counter.count, message_id))
        pair = Pair.parse(pair_key)
        added = ChatMessageAdded.model_validate(
            {
                "chat_id": pair_key,
                "version": counter.count,
                "assignment_version": 0,
                "state": "queued",
                "pair": PairRef(
                    channel="whatsapp",
                    business_address=pair.business_address,
                    customer_address=pair.customer_address,
                ),
                "customer_id": "somebody",
                "opened_at": self.now,
                "opened_by": "customer",
                "last_word": "customer",
                "message_id": message_id,
                "direction": "inbound",
                "author": Actor(role="customer"),
                "content": content,
                "sent_at": self.now,
                "received_at": self.now,
                "why": {"bulk": "x" * 1_000_001} if wanted(content) == BULKY else None,
            }
        )
        self.outcome.outgoing.append(
            catalogue.fact(
                cause,
                added,
                source=NAME,
                subject=pair_key,
                time=self.now,
                pair_key=pair_key,
                nth=counter.count,
            )
        )

    def take(self, received: Received) -> None:
        """Answer one event."""
        event = received.event
        match event.data:
            case AgentChanged() as agent:
                self.agents[agent.agent_id] = max(agent.version, self.agents.get(agent.agent_id, 0))
            case data:
                content = content_of(data)
                match wanted(content):
                    case word if word == POISON and not self.mended:
                        raise ValueError("nobody can decide on this")
                    case word if word == REJECT:
                        self.outcome.rejected.append(
                            Rejection(received, "unwanted", "it asks to be rejected")
                        )
                        return
                    case word if word.startswith(REMIND):
                        self.remind(event, float(word.removeprefix(REMIND)))
                    case _:
                        pass
                self.count(event.as_cause(), catalogue.key_of(event), message_id_of(data), content)

    def remind(self, event: Event[Model], seconds: float) -> None:
        key = catalogue.key_of(event)
        at = self.now + timedelta(seconds=seconds)
        self.counters[key].remind_at = at
        self.outcome.schedule.append(Due("remind", key, event.tenant_id, at, sweep=seconds == 0))


class Counting:
    """The handlers: lock the pairs, read their counters, fold, save."""

    def __init__(self, locking: Locking = Locking.BEFORE_READING, *, mended: bool = False) -> None:
        self._locking = locking
        self.mended = mended
        """Whether the bug that `POISON` shows is mended."""

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        conversation = [one.event for one in batch if not isinstance(one.event.data, AgentChanged)]
        fold = Fold(await self._counters(tx, {catalogue.key_of(event) for event in conversation}), now)
        fold.mended = self.mended
        if any(wanted(content_of(event.data)) == WAIT for event in conversation):
            await tx.execute(text("select pg_advisory_xact_lock_shared(:gate)"), {"gate": GATE})
        for received in batch:
            fold.take(received)
        await self._save(tx, fold)
        return fold.outcome

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        fold = Fold(await self._counters(tx, {due.key for due in dues}), now)
        for due in dues:
            counter = fold.counters[due.key]
            if counter.remind_at is not None and counter.remind_at <= now:
                counter.remind_at = None
                cause = Cause(due.tenant_id, f"remind/{due.key}/{due.generation}")
                fold.count(cause, due.key, "reminder", Text(text="you asked to be reminded"))
        await self._save(tx, fold)
        return fold.outcome

    async def _counters(self, tx: AsyncConnection, keys: set[str]) -> dict[str, Counter]:
        wanted_keys = {"keys": sorted(keys)}
        await tx.execute(
            text("insert into pairs select * from unnest(cast(:keys as text[])) on conflict do nothing"),
            wanted_keys,
        )
        if self._locking is Locking.WHILE_READING:
            rows = await tx.execute(
                text(
                    "select p.pair_key, c.count, c.remind_at from pairs p"
                    " left join counters c using (pair_key) "
                    "where p.pair_key = any(cast(:keys as text[])) order by p.pair_key for update of p"
                ),
                wanted_keys,
            )
        else:
            if self._locking is Locking.BEFORE_READING:
                await tx.execute(
                    text(
                        "select 1 from pairs where pair_key = any(cast(:keys as text[]))"
                        " order by pair_key for update"
                    ),
                    wanted_keys,
                )
            rows = await tx.execute(
                text(
                    "select pair_key, count, remind_at from counters"
                    " where pair_key = any(cast(:keys as text[]))"
                ),
                wanted_keys,
            )
        found = {key: Counter(count or 0, remind_at) for key, count, remind_at in rows}
        return {key: found.get(key, Counter()) for key in keys}

    async def _save(self, tx: AsyncConnection, fold: Fold) -> None:
        keys = sorted(fold.counters)
        await tx.execute(
            text(
                "insert into counters select * from unnest(cast(:keys as text[]), cast(:counts as bigint[]),"
                " cast(:reminders as timestamptz[])) on conflict (pair_key)"
                " do update set count = excluded.count, remind_at = excluded.remind_at"
            ),
            {
                "keys": keys,
                "counts": [fold.counters[key].count for key in keys],
                "reminders": [fold.counters[key].remind_at for key in keys],
            },
        )
        await tx.execute(
            text(
                "insert into agents select * from unnest(cast(:names as text[]), cast(:versions as bigint[]))"
                " on conflict (agent_id) do update set version = greatest(agents.version, excluded.version)"
            ),
            {"names": sorted(fold.agents), "versions": [fold.agents[name] for name in sorted(fold.agents)]},
        )
        await tx.execute(
            text(
                "insert into effects select k, n, m, (select count(*) from agents) from"
                " unnest(cast(:keys as text[]), cast(:ns as bigint[]), cast(:ids as text[])) as u(k, n, m)"
            ),
            {
                "keys": [key for key, _, _ in fold.effects],
                "ns": [n for _, n, _ in fold.effects],
                "ids": [message_id for _, _, message_id in fold.effects],
            },
        )


def content_of(data: Model) -> Any:
    match data:
        case MessageReceived(content=content) | MessageSend(content=content):
            return content
        case TicketNoted(note=note):
            return Text(text=note)
        case _:
            raise TypeError(f"{type(data).__name__} is not counted")


def wanted(content: Any) -> str:
    """Return the text of a content, which may ask for more than counting."""
    return content.text if isinstance(content, Text) else ""


def message_id_of(data: Model) -> str:
    match data:
        case MessageReceived(provider_message_id=message_id) | MessageSend(request_id=message_id):
            return message_id
        case TicketNoted(ticket_id=ticket_id, version=version):
            return f"{ticket_id}/{version}"
        case _:
            raise TypeError(f"{type(data).__name__} is not counted")


async def create_schema(database_url: str, schema: str = NAME) -> None:
    """Create the schema as migrations would."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": schema})
    try:
        await connection.execute(";".join([f"create schema {schema}", *STATEMENTS, *_TABLES]))
    finally:
        await connection.close()


def create_app(platform: PlatformSettings | None = None) -> AsgiFastStream:
    return build(
        Service(NAME, Counting(mended=MENDED in os.environ), handles=HANDLES), platform or PlatformSettings()
    )


if __name__ == "__main__":
    uvicorn.run(create_app(), port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=30)
