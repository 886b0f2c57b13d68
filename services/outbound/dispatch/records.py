"""Stores what came of calls, many in one transaction, and never lets go of an outcome before that."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.decisions import pacing
from services.outbound.decisions.fold import Fold
from services.outbound.decisions.outcomes import settle
from services.outbound.decisions.steps import ReadFailure, Scene, place_receipt
from services.outbound.dispatch.calls import Answered, Calls
from services.outbound.model import Accepted, DeclineClass, Declined, Rules, SenderKey
from services.outbound.store import Store
from shared.contracts.content import Template
from shared.contracts.provider_events import TemplateChanged
from shared.platform.faults import is_transient
from shared.platform.running import Running

PAUSE_SECONDS = 0.5
POLL_SECONDS = 0.05


class Records:
    """The other half of the dispatcher."""

    def __init__(self, store: Store, calls: Calls, rules: Rules, read_failure: ReadFailure) -> None:
        self._store = store
        self._calls = calls
        self._rules = rules
        self._read_failure = read_failure
        self._log = structlog.get_logger()

    async def run(self, running: Running) -> None:
        """Store outcomes as they come; when stopping, until no claim can still lead to one."""
        while not (running.stopping.is_set() and self._calls.idle):
            answered = self._calls.waiting()
            if not answered:
                await self._calls.wait_for_news(POLL_SECONDS)
                continue
            try:
                await self.record(running, answered)
            except Exception as error:
                if not is_transient(error):
                    raise
                self._log.warning("recording_retried", error=str(error)[:300])
                await asyncio.sleep(PAUSE_SECONDS)

    async def record(self, running: Running, answered: Sequence[Answered]) -> None:
        """Store these outcomes, the oldest ones waiting, in one transaction and tell of them.

        One that cannot be stored for a bug is left alone, so that it holds up no other: its lease
        runs out, and the message is in doubt.
        """
        try:
            async with running.transaction() as tx:
                await self._record(running, tx, answered)
        except Exception as error:
            if is_transient(error):
                raise
            if len(answered) > 1:
                middle = len(answered) // 2
                await self.record(running, answered[:middle])
                await self.record(running, answered[middle:])
                return
            self._log.exception("outcome_not_stored", outcome=type(answered[0].outcome).__name__)
        self._calls.stored(answered)
        running.wake()

    async def _record(self, running: Running, tx: AsyncConnection, answered: Sequence[Answered]) -> None:
        now = running.clock.now()
        sends = [one.message.send for one in answered]
        known = await self._store.gather(
            tx, {send.pair for send in sends}, {send.ref for send in sends}, set()
        )
        fold = Fold(known.pairs, known.sends, now, self._rules)
        slowed: set[SenderKey] = set()
        halted: dict[SenderKey, str] = {}
        for one in answered:
            stored = fold.find(one.message.send.ref)
            if stored is None:
                continue
            settled = settle(stored, one.outcome, now, self._rules)
            fold.settle(settled)
            if settled.slowed:
                slowed.add(one.message.line.key)
            if settled.halted is not None:
                halted[one.message.line.key] = settled.halted
        await self._place_early_receipts(tx, fold, answered, now)
        fold.tell_windows()
        await self._store.pairs.save(tx, fold.pairs)
        await self._store.sends.save(tx, fold.sends)
        await self._brake(tx, slowed, halted, now)
        await self._store.documents.mark_templates(tx, _unsendable(answered))
        await running.save(tx, fold.outcome())

    async def _place_early_receipts(
        self, tx: AsyncConnection, fold: Fold, answered: Sequence[Answered], now: datetime
    ) -> None:
        """Give messages that just got their provider id the receipts that came before it."""
        by_message = {
            (one.message.send.pair.tenant_id, one.outcome.provider_message_id): one.message.send.ref
            for one in answered
            if isinstance(one.outcome, Accepted)
        }
        scene = Scene(fold, by_message, self._read_failure, now)
        for early in await self._store.receipts.take(tx, by_message):
            place_receipt(scene, early.cause, early.receipt)

    async def _brake(
        self, tx: AsyncConnection, slowed: Iterable[SenderKey], halted: dict[SenderKey, str], now: datetime
    ) -> None:
        """Slow or stop senders whose provider asked for it."""
        senders = await self._store.senders.lock(tx, {*slowed, *halted})
        after = []
        for key, sender in senders.items():
            braked = pacing.slow(sender, now) if key in slowed else sender
            reason = halted.get(key, sender.halted_reason)
            if reason is not None and sender.halted_reason is None:
                self._log.error("sender_halted", tenant=key.tenant_id, channel=key.channel, reason=reason)
            after.append(replace(braked, halted_reason=reason))
        await self._store.senders.save(tx, after)


def _unsendable(answered: Iterable[Answered]) -> list[tuple[str, TemplateChanged]]:
    """Return the templates that the provider just called paused or disabled."""
    return [
        (
            message.send.pair.tenant_id,
            TemplateChanged(
                name=message.content.name,
                language=message.content.language,
                state=outcome.reason.removeprefix("template_"),
            ),
        )
        for message, outcome in answered
        if isinstance(outcome, Declined)
        and outcome.decline is DeclineClass.TEMPLATE
        and isinstance(message.content, Template)
    ]
