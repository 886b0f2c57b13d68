"""A batch is a fold (docs/pipeline.md, 1): decode, one transaction, outgoing events in the outbox.

The pipeline is given its transactions, journal and clock, and the outbox is drained elsewhere
(`shared.platform.lanes`), so that a simulation can drive the same code.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import catalogue, cloudevents
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.errors import Rejected
from shared.contracts.event import Cause, Event, Model, derived_id
from shared.platform import metrics
from shared.platform.clock import Clock
from shared.platform.faults import is_race, is_timeout, is_transient
from shared.platform.journal import Journal, OutboxRow
from shared.platform.log import masked
from shared.platform.outcome import Outcome, Rejection
from shared.platform.records import (
    Decoded,
    Item,
    Parked,
    Record,
    Tombstone,
    Undecodable,
    next_offsets,
    readable,
    readable_headers,
)
from shared.platform.service import Service
from shared.platform.tables import LANES
from shared.platform.triage import Facts, triage

Transactions = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
Pause = Callable[[float], Awaitable[None]]

LARGEST_EVENT = 1_000_000
"""Bytes. A larger event fails in the handler, where it can be parked, not in the drain."""
LARGEST_KEPT = 512 * 1024
"""Bytes of an original record that a dead letter carries; above it, only where to find it."""
ATTEMPTS_OF_A_BUG = 3
RACES = 20
"""Tries of a batch that a unique index turns away, before that counts as a bug."""
TIMEOUTS = 2
"""Tries of a batch that takes too long, before it is halved."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
"""Seconds between tries of a batch whose fault may heal."""


class Pipeline:
    """Runs batches of records through one service's handlers, each in one transaction."""

    def __init__(
        self,
        *,
        service: Service,
        transactions: Transactions,
        journal: Journal,
        clock: Clock,
        pause: Pause = asyncio.sleep,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._service = service
        self._handles = frozenset(service.handles)
        self._repeatable = self._handles & (catalogue.echoes_of(service.name) | set(service.repeatable))
        self._transactions = transactions
        self._journal = journal
        self._clock = clock
        self._pause = pause
        self.wake = wake
        self._log = structlog.get_logger()

    async def run(self, records: Sequence[Record]) -> None:
        """Handle a batch to its end: on return every record is handled, passed by or parked, durably.

        Faults that may heal are retried in place; a bug is bisected to the one record that shows it.
        """
        with metrics.BATCH_SECONDS.time():
            items = [decode(record) for record in records]
            await self._settle(items)
        metrics.BATCH_RECORDS.observe(len(items))
        for item in items:
            metrics.RECORDS_READ.labels(item.record.topic).inc()

    async def _settle(self, items: Sequence[Item]) -> None:
        tries = 0
        while True:
            tries += 1
            try:
                await self._transact(items)
            except Exception as error:  # noqa: BLE001 - sorted right here: heals, or is a bug
                if is_timeout(error) and tries >= TIMEOUTS and len(items) > 1:
                    await self._halve(items)
                    return
                if is_transient(error) or (is_race(error) and tries < RACES):
                    metrics.BATCH_RETRIES.labels(type(error).__name__).inc()
                    self._log.warning("batch_retried", attempt=tries, error=str(error)[:300])
                    await self._pause(backoff(tries, salt=items[0].record.offset))
                elif len(items) > 1:
                    await self._halve(items)
                    return
                elif tries >= ATTEMPTS_OF_A_BUG:
                    await self._park_poison(items[0], error, tries)
                    return
            else:
                return

    async def _halve(self, items: Sequence[Item]) -> None:
        middle = len(items) // 2
        await self._settle(items[:middle])
        await self._settle(items[middle:])

    async def _transact(self, items: Sequence[Item]) -> None:
        now = self._clock.now()
        async with self._transactions() as tx:
            fate = triage(items, self._handles, await self._facts(tx, items, now), self._repeatable)
            outcome = Outcome()
            if fate.handle:
                outcome = await self._service.handlers.handle(tx, fate.handle, now)
            await self.save(tx, outcome, now)
            await self._put_aside(tx, fate.park, now)
            await self._journal.save_versions(tx, fate.versions)
            await self._journal.advance(tx, next_offsets(items))
        self.wake()
        for item in fate.repeats:
            metrics.RECORDS_REPEATED.labels(item.record.topic).inc()

    async def _facts(self, tx: AsyncConnection, items: Sequence[Item], now: datetime) -> Facts:
        """Claim the new events first: a concurrent holder is waited for before anything is read."""
        decoded = [item for item in items if isinstance(item, Decoded)]
        claimed = self._handles - self._repeatable
        return Facts(
            admission=await self._journal.admit(tx, [i for i in decoded if i.event.type in claimed], now),
            blocked=await self._journal.blocked_keys(tx, (item.key for item in decoded)),
            versions=await self._journal.versions(tx, (i.version[0] for i in decoded if i.version)),
        )

    async def save(self, tx: AsyncConnection, outcome: Outcome, now: datetime) -> None:
        """Save what handlers returned, in their transaction: events, timers, dead letters."""
        await self._journal.cancel(tx, outcome.cancel)
        await self._journal.schedule(tx, outcome.schedule)
        await self._journal.say(tx, [outbox_row(event) for event in outcome.outgoing], now)
        await self._put_aside(tx, [_rejected(rejection) for rejection in outcome.rejected], now)

    async def _put_aside(self, tx: AsyncConnection, parked: Sequence[Parked], now: datetime) -> None:
        """Park records and say so once, also when a batch is read again whose commit went unanswered."""
        new = await self._journal.park(tx, parked, now)
        await self._journal.say(tx, [dead_letter(self._service.name, one, now) for one in new], now)
        for one in new:
            count = metrics.RECORDS_PARKED if one.blocks_key else metrics.RECORDS_REJECTED
            count.labels(one.record.topic, one.reason).inc()
            self._log.warning(
                "record_parked",
                topic=one.record.topic,
                partition=one.record.partition,
                offset=one.record.offset,
                reason=one.reason,
                blocks_key=one.blocks_key,
            )

    async def _park_poison(self, item: Item, error: Exception, attempts: int) -> None:
        """Put the one record that a decision chokes on aside, with its key."""
        self._log.error("decision_raised", exc_info=error, topic=item.record.topic, offset=item.record.offset)
        if not isinstance(item, Decoded):  # no handler saw it, so the fault is ours: stop rather than skip
            raise error
        poison = Parked(
            record=item.record,
            tenant_id=item.event.tenant_id,
            key=item.key,
            reason="handler_failed",
            detail=masked(f"{type(error).__name__}: {error}"[:1000]),
            blocks_key=True,
            attempts=attempts,
        )
        tries = 0
        while True:
            now = self._clock.now()
            try:
                async with self._transactions() as tx:
                    await self._journal.admit(tx, [item], now)
                    await self._put_aside(tx, [poison], now)
                    await self._journal.advance(tx, next_offsets([item]))
            except Exception as fault:
                if not is_transient(fault):
                    raise
                tries += 1
                await self._pause(backoff(tries, salt=item.record.offset))
            else:
                self.wake()
                return


def decode(record: Record) -> Item:
    """Decode one record alone, so that a broken neighbour costs it nothing."""
    if record.value is None and catalogue.is_compacted(record.topic):
        return Tombstone(record)
    try:
        event = cloudevents.decode(record.value, record.headers)
        if (home := catalogue.topic_of(event.type)) != record.topic:
            raise Rejected("wrong_topic", f"{event.type} belongs on {home}")  # noqa: TRY301
        return Decoded(
            record=record,
            event=event,
            key=catalogue.key_of(event),
            digest=catalogue.digest_of(event),
            body=catalogue.body_of(event),
            version=catalogue.version_of(event),
        )
    except Rejected as error:
        return Undecodable(record, error)
    except Exception as error:  # noqa: BLE001 - a bug in decoding must not hold up the neighbours
        return Undecodable(record, Rejected("decoding_failed", f"{type(error).__name__}: {error}"[:1000]))


def outbox_row(event: Event[Model]) -> OutboxRow:
    """Encode an event for its lane. Raises ValueError when it is larger than a topic takes."""
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


def backoff(attempt: int, *, salt: int) -> float:
    """Return the pause before the next try, in seconds: doubling, bounded, spread by a salt (no chance)."""
    full: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10))
    spread = zlib.crc32(f"{salt}/{attempt}".encode()) / 0xFFFFFFFF
    return full * (0.5 + 0.5 * spread)


def _rejected(rejection: Rejection) -> Parked:
    item = rejection.received
    key = catalogue.key_of(item.event)
    return Parked(
        item.record, item.event.tenant_id, key, rejection.reason, rejection.detail, blocks_key=False
    )


def all_topics(types: Iterable[str]) -> tuple[str, ...]:
    """Return the topics on which these event types travel, sorted."""
    return tuple(sorted({catalogue.topic_of(one) for one in types}))
