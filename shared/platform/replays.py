"""Replays and drops what was put aside, when somebody asks for it (docs/pipeline.md, 4).

Any replica may do it. A replay runs the same triage and handlers as a batch and differs in one point: its
events were seen before, which makes them no repeats. A key is replayed in order and released only when
nothing waits behind it, under the lock that parking behind it takes too (`shared.platform.parking`).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform import metrics
from shared.platform.asides import Aside, Asides, Asked, in_order
from shared.platform.clock import Clock
from shared.platform.faults import is_race, is_timeout, is_transient
from shared.platform.journal import Journal
from shared.platform.letters import end_of_letter
from shared.platform.log import masked
from shared.platform.outcome import Outcome, Rejection
from shared.platform.parking import Parking
from shared.platform.pipeline import RACES, Pipeline, Transactions, backoff, decode, repeatable_of
from shared.platform.records import Decoded, Tombstone, Undecodable
from shared.platform.service import Service
from shared.platform.triage import Admission, Facts, Fate, triage

POLL_SECONDS = 0.25
MEASURE_SECONDS = 5.0
SLICE = 100
"""Events of a key in one transaction; after a fault they go one by one."""


@dataclass(slots=True)
class Step:
    """What one transaction of a replay did."""

    replayed: list[Aside] = field(default_factory=list)
    failed: list[tuple[Aside, str]] = field(default_factory=list)
    """Records that stay aside, with the reason of this try."""
    rejected: list[tuple[Aside, str]] = field(default_factory=list)
    """Records of a key that a rule rejects: they hold it up no more."""
    finished: bool = True


class Replays:
    """One process's share of what was asked of a service's dead letters."""

    def __init__(
        self,
        *,
        service: Service,
        transactions: Transactions,
        journal: Journal,
        pipeline: Pipeline,
        clock: Clock,
    ) -> None:
        self._service = service
        self._handles = frozenset(service.handles)
        self._repeatable = repeatable_of(service)
        self._transactions = transactions
        self._journal = journal
        self._parking = Parking()
        self._asides = Asides()
        self._pipeline = pipeline
        self._clock = clock
        self._measured = float("-inf")
        self._log = structlog.get_logger()

    async def run(self, stopping: asyncio.Event) -> None:
        """Do what is asked until stopping. Faults that may heal are waited out; what was asked stays so."""
        failures = 0
        while not stopping.is_set():
            try:
                progress = await self.once()
                await self._measure()
            except Exception as error:
                if not is_transient(error):
                    raise
                failures += 1
                self._log.warning("replays_retried", attempt=failures, error=str(error)[:300])
                await asyncio.sleep(backoff(failures, salt=SLICE))
                continue
            failures = 0
            if not progress:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await stopping.wait()

    async def once(self) -> bool:
        """Do what is asked for now. Returns whether anything came of it.

        What takes too long is tried again in the next round and holds up nothing behind it; its error is
        raised at the end of this one.
        """
        async with self._transactions() as tx:
            drops = await self._asides.asked_records(tx, "drop")
            alone = await self._asides.asked_records(tx, "replay")
            keys = await self._asides.asked_keys(tx)
        asked = [partial(self._act_alone, row_id, "drop", self._drop) for row_id in drops]
        asked += [partial(self._act_alone, row_id, "replay", self._replay_alone) for row_id in alone]
        asked += [partial(self._replay_key, key) for key in keys]
        done, late = False, None
        for act in asked:
            try:
                done = await act() or done
            except Exception as error:
                if not is_timeout(error):
                    raise
                late = error
        if late is not None:
            raise late
        return done

    async def _act_alone(self, row_id: int, asked: str, act: Callable[[int], Awaitable[bool]]) -> bool:
        """Replay a record alone, or drop one; where that raises for good, count a failed try."""
        races = 0
        while True:
            try:
                return await act(row_id)
            except Exception as error:
                if is_race(error) and races < RACES:
                    races += 1
                elif is_transient(error):
                    raise
                else:
                    return await self._fail_alone(row_id, asked, error)

    async def _fail_alone(self, row_id: int, asked: str, error: Exception) -> bool:
        self._log.error("replay_raised", exc_info=error)
        reason = "handler_failed" if asked == "replay" else "drop_failed"
        async with self._transactions() as tx:
            one = await self._asides.lock_record(tx, row_id, asked)
            if one is None:
                return False
            await self._asides.fail(tx, row_id, reason, masked(f"{type(error).__name__}: {error}"[:1000]))
        self._tell(Step(failed=[(one, reason)]))
        return True

    async def _replay_key(self, key: str) -> bool:
        """Replay a key until it is empty, or an event of it fails. Returns whether anything came of it."""
        size, races, done = SLICE, 0, False
        while True:
            try:
                async with self._transactions() as tx:
                    step = await self._fold_key(tx, key, size)
            except Exception as error:
                if size > 1 and (is_timeout(error) or not is_transient(error)):
                    size = 1
                elif is_race(error) and races < RACES:
                    races += 1
                elif is_transient(error):
                    raise
                else:
                    return await self._fail_first(key, error) or done
            else:
                self._tell(step)
                done = done or step is not None
                if step is None or step.finished:
                    return done

    async def _fold_key(self, tx: AsyncConnection, key: str, size: int) -> Step | None:
        """Fold the next events of a key. None: there is nothing to do, or another process does it."""
        asked = await self._asides.lock_asked(tx, key)
        if asked is None:
            return None
        now = self._clock.now()
        order = in_order(await self._asides.queue(tx, key))
        batch = await self._asides.load(tx, [one.id for one in order[: 1 if asked.past_gaps else size]])
        items = {one.id: decode(one.record) for one in batch}
        readable: list[tuple[Aside, Decoded]] = []
        for one in batch:
            if not isinstance(item := items[one.id], Decoded):
                break
            readable.append((one, item))
        step = Step()
        await self._fold_events(tx, asked, readable, step, now)
        if not step.failed and len(readable) < len(batch):
            unreadable = batch[len(readable)]
            item = items[unreadable.id]
            error = item.error if isinstance(item, Undecodable) else None
            reason, detail = (error.reason, error.detail) if error else ("empty_record", "no value")
            await self._asides.fail(tx, unreadable.id, reason, detail)
            step.failed.append((unreadable, reason))
        step.finished = await self._asides.release(tx, key) or bool(step.failed)
        if step.failed:
            await self._asides.stop_asking(tx, key)
        return step

    async def _fold_events(
        self,
        tx: AsyncConnection,
        asked: Asked,
        events: Sequence[tuple[Aside, Decoded]],
        step: Step,
        now: datetime,
    ) -> None:
        versions = await self._versions(tx, [item for _, item in events], past_gaps=asked.past_gaps)
        items = [item for _, item in events]
        fresh = Admission(frozenset(item.digest for item in items))
        fate, rejections = await self._fold(tx, items, Facts(fresh, frozenset(), versions), now)
        by_record = {one.record: one for one, _ in events}
        stays = {parked.record for parked in fate.park} | {
            rejection.received.record for rejection in rejections
        }
        for rejection in rejections:
            one = by_record[rejection.received.record]
            await self._asides.stand_alone(tx, one.id, rejection.reason, rejection.detail)
            step.rejected.append((one, rejection.reason))
        if fate.park:
            stuck = by_record[fate.park[0].record]
            await self._asides.fail(tx, stuck.id, fate.park[0].reason, fate.park[0].detail)
            step.failed.append((stuck, fate.park[0].reason))
        await self._end(tx, [one for one, _ in events if one.record not in stays], asked.by, step, now)

    async def _fold(
        self, tx: AsyncConnection, items: Sequence[Decoded], facts: Facts, now: datetime
    ) -> tuple[Fate, list[Rejection]]:
        """Do what a batch does with these events; what a rule rejects is returned, not put aside again."""
        fate = triage(items, self._handles, facts, self._repeatable)
        outcome = Outcome()
        if fate.handle:
            outcome = await self._service.handlers.handle(tx, fate.handle, now)
        rejections, outcome.rejected = outcome.rejected, []
        await self._pipeline.save(tx, outcome, now)
        await self._journal.save_versions(tx, fate.versions)
        return fate, rejections

    async def _versions(
        self, tx: AsyncConnection, items: Sequence[Decoded], *, past_gaps: bool
    ) -> Mapping[str, int]:
        wanted = dict(item.version for item in items if item.version)
        last = await self._journal.versions(tx, wanted)
        if not past_gaps:
            return last
        return {subject: max(version, wanted[subject] - 1) for subject, version in last.items()}

    async def _end(
        self, tx: AsyncConnection, ended: Sequence[Aside], by: str | None, step: Step, now: datetime
    ) -> None:
        await self._asides.remove(tx, [one.id for one in ended])
        if letters := [end_of_letter(self._service.name, one, now, by=by) for one in ended]:
            await self._journal.say(tx, letters, now)
        step.replayed += ended

    async def _fail_first(self, key: str, error: Exception) -> bool:
        """Count a failed try of a key's first event, at which a decision raises; the rest waits on."""
        self._log.error("replay_raised", exc_info=error)
        detail = masked(f"{type(error).__name__}: {error}"[:1000])
        async with self._transactions() as tx:
            if await self._asides.lock_asked(tx, key) is None:
                return False
            first = in_order(await self._asides.queue(tx, key))[:1]
            stuck = await self._asides.load(tx, [one.id for one in first])
            for one in stuck:
                await self._asides.fail(tx, one.id, "handler_failed", detail)
            await self._asides.stop_asking(tx, key)
        self._tell(Step(failed=[(one, "handler_failed") for one in stuck]))
        return True

    async def _replay_alone(self, row_id: int) -> bool:
        async with self._transactions() as tx:
            one = await self._asides.lock_record(tx, row_id, "replay")
            if one is None:
                return False
            step = await self._fold_alone(tx, one)
        self._tell(step)
        return True

    async def _fold_alone(self, tx: AsyncConnection, one: Aside) -> Step:
        """Handle a record behind which nothing waits, unless its key is parked: then it queues up there."""
        now = self._clock.now()
        item, step = decode(one.record), Step()
        if isinstance(item, Undecodable):
            await self._asides.fail(tx, one.id, item.error.reason, item.error.detail)
            step.failed.append((one, item.error.reason))
            return step
        if isinstance(item, Tombstone):
            await self._end(tx, [one], one.asked_by, step, now)
            return step
        admission = await self._admit(tx, one, item, now)
        admitted = item.digest in admission.fresh
        blocked = await self._parking.lock_keys(tx, [item.key])
        versions = await self._journal.versions(tx, [item.version[0]] if item.version else [])
        fate, rejections = await self._fold(tx, [item], Facts(admission, blocked, versions), now)
        parked = [(left.reason, left.detail, left.blocks_key) for left in fate.park]
        parked += [(left.reason, left.detail, False) for left in rejections]
        if not parked:
            await self._end(tx, [one], one.asked_by, step, now)
            return step
        reason, detail, blocks = parked[0]
        if blocks:
            await self._parking.block(tx, [item.key])
            await self._asides.queue_up(tx, one, item.key, item.event.tenant_id, item.version)
        else:
            await self._asides.fail(tx, one.id, reason, detail, admitted=admitted)
            step.failed.append((one, reason))
        return step

    async def _admit(self, tx: AsyncConnection, one: Aside, item: Decoded, now: datetime) -> Admission:
        """What was seen when it was put aside is no repeat; what could not be read then may be one by now."""
        if one.admitted or item.event.type not in self._handles - self._repeatable:
            return Admission(frozenset({item.digest}))
        return await self._journal.admit(tx, [item], now)

    async def _drop(self, row_id: int) -> bool:
        """Drop a record as if it had been handled: the next version of its chat or ticket may follow it."""
        now = self._clock.now()
        async with self._transactions() as tx:
            looked_at = await self._asides.load(tx, [row_id])
            await self._parking.lock_keys(tx, [one.key for one in looked_at if one.blocks_key])
            one = await self._asides.lock_record(tx, row_id, "drop")
            if one is None:
                return False
            item = decode(one.record)
            if one.blocks_key and isinstance(item, Decoded) and item.version:
                subject, version = item.version
                if (await self._journal.versions(tx, [subject])).get(subject) == version - 1:
                    await self._journal.save_versions(tx, {subject: version})
            await self._asides.mark_dropped(tx, row_id, now)
            if one.blocks_key:
                await self._asides.release(tx, one.key)
            why = one.asked_why or ""
            letter = end_of_letter(self._service.name, one, now, by=one.asked_by, dropped_because=why)
            await self._journal.say(tx, [letter], now)
        metrics.DEAD_LETTERS_DROPPED.labels(one.record.topic).inc()
        self._log.warning("dead_letter_dropped", **_place(one), by=one.asked_by, why=one.asked_why)
        self._pipeline.wake()
        return True

    def _tell(self, step: Step | None) -> None:
        if step is None:
            return
        for one in step.replayed:
            metrics.DEAD_LETTERS_REPLAYED.labels(one.record.topic).inc()
            self._log.info("dead_letter_replayed", **_place(one), by=one.asked_by)
        for one, reason in step.failed + step.rejected:
            metrics.REPLAYS_FAILED.labels(one.record.topic, reason).inc()
            self._log.warning("replay_failed", **_place(one), reason=reason)
        self._pipeline.wake()

    async def _measure(self) -> None:
        if self._clock.monotonic() - self._measured < MEASURE_SECONDS:
            return
        self._measured = self._clock.monotonic()
        async with self._transactions() as tx:
            standing = await self._parking.standing(tx)
        metrics.PARKED_KEYS.set(standing.keys)
        age = 0.0 if standing.oldest is None else (self._clock.now() - standing.oldest).total_seconds()
        metrics.PARKED_OLDEST_SECONDS.set(age)


def _place(one: Aside) -> dict[str, str | int]:
    return {"topic": one.record.topic, "partition": one.record.partition, "offset": one.record.offset}
