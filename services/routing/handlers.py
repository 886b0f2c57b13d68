"""The shell of routing: gather facts, fold the decisions, save, publish."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.decisions.choice import ShortlistEndsError
from services.routing.decisions.fold import Step, fold, fold_dues
from services.routing.decisions.needs import needs_of, needs_of_dues, places_into
from services.routing.model import Changes, Facts, Needs
from services.routing.store import Store
from shared.platform.outcome import Due, Outcome, Received


class RoutingHandlers:
    """Runs a batch of events, or a round of due rows, through routing's decisions."""

    def __init__(self, store: Store, steps: Mapping[str, Step]) -> None:
        self._store = store
        self._steps = steps

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        """Place messages, carry out commands, take over what others said."""
        await self._store.save_documents(tx, [received.event for received in batch])
        return await self._decide(tx, needs_of(batch), lambda facts: fold(facts, batch, self._steps, now))

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        """Look again at those who wait."""
        return await self._decide(tx, needs_of_dues(dues), lambda facts: fold_dues(facts, dues, now))

    async def _decide(self, tx: AsyncConnection, needs: Needs, decide: Callable[[Facts], Changes]) -> Outcome:
        facts = await self._store.gather(tx, needs, places_into)
        try:
            changes = decide(facts)
        except ShortlistEndsError:
            changes = decide(await self._store.everybody(tx, needs, facts))
        await self._store.save(tx, changes)
        return changes.outcome
