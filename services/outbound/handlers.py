"""The shell of outbound's batches: gather facts, fold the steps, save, say. Nothing is sent from here."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.decisions.fold import UNSETTLED, Fold
from services.outbound.decisions.needs import needs_of
from services.outbound.decisions.outcomes import give_up_waiting
from services.outbound.decisions.steps import ReadFailure, Scene, Step, place_receipt
from services.outbound.model import Rules, SenderKey, SendRef
from services.outbound.store import EarlyReceipt, Store
from shared.contracts.inbound_messages import InboundMessage
from shared.platform.outcome import Due, Outcome, Received

EARLY = "early_receipt"
PLACE_AGAIN = timedelta(minutes=2)
"""How long a receipt waits for its message: longer than a call and its lease can take."""


class OutboundHandlers:
    """Runs a batch of events, or a round of due rows, through outbound's decisions."""

    def __init__(
        self, store: Store, steps: Mapping[str, Step], rules: Rules, read_failure: ReadFailure
    ) -> None:
        self._store = store
        self._steps = steps
        self._rules = rules
        self._read_failure = read_failure

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        """Store requests, raise windows, move messages by their receipts, keep documents."""
        events = [received.event for received in batch]
        await self._store.hearing.begin(tx, _firsts(batch))
        needs = needs_of(events)
        known = await self._store.gather(tx, needs.pairs, needs.refs, needs.messages)
        fold = Fold(known.pairs, known.sends, now, self._rules)
        scene = Scene(fold, known.by_message, self._read_failure, now)
        for event in events:
            self._steps[event.type](scene, event)
        fold.tell_windows()
        await self._store.sends.add(tx, fold.added)
        await self._store.senders.add(tx, {SenderKey.of(send.pair) for send in fold.added})
        outcome = await self._save(tx, scene, keep_unplaced=True)
        await self._store.take_documents(tx, events)
        return outcome

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        """Give up on messages that no receipt settled, and try once more to place early receipts."""
        refs = {SendRef(*_named(due)) for due in dues if due.kind == UNSETTLED}
        messages = {_named(due) for due in dues if due.kind == EARLY}
        known = await self._store.gather(tx, set(), refs, messages)
        fold = Fold(known.pairs, known.sends, now, self._rules)
        scene = Scene(fold, known.by_message, self._read_failure, now)
        early = await self._store.receipts.take(tx, messages)
        for one in early:
            place_receipt(scene, one.cause, one.receipt)
        for ref in sorted(refs):
            send = fold.find(ref)
            given_up = None if send is None else give_up_waiting(send, now, self._rules)
            if given_up is not None:
                fold.put_send(given_up, at=now)
        fold.tell_windows()
        return await self._save(tx, scene, keep_unplaced=False)

    async def _save(self, tx: AsyncConnection, scene: Scene, *, keep_unplaced: bool) -> Outcome:
        fold = scene.fold
        await self._store.pairs.save(tx, fold.pairs)
        await self._store.sends.save(tx, fold.sends)
        outcome = fold.outcome()
        if keep_unplaced:
            await self._store.receipts.keep(tx, [EarlyReceipt(*one) for one in scene.unplaced], scene.now)
            outcome.schedule += _place_again(scene)
        return outcome


def _place_again(scene: Scene) -> list[Due]:
    return [
        Due(
            EARLY,
            f"{cause.tenant_id}|{receipt.provider_message_id}",
            cause.tenant_id,
            scene.now + PLACE_AGAIN,
        )
        for cause, receipt in scene.unplaced
    ]


def _named(due: Due) -> tuple[str, str]:
    """Read tenant and id out of a due row's key, ``tenant|id``."""
    return due.tenant_id, due.key.removeprefix(f"{due.tenant_id}|")


def _firsts(batch: Sequence[Received]) -> dict[int, tuple[int, datetime]]:
    """Return, for each partition of the inbound log in this batch, its first record."""
    firsts: dict[int, tuple[int, datetime]] = {}
    for received in batch:
        if isinstance(said := received.event.data, InboundMessage):
            firsts.setdefault(received.record.partition, (received.record.offset, said.received_at))
    return firsts
