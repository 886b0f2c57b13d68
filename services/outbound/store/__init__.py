"""The only SQL of outbound: every statement handles a whole batch, inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.model import PairState, Send, SendRef
from services.outbound.store.documents import Documents
from services.outbound.store.hearing import Hearing
from services.outbound.store.pairs import Pairs
from services.outbound.store.receipts import EarlyReceipt, EarlyReceipts
from services.outbound.store.senders import Senders
from services.outbound.store.sends import Sends
from shared.contracts.directory import ChannelDocument, TemplateDocument
from shared.contracts.event import Event, Model
from shared.contracts.pair import Pair
from shared.contracts.provider_events import TemplateChanged

__all__ = ["EarlyReceipt", "Gathered", "Store"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Locked pairs, and the sends that were asked for, read after the locks."""

    pairs: Mapping[Pair, PairState]
    sends: Mapping[SendRef, Send]
    by_message: Mapping[tuple[str, str], SendRef]


class Store:
    """Outbound's tables. A pair's lock covers its sends.

    Pairs are locked first, sorted, then senders, templates last.
    Only the claim takes senders first, and it never waits for a pair.
    """

    def __init__(self) -> None:
        self.pairs = Pairs()
        self.sends = Sends()
        self.senders = Senders()
        self.documents = Documents()
        self.receipts = EarlyReceipts()
        self.hearing = Hearing()

    async def gather(
        self, tx: AsyncConnection, pairs: set[Pair], refs: set[SendRef], messages: set[tuple[str, str]]
    ) -> Gathered:
        """Lock these pairs and those of these sends, then read the sends.

        A send's pair never changes, so finding it may precede the lock; its state is read after it.
        """
        by_message = await self.sends.refs_of(tx, messages)
        wanted = refs | set(by_message.values())
        owners = {send.pair for send in (await self.sends.load(tx, wanted)).values()}
        locked = await self.pairs.lock(tx, pairs | owners)
        return Gathered(locked, await self.sends.load(tx, wanted), by_message)

    async def take_documents(self, tx: AsyncConnection, events: Sequence[Event[Model]]) -> None:
        """Keep the directory's documents, and the providers' word on templates, of a batch."""
        channels: list[tuple[str, ChannelDocument]] = []
        templates: list[tuple[str, TemplateDocument]] = []
        marks: list[tuple[str, TemplateChanged]] = []
        for event in events:
            match event.data:
                case ChannelDocument() as channel:
                    channels.append((event.tenant_id, channel))
                case TemplateDocument() as template:
                    templates.append((event.tenant_id, template))
                case TemplateChanged() as change:
                    marks.append((event.tenant_id, change))
                case _:
                    pass
        await self.documents.put_channels(tx, channels)
        await self.documents.put_templates(tx, templates)
        await self.documents.mark_templates(tx, marks)
