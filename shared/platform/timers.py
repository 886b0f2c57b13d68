"""Fires what is due: sweeps as soon as they are committed, timers once everything was read up to them."""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from datetime import timedelta

import structlog

from shared.platform import metrics
from shared.platform.clock import Clock
from shared.platform.faults import is_timeout, is_transient
from shared.platform.journal import Journal
from shared.platform.log import masked
from shared.platform.outcome import Due
from shared.platform.pipeline import Pipeline, Transactions, backoff
from shared.platform.service import Handlers

DUES_A_ROUND = 50
POLL_SECONDS = 0.1
PARK_AFTER = 10
"""Failed firings before a due row is put aside for people to look at."""


class Timers:
    """Carries out the due rows of one service; any replica may, the handlers re-check under locks."""

    def __init__(
        self,
        *,
        handlers: Handlers,
        topics: Iterable[str],
        transactions: Transactions,
        journal: Journal,
        pipeline: Pipeline,
        clock: Clock,
        fired: asyncio.Event,
    ) -> None:
        self._handlers = handlers
        self._topics = tuple(topics)
        self._transactions = transactions
        self._journal = journal
        self._pipeline = pipeline
        self._clock = clock
        self._wake = fired
        self._log = structlog.get_logger()

    async def run(self, stopping: asyncio.Event) -> None:
        """Fire until stopping. Faults that may heal are waited out."""
        failures = 0
        while not stopping.is_set():
            self._wake.clear()
            try:
                progress = await self.fire_once()
            except Exception as error:
                if not is_transient(error):
                    raise
                failures += 1
                self._log.warning("timers_retried", attempt=failures, error=str(error)[:300])
                await asyncio.sleep(backoff(failures, salt=DUES_A_ROUND))
                continue
            failures = 0
            if not progress:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()

    async def fire_once(self) -> bool:
        """Fire one round of due rows. Returns whether there was any."""
        now = self._clock.now()
        async with self._transactions() as tx:
            read_up_to = await self._journal.read_up_to(tx, self._topics)
            dues = await self._journal.list_due(tx, now, read_up_to, DUES_A_ROUND)
        if dues:
            await self._fire(dues)
        return bool(dues)

    async def _fire(self, dues: Sequence[Due]) -> None:
        now = self._clock.now()
        try:
            async with self._transactions() as tx:
                outcome = await self._handlers.fire(tx, dues, now)
                await self._journal.finish_due(tx, dues)
                await self._pipeline.save(tx, outcome, now)
        except Exception as error:
            too_much = is_timeout(error) and len(dues) > 1
            if is_transient(error) and not too_much:
                raise
            if len(dues) == 1:
                await self._postpone(dues[0], error)
                return
            middle = len(dues) // 2
            await self._fire(dues[:middle])
            await self._fire(dues[middle:])
        else:
            for due in dues:
                metrics.DUE_FIRED.labels(due.kind).inc()
            self._pipeline.wake()

    async def _postpone(self, due: Due, error: Exception) -> None:
        metrics.DUE_FAILED.labels(due.kind).inc()
        self._log.error("timer_raised", kind=due.kind, exc_info=error)
        async with self._transactions() as tx:
            not_before = self._clock.now() + timedelta(seconds=5)
            parked = await self._journal.postpone_due(
                tx, due, not_before=not_before, reason=masked(repr(error)[:1000]), park_after=PARK_AFTER
            )
        if parked:
            self._log.error("timer_parked", kind=due.kind)
