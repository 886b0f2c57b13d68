"""A batch is a fold (docs/pipeline.md, 1): decode, one transaction, outgoing events in the outbox.

The pipeline is given its transactions, journal and clock, and the outbox is drained elsewhere
(`shared.platform.lanes`), so that a simulation can drive the same code.
"""

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import chain

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import catalogue, cloudevents
from shared.contracts.errors import Rejected
from shared.platform import metrics
from shared.platform.clock import Clock
from shared.platform.faults import is_race, is_timeout, is_transient
from shared.platform.journal import Journal
from shared.platform.letters import dead_letter, outbox_row
from shared.platform.limit import counts, limit_reached
from shared.platform.log import masked
from shared.platform.outcome import Outcome, Rejection
from shared.platform.parking import Parking, Place
from shared.platform.records import (
    Decoded,
    Item,
    Parked,
    Record,
    Tombstone,
    Undecodable,
    next_offsets,
)
from shared.platform.service import Service
from shared.platform.triage import Facts, triage

Transactions = Callable[[], AbstractAsyncContextManager[AsyncConnection]]
Pause = Callable[[float], Awaitable[None]]

ATTEMPTS_OF_A_BUG = 3
RACES = 20
"""Tries of a batch that a unique index turns away, before that counts as a bug."""
TIMEOUTS = 2
"""Tries of a batch that takes too long, before it is halved."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
"""Seconds between tries of a batch whose fault may heal."""


class _OverLimit(Exception):  # noqa: N818 - no fault: the batch is cut there and run again
    """Records of these partitions, from these offsets on, are not to be handled."""

    def __init__(self, stops: Mapping[Place, int]) -> None:
        super().__init__()
        self.stops = stops


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
        self._repeatable = repeatable_of(service)
        self._transactions = transactions
        self._journal = journal
        self._parking = Parking()
        self._clock = clock
        self._pause = pause
        self.wake = wake
        self._log = structlog.get_logger()

    async def run(self, items: Sequence[Item]) -> dict[Place, int]:
        """Handle a decoded batch to its end: on return all of it is handled, passed by or parked, durably.

        Faults that may heal are retried in place; a bug is bisected to the one record that shows it.
        Returns where reading stops, as offsets by partition: a partition that reached the limit of dead
        letters is paused, and its records from there on were left alone.
        """
        stops: dict[Place, int] = {}
        with metrics.BATCH_SECONDS.time():
            await self._settle(items, stops)
        metrics.BATCH_RECORDS.observe(len(items))
        for topic, count in Counter(item.record.topic for item in _before(items, stops)).items():
            metrics.RECORDS_READ.labels(topic).inc(count)
        return stops

    async def _settle(self, items: Sequence[Item], stops: dict[Place, int]) -> None:
        tries = 0
        while items := _before(items, stops):
            tries += 1
            try:
                stops |= await self._transact(items)
            except _OverLimit as over:
                stops |= over.stops
            except Exception as error:  # noqa: BLE001 - sorted right here: heals, or is a bug
                if is_timeout(error) and tries >= TIMEOUTS and len(items) > 1:
                    await self._halve(items, stops)
                    return
                if is_transient(error) or (is_race(error) and tries < RACES):
                    metrics.BATCH_RETRIES.labels(type(error).__name__).inc()
                    self._log.warning("batch_retried", attempt=tries, error=str(error)[:300])
                    await self._pause(backoff(tries, salt=items[0].record.offset))
                elif len(items) > 1:
                    await self._halve(items, stops)
                    return
                elif tries >= ATTEMPTS_OF_A_BUG:
                    stops |= await self._park_poison(items[0], error, tries)
                    return
            else:
                return

    async def _halve(self, items: Sequence[Item], stops: dict[Place, int]) -> None:
        middle = len(items) // 2
        await self._settle(items[:middle], stops)
        await self._settle(items[middle:], stops)

    async def _transact(self, items: Sequence[Item]) -> dict[Place, int]:
        now = self._clock.now()
        async with self._transactions() as tx:
            fate = triage(items, self._handles, await self._facts(tx, items, now), self._repeatable)
            # Before the handlers run, so that parked keys are always locked before a service's own rows.
            new = await self._put_aside(tx, fate.park, now)
            await self._parking.ask_for_closed_gaps(tx, fate.closing, now)
            outcome = Outcome()
            if fate.handle:
                outcome = await self._service.handlers.handle(tx, fate.handle, now)
            new += await self._save(tx, outcome, now)
            await self._journal.save_versions(tx, fate.versions)
            await self._journal.advance(tx, next_offsets(items))
            stops = await self._heed_limit(tx, new, items, now)
        self._tell(new, stops)
        self.wake()
        for item in fate.repeats:
            metrics.RECORDS_REPEATED.labels(item.record.topic).inc()
        return stops

    async def _facts(self, tx: AsyncConnection, items: Sequence[Item], now: datetime) -> Facts:
        """Claim the new events first: a concurrent holder is waited for before anything is read."""
        decoded = [item for item in items if isinstance(item, Decoded)]
        claimed = self._handles - self._repeatable
        return Facts(
            admission=await self._journal.admit(tx, [i for i in decoded if i.event.type in claimed], now),
            blocked=await self._parking.lock_keys(tx, (item.key for item in decoded)),
            versions=await self._journal.versions(tx, (i.version[0] for i in decoded if i.version)),
        )

    async def save(self, tx: AsyncConnection, outcome: Outcome, now: datetime) -> None:
        """Save what handlers returned, in their transaction: events, timers, dead letters."""
        self._tell(await self._save(tx, outcome, now), {})

    async def _save(self, tx: AsyncConnection, outcome: Outcome, now: datetime) -> list[Parked]:
        await self._journal.cancel(tx, outcome.cancel)
        await self._journal.schedule(tx, outcome.schedule)
        if outcome.outgoing or outcome.ended:
            said = chain(map(outbox_row, outcome.outgoing), map(outbox_row, outcome.ended))
            await self._journal.say(tx, said, now)
        return await self._put_aside(tx, [rejected(rejection) for rejection in outcome.rejected], now)

    async def _put_aside(self, tx: AsyncConnection, parked: Sequence[Parked], now: datetime) -> list[Parked]:
        """Park records and say so once, also when a batch is read again whose commit went unanswered."""
        new = await self._parking.park(tx, parked, now)
        if new:
            await self._journal.say(tx, [dead_letter(self._service.name, one, now) for one in new], now)
        return new

    async def _heed_limit(
        self, tx: AsyncConnection, new: Sequence[Parked], items: Sequence[Item], now: datetime
    ) -> dict[Place, int]:
        """Pause partitions that reach the limit with these dead letters; returns where reading stops.

        Raises _OverLimit where more of such a partition is in the batch: nothing behind may be parked.
        """
        letters: dict[Place, list[int]] = {}
        for one in new:
            if counts(one.reason):
                letters.setdefault((one.record.topic, one.record.partition), []).append(one.record.offset)
        if not letters:
            return {}
        counted = await self._parking.counted(tx, {place: min(found) for place, found in letters.items()})
        reached: dict[Place, int] = {}
        for place, found in letters.items():
            if counted[place].paused:  # by the process that has the partition now
                raise _OverLimit({place: 0})
            if (hit := limit_reached(counted[place].offsets - set(found), found)) is not None:
                reached[place] = hit + 1
        if len(_before(items, reached)) < len(items):
            raise _OverLimit(reached)
        await self._parking.pause(tx, reached, now)
        return reached

    def _tell(self, new: Sequence[Parked], stops: Mapping[Place, int]) -> None:
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
        for (topic, partition), offset in stops.items():
            self._log.critical("partition_paused", topic=topic, partition=partition, offset=offset)

    async def _park_poison(self, item: Item, error: Exception, attempts: int) -> dict[Place, int]:
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
            admitted=True,
            version=item.version,
        )
        tries = 0
        while True:
            now = self._clock.now()
            try:
                async with self._transactions() as tx:
                    await self._journal.admit(tx, [item], now)
                    new = await self._put_aside(tx, [poison], now)
                    await self._journal.advance(tx, next_offsets([item]))
                    stops = await self._heed_limit(tx, new, [item], now)
            except _OverLimit as over:
                return dict(over.stops)
            except Exception as fault:
                if not is_transient(fault):
                    raise
                tries += 1
                await self._pause(backoff(tries, salt=item.record.offset))
            else:
                self._tell(new, stops)
                self.wake()
                return stops


def _before(items: Sequence[Item], stops: Mapping[Place, int]) -> Sequence[Item]:
    """Return the items that are before the stop of their partition."""
    if not stops:
        return items
    return [
        item
        for item in items
        if item.record.offset < stops.get((item.record.topic, item.record.partition), item.record.offset + 1)
    ]


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


def backoff(attempt: int, *, salt: int) -> float:
    """Return the pause before the next try, in seconds: doubling, bounded, spread by a salt (no chance)."""
    full: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10))
    spread = zlib.crc32(f"{salt}/{attempt}".encode()) / 0xFFFFFFFF
    return full * (0.5 + 0.5 * spread)


def rejected(rejection: Rejection) -> Parked:
    """Return what is put aside of a rejected input."""
    item = rejection.received
    return Parked(
        item.record,
        item.event.tenant_id,
        catalogue.key_of(item.event),
        rejection.reason,
        rejection.detail,
        blocks_key=False,
        admitted=True,
    )


def repeatable_of(service: Service) -> frozenset[str]:
    """Return the types whose repeats a service handles (see `shared.platform.triage.triage`)."""
    return frozenset(service.handles) & (catalogue.echoes_of(service.name) | set(service.repeatable))


def all_topics(types: Iterable[str]) -> tuple[str, ...]:
    """Return the topics on which these event types travel, sorted."""
    return tuple(sorted({catalogue.topic_of(one) for one in types}))
