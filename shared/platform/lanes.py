"""Drains the outbox: each lane by one process at a time, its rows in id order (docs/pipeline.md, 3).

A lease only saves work. Order holds per key and topic: a round sends a lane's rows to several partitions
at once, at most one unacknowledged batch to each, and what was not acknowledged goes first in the next.
Two drainers of one lane would repeat rows, never bring a later row of a key and topic before the first
occurrence of an earlier one.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform import metrics
from shared.platform.clock import Clock
from shared.platform.faults import is_transient
from shared.platform.journal import OutboxRow
from shared.platform.pipeline import Transactions, backoff
from shared.platform.publisher import Published, Publisher
from shared.platform.tables import LANES

LEASE_SECONDS = 5.0
"""How long a killed process's lanes wait: less than its partitions do (the consumer's session timeout)."""
RENEW_SECONDS = 1.0
ROWS_A_ROUND = 2000
MOST_OF_A_LANE = 4 * ROWS_A_ROUND // LANES
"""Rows of one lane in a round: the round is sorted out of these, so a long outbox must not be read whole."""
LAST_SECONDS = 10.0
"""How long a stopping process goes on draining; whoever leases its lanes next does the rest."""
POLL_SECONDS = 0.05
"""How long a lane may not notice a row that another process committed."""


class Lanes:
    """One process's share of a service's outbox lanes."""

    def __init__(self, owner: str, transactions: Transactions, publisher: Publisher, clock: Clock) -> None:
        self._owner = owner
        self._transactions = transactions
        self._publisher = publisher
        self._clock = clock
        self._held: list[int] = []
        self._ahead: Sequence[OutboxRow] = ()
        self._acknowledged: tuple[OutboxRow, ...] = ()
        self._failed = False
        self._renewed = float("-inf")
        self._wake = asyncio.Event()
        self._log = structlog.get_logger()

    def wake(self) -> None:
        """Look at the outbox now: something was committed."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Drain until stopping, and a while longer; give the lanes back. Faults are waited out."""
        failures = 0
        last_round: float | None = None
        while last_round is None or self._clock.monotonic() < last_round:
            if stopping.is_set() and last_round is None:  # other replicas may fill the lanes without end
                last_round = self._clock.monotonic() + LAST_SECONDS
            self._wake.clear()
            try:
                progress = await self.drain_once()
            except Exception as error:
                if not is_transient(error):
                    raise
                failures += 1
                self._log.warning("lanes_retried", attempt=failures, error=str(error)[:300])
                await self._rest(backoff(failures, salt=LANES), stopping)
                continue
            failures = 0
            if not progress:
                if stopping.is_set():
                    break
                await self._rest(POLL_SECONDS, stopping)
        await self._release()

    async def drain_once(self) -> bool:
        """Send one round. Returns whether any row was acknowledged."""
        if self._clock.monotonic() - self._renewed >= RENEW_SECONDS:
            await self._lease()
        if not self._held:
            return False
        rows = self._ahead or await self._take()
        metrics.OUTBOX_ROWS.set(len(rows))
        if not rows:
            return False
        published = await self._send(rows)
        self._failed = published.failure is not None
        if published.acknowledged:
            if not self._ahead:
                async with self._transactions() as tx:
                    await self._forget(tx)
            for topic, count in Counter(row.topic for row in published.acknowledged).items():
                metrics.EVENTS_PUBLISHED.labels(topic).inc(count)
        if published.failure is not None:
            metrics.PUBLISH_FAILURES.inc()
            self._log.warning("publish_failed", error=str(published.failure)[:300])
            await asyncio.sleep(POLL_SECONDS)
        return bool(published.acknowledged)

    async def _send(self, rows: Sequence[OutboxRow]) -> Published:
        """Publish a round; behind a full one, read the next while it is on its way.

        The next goes out only if all of this one was acknowledged: else it might overtake what was not.
        """
        self._ahead = ()
        if len(rows) < ROWS_A_ROUND:
            published = await self._publisher.publish(rows)
            self._acknowledged += published.acknowledged
            return published
        sent, ahead = await asyncio.gather(
            self._publisher.publish(rows), self._take(rows), return_exceptions=True
        )
        if isinstance(sent, BaseException):
            raise sent
        self._acknowledged += sent.acknowledged
        if isinstance(ahead, BaseException):
            raise ahead
        if len(sent.acknowledged) == len(rows):
            self._ahead = ahead
        return sent

    async def _take(self, on_their_way: Sequence[OutboxRow] = ()) -> Sequence[OutboxRow]:
        """Delete what earlier rounds had acknowledged, and return the oldest rows behind those on their way.

        A row that was given its id before theirs and committed after they were read is found when the leases
        are renewed; it is no row of their keys, which were locked until it was committed.
        """
        # While anything fails, every lane has its part of a round, however much the one that fails holds.
        of_one = ROWS_A_ROUND // LANES if self._failed else MOST_OF_A_LANE
        after = {row.lane: row.id for row in on_their_way}
        async with self._transactions() as tx:
            await self._forget(tx)
            return await _oldest(tx, {lane: after.get(lane, 0) for lane in self._held}, of_one)

    async def _forget(self, tx: AsyncConnection) -> None:
        """Delete what was acknowledged. Should this transaction fail, it is sent once more."""
        gone, self._acknowledged = self._acknowledged, ()
        if gone:
            await tx.execute(
                text("delete from outbox where id = any(cast(:ids as bigint[]))"),
                {"ids": [row.id for row in gone]},
            )

    async def _lease(self) -> None:
        """Renew what is ours, take what is free, and give back what exceeds a fair share."""
        self._ahead = ()  # of lanes that may be somebody else's from here on
        asked = self._clock.monotonic()
        async with self._transactions() as tx:
            await self._forget(tx)
            self._held = await _lease(tx, self._owner)
        self._renewed = asked

    async def _release(self) -> None:
        with contextlib.suppress(Exception):  # the leases run out by themselves
            async with self._transactions() as tx:
                await self._forget(tx)
                await tx.execute(
                    text("update lanes set owner = null, leased_until = '-infinity' where owner = :owner"),
                    {"owner": self._owner},
                )
                await tx.execute(text("delete from lane_owners where owner = :owner"), {"owner": self._owner})

    async def _rest(self, seconds: float, stopping: asyncio.Event) -> None:
        if stopping.is_set():
            await asyncio.sleep(POLL_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()


async def _lease(tx: AsyncConnection, owner: str) -> list[int]:
    await tx.execute(
        text(
            "insert into lane_owners (owner, seen_until) "
            "values (:owner, now() + make_interval(secs => :lease)) "
            "on conflict (owner) do update set seen_until = excluded.seen_until"
        ),
        {"owner": owner, "lease": LEASE_SECONDS},
    )
    await tx.execute(text("delete from lane_owners where seen_until < now() - interval '1 minute'"))
    rows = await tx.execute(
        text(
            "with share as ("
            "  select ceil(:lanes / count(*)::numeric)::int as size"
            "  from lane_owners where seen_until >= now()"
            "), wanted as ("
            "  select lane from lanes where owner = :owner or leased_until < now()"
            "  order by (owner is distinct from :owner), lane limit (select size from share)"
            "  for update skip locked"
            "), given_back as ("
            "  update lanes set owner = null, leased_until = '-infinity'"
            "  where owner = :owner and lane not in (select lane from wanted)"
            ") "
            "update lanes set owner = :owner, leased_until = now() + make_interval(secs => :lease) "
            "where lane in (select lane from wanted) returning lane"
        ),
        {"owner": owner, "lease": LEASE_SECONDS, "lanes": LANES},
    )
    return sorted(lane for (lane,) in rows)


async def _oldest(tx: AsyncConnection, after: Mapping[int, int], of_one: int) -> list[OutboxRow]:
    """Return a round of rows: by lane those after an id, in the order of their ids."""
    rows = await tx.execute(
        text(
            "select o.* from unnest(cast(:lanes as smallint[]), cast(:after as bigint[])) as m(lane, after)"
            " cross join lateral (select lane, topic, key, value, id from outbox"
            " where outbox.lane = m.lane and outbox.id > m.after order by id limit :of_one) o"
            " order by id limit :limit"
        ),
        {"lanes": list(after), "after": list(after.values()), "of_one": of_one, "limit": ROWS_A_ROUND},
    )
    return list(map(OutboxRow._make, rows))
