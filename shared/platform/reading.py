"""Reads Kafka in batches through FastStream: raw records in, explicit commits after the database.

The `positions` table is the truth about how far a service has read; Kafka's committed offset is the
hint that lag tools look at. Positions also tell how far in *time* everything was read, which is the
clock that timers go by (docs/pipeline.md, 5).
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaAckableMessage

from shared.contracts import catalogue
from shared.platform import metrics
from shared.platform.clock import Clock
from shared.platform.faults import is_transient
from shared.platform.handover import HandOver
from shared.platform.journal import Journal
from shared.platform.observer import Observer
from shared.platform.parking import Parking
from shared.platform.pausing import Pausing
from shared.platform.pipeline import Pipeline, Transactions, backoff, decode
from shared.platform.records import Item, Record
from shared.platform.watchdog import Place, Watchdog

DRAIN_SECONDS = 10.0
WATCH_SECONDS = 0.25
LOOK_SECONDS = 5.0
OUT_OF_TOUCH_SECONDS = 10.0
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 2_000
BATCH_TIMEOUT_MS = 10
DECODED_AT_ONCE = 50
"""Records; about a millisecond."""


class WentBack(Exception):  # noqa: N818 - the house word, beside Rejected
    """The database stands before what was read: it was restored, or is another one."""


class Stuck(Exception):  # noqa: N818 - the house word, beside Rejected
    """The consumer reads nothing although there is something to read, and the broker answers."""


class Reader(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One service's reading of its topics: assignment, batches, positions, and the cold-start barrier."""

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Sequence[str],
        *,
        bootstrap: str,
        group: str,
        prefix: str,
        batch_records: int,
        pipeline: Pipeline,
        transactions: Transactions,
        journal: Journal,
        clock: Clock,
        stuck_seconds: float,
        refuses_to_go_back: bool = False,
    ) -> None:
        self._topics = tuple(topics)
        self._observer = Observer(bootstrap)
        self._prefix = prefix
        self._pipeline = pipeline
        self._transactions = transactions
        self._journal = journal
        self._clock = clock
        self._batch_records = batch_records
        self._settling: asyncio.Task[None] | None = None
        """The newest batch; it waits for the one before it."""
        self._idle = asyncio.Event()
        """Set while every batch that was handed over is settled."""
        self._idle.set()
        self._ending = False
        self._taken_up = asyncio.Event()
        """Set while the partitions are ours and stand where the database says."""
        self._assignments = 0
        self._committed: dict[Place, int] = {}
        self._next: dict[Place, int] = {}
        """Behind what is settled."""
        self._handed: dict[Place, int] = {}
        """Behind what was handed over."""
        self._asked: dict[Place, tuple[datetime, int]] = {}
        self._begun = self._settled = 0
        self._quiet: dict[Place, tuple[int, int]] = {}
        self._barrier: dict[Place, int] | None = None
        self._refuses_to_go_back = refuses_to_go_back
        self._watchdog = Watchdog(stuck_seconds)
        self._parking = Parking()
        self.pausing = Pausing()
        self._handover: HandOver | None = None
        self._looked_at = float("-inf")
        self._read_up_to: datetime | None = None
        self._rebalancing = False
        """Set while we ourselves hold a rebalance up: a batch is drained, or partitions are taken up."""
        self.caught_up = not any(catalogue.is_compacted(topic) for topic in topics)
        self.failure: BaseException | None = None
        self._log = structlog.get_logger()
        self._subscriber: Any = broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=group,
            batch=True,
            max_records=batch_records,
            batch_timeout_ms=BATCH_TIMEOUT_MS,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            ack_policy=AckPolicy.MANUAL,
            parser=_raw,
            decoder=_pass_through,
            listener=self,
            partition_assignment_strategy=(RangePartitionAssignor,),
            no_reply=True,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        self._subscriber(self._on_batch)

    @property
    def assigned(self) -> bool:
        """Whether the group has answered with an assignment (it may be empty)."""
        return self._barrier is not None

    @property
    def readable(self) -> bool:
        """Whether no partition stands still at a record that the client cannot unpack."""
        return self._handover is None or not self._handover.unreadable

    @property
    def in_touch(self) -> bool:
        """Whether the broker, and the database with it, answered us lately."""
        return self._clock.monotonic() - self._looked_at < OUT_OF_TOUCH_SECONDS

    async def _on_batch(self, records: Sequence[Any]) -> None:
        """Settle one batch; behind a full one, take the next over and decode it meanwhile.

        A batch that is not full is waited for: the next would miss what arrives until then.

        aiokafka hands records over as soon as partitions are assigned, from wherever Kafka's committed offset
        points. Such a batch waits and is let go: by then every partition was sought to its position.
        """
        if self._ending or self.failure is not None:
            return
        if not self._taken_up.is_set():
            await self._taken_up.wait()
            return
        before = self._settling
        batch = [self._record(one) for one in records]
        self._handed |= _ends(batch)
        self._begun += 1
        self._idle.clear()
        self._settling = asyncio.create_task(self._settle(batch, before))
        if len(batch) < self._batch_records:
            await self._settling
        elif before is not None:
            await before

    async def _settle(self, batch: Sequence[Record], before: asyncio.Task[None] | None) -> None:
        """Run one batch. A failure is remembered and stops the process: the next commit would cover it."""
        assignments = self._assignments
        try:
            items = await _decoded(batch)
            if before is not None:
                await before
            if self._is_steady(assignments):
                await self._run(items, assignments)
        except Exception as error:  # noqa: BLE001 - handed to the supervisor, which ends the process
            self.failure = error
            self._log.critical("batch_lost_its_way", exc_info=error)
        finally:
            self._settled += 1
            if self._settled == self._begun:
                self._idle.set()

    async def _run(self, items: Sequence[Item], assignments: int) -> None:
        """Handle what is to be handled of a batch, and move on behind it."""
        # What was handed over before its partition was paused is read again when that is resumed.
        mine = [item for item in items if (item.record.topic, item.record.partition) not in self.pausing]
        if not mine:
            return
        stops = await self._pipeline.run(mine)
        ends = _ends(self.pausing.left([item.record for item in mine], stops))
        if self._assignments == assignments:  # else it outlived the drain, and somebody begins where it ended
            self._next |= {place: max(end, self._next.get(place, 0)) for place, end in ends.items()}
            await self._commit(ends)
        # Last: nobody can resume a partition before the next batch has seen that it is paused.
        self._pause(stops)

    async def _drain(self) -> None:
        """Let the running batch finish, bounded, and begin no other until partitions are taken up."""
        self._taken_up.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()

    async def end(self) -> None:
        """Let the running batch finish, bounded, and take no other over."""
        self._ending = True
        if (consumer := self._subscriber.consumer) is not None:
            consumer.pause(*consumer.assignment())
        await self._drain()

    def _record(self, one: Any) -> Record:
        topic = one.topic.removeprefix(self._prefix)
        return Record(topic, one.partition, one.offset, one.key, one.value, tuple(one.headers))

    def _pause(self, places: Iterable[Place]) -> None:
        """Fetch no more of these partitions; the database remembers that they are paused."""
        consumer = self._subscriber.consumer
        mine = consumer.assignment().intersection(map(self._partition, places))
        self.pausing.begin(map(self._place, mine))
        consumer.pause(*mine)

    async def _resume(self, consumer: AIOKafkaConsumer) -> None:
        """Read on where somebody has resumed a partition, from where it was paused."""
        assignments = self._assignments
        # Taken before the database is asked: what a batch pauses meanwhile is not in its answer.
        known = self.pausing.places()
        async with self._transactions() as tx:
            paused = await self._parking.paused(tx)
        if not self._is_steady(assignments):
            return
        for place in sorted(known.difference(paused)):
            tp = self._partition(place)
            consumer.seek(tp, self._next[place])
            self._handed[place] = self._next[place]
            self._quiet.pop(place, None)
            self.pausing.end([place])
            if self.caught_up or catalogue.is_compacted(place[0]):
                consumer.resume(tp)
            self._log.warning("partition_resumed", topic=place[0], partition=place[1])

    async def _commit(self, ends: Mapping[Place, int]) -> None:
        """Tell Kafka how far was read; it is only the hint that lag tools look at, the positions hold."""
        if not ends:
            return
        wanted = {self._partition(place): end for place, end in ends.items()}
        try:
            await self._subscriber.consumer.commit(wanted)
        except (IllegalStateError, CommitFailedError, KafkaError) as error:
            # Lost in a rebalance or to a broker's trouble; a look soon after says it again.
            self._log.info("commit_skipped", error=type(error).__name__)
        else:
            self._committed.update(ends)

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Let the running batch finish, bounded, before the partitions go to somebody else."""
        self._rebalancing = True
        await self._drain()
        self._rebalancing = False
        self._assignments += 1
        self._quiet.clear()
        self._committed.clear()
        self.pausing.end(map(self._place, revoked))
        if self._handover is not None:
            self._handover.unreadable.clear()
        for place in map(self._place, revoked):
            self._next.pop(place, None)
            self._handed.pop(place, None)
            self._asked.pop(place, None)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Start every partition where the database says, whatever Kafka's committed offset is."""
        metrics.REBALANCES.inc()
        self._rebalancing = True
        attempt = 0
        while True:
            try:
                await self._take_up(sorted(assigned))
            except Exception as error:
                if not is_transient(error) and not isinstance(error, KafkaError):
                    self.failure = error
                    raise
                attempt += 1
                self._log.warning("assignment_retried", error=str(error)[:300])
                await asyncio.sleep(backoff(attempt, salt=len(assigned)))
            else:
                self._rebalancing = False
                return

    async def _take_up(self, assigned: Sequence[TopicPartition]) -> None:
        consumer: AIOKafkaConsumer = self._subscriber.consumer
        if self._handover is None:
            self._handover = HandOver(consumer, lambda tp: self._handed.get(self._place(tp)))
            consumer.getmany = self._handover.getmany
        everything = [
            TopicPartition(self._prefix + topic, partition)
            for topic in self._topics
            for partition in sorted(consumer.partitions_for_topic(self._prefix + topic) or ())
        ]
        # Asked before the positions, which are written first: only a restored database is behind it.
        offsets = await asyncio.gather(*map(consumer.committed, everything))
        committed = dict(zip(map(self._place, everything), offsets, strict=True))
        async with self._transactions() as tx:
            await self._journal.know_partitions(tx, map(self._place, everything))
            known = await self._journal.positions(tx)
            paused = await self._parking.paused(tx)
            self._read_up_to = await self._journal.read_up_to(tx, self._topics)
        self._look_back(committed, known)
        begins = await consumer.beginning_offsets(assigned) if assigned else {}
        ends = await consumer.end_offsets(assigned) if assigned else {}
        if self._barrier is None:
            compacted = [tp for tp in everything if catalogue.is_compacted(self._place(tp)[0])]
            found = await self._observer.log_ends(compacted)
            self._barrier = {self._place(tp): end for tp, end in found.items() if end > 0}
        # From here on nothing is awaited: a record handed over between a seek and the end would be let go.
        for tp in assigned:
            start = self._start(self._place(tp), known, begins[tp], ends[tp])
            consumer.seek(tp, start)
            self._next[self._place(tp)] = self._handed[self._place(tp)] = start
        if not self.caught_up:
            consumer.pause(*(tp for tp in assigned if not catalogue.is_compacted(self._place(tp)[0])))
        self.pausing.begin(place for place in paused if place in self._next)
        consumer.pause(*(tp for tp in assigned if self._place(tp) in self.pausing))
        self._taken_up.set()

    def _look_back(self, committed: Mapping[Place, int | None], known: Mapping[Place, int | None]) -> None:
        """Say how far a restored database is behind what was read; end where that must not be repeated."""
        behind = {
            f"{topic}/{partition}": (known.get((topic, partition)) or 0, offset)
            for (topic, partition), offset in committed.items()
            if offset is not None and offset > (known.get((topic, partition)) or 0)
        }
        if not behind:
            return
        self._log.error("database_is_behind_what_was_read", position_and_committed=behind)
        if self._refuses_to_go_back:
            raise WentBack(
                f"the database stands before what was read: {dict(sorted(behind.items())[:3])};"
                " was it restored? docs/pipeline.md, 8"
            )

    def _start(self, place: Place, known: Mapping[Place, int | None], begin: int, end: int) -> int:
        wanted = known.get(place)
        if wanted is None:
            return begin
        if wanted < begin:
            metrics.RECORDS_EXPIRED.labels(place[0]).inc(begin - wanted)
            self._log.error(
                "records_expired_unread", topic=place[0], partition=place[1], count=begin - wanted
            )
            return begin
        if wanted > end:
            self._log.error(
                "topic_shorter_than_position", topic=place[0], partition=place[1], position=wanted
            )
            return begin
        return wanted

    def _place(self, tp: TopicPartition) -> Place:
        return (tp.topic.removeprefix(self._prefix), tp.partition)

    def _reads(self, place: Place) -> bool:
        return place in self._next and place not in self.pausing

    def _partition(self, place: Place) -> TopicPartition:
        return TopicPartition(self._prefix + place[0], place[1])

    async def watch(self, stopping: asyncio.Event) -> None:
        """Keep `read_up_to` growing, idle or not, open the barrier once the facts are read, find us stuck."""
        try:
            while not stopping.is_set():
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._look()
                except Exception as error:
                    if not is_transient(error) and not isinstance(error, KafkaError | IllegalStateError):
                        raise
                    self._log.info("watch_skipped", error=str(error)[:200])
                else:
                    self._looked_at = self._clock.monotonic()
                if self._read_up_to is not None:
                    metrics.READ_LAG_SECONDS.set((self._clock.now() - self._read_up_to).total_seconds())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_SECONDS):
                        await stopping.wait()
        finally:
            await self._observer.close()

    async def _look(self) -> None:
        consumer = self._subscriber.consumer
        if consumer is None or self.failure is not None:
            return
        if not self._taken_up.is_set():
            await self._look_for_assignment()
            return
        if not self.caught_up:
            await self._try_barrier(consumer)
        if self.pausing:
            await self._resume(consumer)
        mine = [tp for tp in consumer.assignment() if self._reads(self._place(tp))]
        if not mine:
            return
        assignments, asked_at = self._assignments, self._clock.now()
        ends = await self._observer.log_ends(mine)
        await self._look_for_progress(ends, consumer.paused())
        await self._step_over_gaps(consumer, mine)
        if not self._is_steady(assignments):
            return
        for tp in mine:
            self._asked.setdefault(self._place(tp), (asked_at, ends[tp]))
        await self._mark_reached(assignments)

    async def _mark_reached(self, assignments: int) -> None:
        """Say of each partition up to when it was read, where its end of that time has been reached."""
        reached = {
            place: at
            for place, (at, end) in self._asked.items()
            if self._reads(place) and self._next[place] >= end
        }
        if not reached:
            return
        nexts = {place: self._next[place] for place in reached}
        async with self._transactions() as tx:
            await self._journal.mark_read(tx, reached, nexts)
            self._read_up_to = await self._journal.read_up_to(tx, self._topics)
        for place in reached:
            self._asked.pop(place, None)
        if self._is_steady(assignments):
            await self._commit_rest(nexts)

    async def _commit_rest(self, nexts: Mapping[Place, int]) -> None:
        """Commit what no batch could: its commit failed, its process died, or the log ends in markers.

        The positions stand there already: Kafka's offset is never ahead of them (`_look_back`).
        """
        rest = {place: end for place, end in nexts.items() if end > self._committed.get(place, 0)}
        if self._idle.is_set():
            await self._commit(rest)

    async def _look_for_progress(
        self, ends: Mapping[TopicPartition, int], paused: Iterable[TopicPartition]
    ) -> None:
        """Fail when the logs go on behind what was read, and nothing comes of it."""
        now = self._clock.monotonic()
        if not self._idle.is_set():
            self._watchdog.working(now)
            return
        nexts = {self._place(tp): self._next.get(self._place(tp), end) for tp, end in ends.items()}
        left = {self._place(tp) for tp in set(ends).difference(paused) if ends[tp] > nexts[self._place(tp)]}
        stuck = self._watchdog.unread(now, self._begun, {place: nexts[place] for place in left})
        if not stuck:
            return
        readable = await self._observer.readable_ends([self._partition(place) for place in stuck])
        unread = {f"{topic}/{at}": nexts[topic, at] for topic, at in stuck}
        if any(end > nexts[self._place(tp)] for tp, end in readable.items()):
            self.failure = Stuck(f"nothing was read for {self._watchdog.patience:g} s from {unread}")
        self._watchdog.excuse()

    async def _look_for_assignment(self) -> None:
        """Fail when the group owes us an answer while the broker answers others."""
        if self._rebalancing or not self._idle.is_set():  # aiokafka rejoins only after the batch
            self._watchdog.excuse()
            return
        await self._observer.must_answer()
        if not self._taken_up.is_set() and self._watchdog.without_assignment(
            self._clock.monotonic(), self._assignments
        ):
            self.failure = Stuck(f"the group has not answered for {self._watchdog.patience:g} s")

    def _is_steady(self, assignments: int) -> bool:
        """Say whether what was looked at still holds: no rebalance since, and no batch was given up."""
        return self._taken_up.is_set() and self._assignments == assignments and self.failure is None

    async def _step_over_gaps(self, consumer: AIOKafkaConsumer, mine: Iterable[TopicPartition]) -> None:
        """Step over offsets that carry no record, such as transaction markers of foreign publishers.

        The fetcher's position runs ahead of a batch it has just handed over, so it counts only when
        two looks in a row find the same position, nothing running, and no batch begun in between.
        """
        assignments = self._assignments
        for tp in mine:
            place = self._place(tp)
            position = await consumer.position(tp)
            if not self._is_steady(assignments):
                return
            seen = (position, self._begun)
            if self._idle.is_set() and self._quiet.get(place) == seen:
                self._next[place] = self._handed[place] = max(self._next.get(place, 0), position)
            self._quiet[place] = seen

    async def _try_barrier(self, consumer: AIOKafkaConsumer) -> None:
        """Open the barrier when the compacted inputs were read to where they ended at our start."""
        async with self._transactions() as tx:
            known = await self._journal.positions(tx)
        if all((known.get(place) or 0) >= end for place, end in (self._barrier or {}).items()):
            self.caught_up = True
            consumer.resume(*(tp for tp in consumer.paused() if self._place(tp) not in self.pausing))
            self._log.info("facts_read")


async def _decoded(batch: Sequence[Record]) -> list[Item]:
    """Decode a batch in slices, between which the one that is being settled goes on."""
    items: list[Item] = []
    for first in range(0, len(batch), DECODED_AT_ONCE):
        if first:
            await asyncio.sleep(0)
        items += map(decode, batch[first : first + DECODED_AT_ONCE])
    return items


def _ends(batch: Iterable[Record]) -> dict[Place, int]:
    """Return the offsets behind a batch, by partition; within one, records come in order."""
    return {(record.topic, record.partition): record.offset + 1 for record in batch}


async def _raw(records: Any) -> KafkaAckableMessage:
    """Hand the records over untouched: FastStream's own parser loses a batch over one null header."""
    return KafkaAckableMessage(body=b"", raw_message=records, headers={}, consumer=FAKE_CONSUMER)


async def _pass_through(message: Any) -> Any:
    return message.raw_message
