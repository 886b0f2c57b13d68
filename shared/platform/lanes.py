"""Drains the outbox: each lane by one process at a time, its rows in id order (docs/pipeline.md, 3).

A lease only saves work. Order holds per key and topic: a round sends a lane's rows to several partitions
at once, at most one unacknowledged batch to each, and what was not acknowledged goes first in the next.
Two drainers of one lane would repeat rows, never bring a later row of a key and topic before the first
occurrence of an earlier one.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.platform import metrics
from shared.platform.clock import Clock
from shared.platform.faults import is_transient
from shared.platform.journal import OutboxRow
from shared.platform.pipeline import Transactions, backoff
from shared.platform.publisher import Publisher
from shared.platform.tables import LANES

LEASE_SECONDS = 5.0
"""How long a killed process's lanes wait: less than its partitions do (the consumer's session timeout)."""
RENEW_SECONDS = 1.0
ROWS_A_ROUND = 2000
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
        # While anything fails, every lane has its part of a round, however much the one that fails holds.
        of_one = ROWS_A_ROUND // LANES if self._failed else ROWS_A_ROUND
        async with self._transactions() as tx:
            rows = await _oldest(tx, self._held, of_one)
        metrics.OUTBOX_ROWS.set(len(rows))
        if not rows:
            return False
        published = await self._publisher.publish(rows)
        self._failed = published.failure is not None
        if published.acknowledged:
            async with self._transactions() as tx:
                await _delete(tx, published.acknowledged)
            for topic, count in Counter(row.topic for row in published.acknowledged).items():
                metrics.EVENTS_PUBLISHED.labels(topic).inc(count)
        if published.failure is not None:
            metrics.PUBLISH_FAILURES.inc()
            self._log.warning("publish_failed", error=str(published.failure)[:300])
            await asyncio.sleep(POLL_SECONDS)
        return bool(published.acknowledged)

    async def _lease(self) -> None:
        """Renew what is ours, take what is free, and give back what exceeds a fair share."""
        asked = self._clock.monotonic()
        async with self._transactions() as tx:
            self._held = await _lease(tx, self._owner)
        self._renewed = asked

    async def _release(self) -> None:
        with contextlib.suppress(Exception):  # the leases run out by themselves
            async with self._transactions() as tx:
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


async def _oldest(tx: AsyncConnection, lanes: Sequence[int], of_one: int) -> list[OutboxRow]:
    rows = await tx.execute(
        text(
            "select o.* from unnest(cast(:lanes as smallint[])) as mine(lane) cross join lateral ("
            "select lane, topic, key, value, id from outbox"
            " where outbox.lane = mine.lane order by id limit :of_one) o order by id limit :limit"
        ),
        {"lanes": list(lanes), "of_one": of_one, "limit": ROWS_A_ROUND},
    )
    return list(map(OutboxRow._make, rows))


async def _delete(tx: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
    await tx.execute(
        text("delete from outbox where id = any(cast(:ids as bigint[]))"), {"ids": [row.id for row in rows]}
    )
