"""Gather facts, fold the decisions, save, say: the whole of what tickets does with a batch."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.tickets.decisions.folding import fold, wanted
from services.tickets.store import TicketStore
from shared.platform.outcome import Due, Outcome, Received, Rejection


class TicketHandlers:
    """Answers every event type of `services.tickets.app`."""

    def __init__(self, store: TicketStore) -> None:
        self._store = store

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        """Handle one batch under the locks of its pairs."""
        events = [received.event for received in batch]
        keys = wanted(events)
        locked = await self._store.lock(tx, keys)
        facts = await self._store.load(tx, keys, locked)
        folded = fold(facts, events, now)
        await self._store.save(tx, folded.tickets.values(), folded.documents)
        detail = "a diverted chat names the ticket_id that it became"
        rejected = [Rejection(batch[n], "missing_ticket_id", detail) for n in folded.without_ticket]
        return Outcome(outgoing=folded.outgoing, rejected=rejected)

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        """Tickets has no timers: nothing it schedules is ever due."""
        raise NotImplementedError
