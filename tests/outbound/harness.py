"""Outbound on a real database and a fake provider, driven step by step with a clock that stands still."""

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from ops.fake_provider import FakeProvider, ProviderReceipt, ReceiptHabits, Script, serving
from ops.fake_provider.events import receipt_event
from services.outbound.app import STEPS
from services.outbound.decisions.fold import UNSETTLED
from services.outbound.dispatch.calls import Calls
from services.outbound.dispatch.claims import Claims
from services.outbound.dispatch.records import Records
from services.outbound.handlers import EARLY, OutboundHandlers
from services.outbound.model import Rules, Send, SendRef
from services.outbound.providers import whatsapp_cloud
from services.outbound.providers.whatsapp_cloud import WhatsAppCloud
from services.outbound.store import Store
from shared.contracts import catalogue, cloudevents
from shared.contracts.deliveries import Delivery
from shared.contracts.event import Event, Model
from shared.contracts.pairs import PairChanged
from shared.platform.database import Database
from shared.platform.journal import Journal
from shared.platform.outcome import Due
from shared.platform.pipeline import Pipeline, decode
from shared.platform.records import Record
from shared.platform.running import Running
from shared.platform.service import Service
from tests.outbound.builders import NOON, SECOND, TENANT, a_channel_document, a_template_document, an_event

INPUTS = tuple(sorted({catalogue.topic_of(event_type) for event_type in STEPS}))
SECRETS: Mapping[str, str] = {"CLOUD_TOKEN": "secret"}


class StandingClock:
    """Moves only when it is told."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Dispatcher:
    """One process's dispatcher."""

    calls: Calls
    claims: Claims
    records: Records


class Desk:
    """Outbound's parts, wired as in its app, with one dispatcher; `another_dispatcher` adds replicas."""

    def __init__(self, database: Database, provider: FakeProvider, rules: Rules) -> None:
        self.database = database
        self.provider = provider
        self.rules = rules
        self.clock = StandingClock()
        self.store = Store()
        self.journal = Journal()
        self.handlers = OutboundHandlers(self.store, STEPS, rules, whatsapp_cloud.read_failure)
        self.pipeline = Pipeline(
            service=Service("outbound", self.handlers, handles=STEPS),
            transactions=database.transaction,
            journal=self.journal,
            clock=self.clock,
        )
        self.running = Running(
            clock=self.clock,
            transactions=database.transaction,
            journal=self.journal,
            pipeline=self.pipeline,
            topics=INPUTS,
            wake=lambda: None,
            owner="test",
        )
        self._offsets: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        self._receipts = itertools.count()
        self.dispatcher = self.another_dispatcher()

    def another_dispatcher(self) -> Dispatcher:
        calls = Calls({whatsapp_cloud.NAME: WhatsAppCloud(SECRETS.get, 26)}, self.rules)
        return Dispatcher(
            calls,
            Claims(self.store, calls, self.rules),
            Records(self.store, calls, self.rules, whatsapp_cloud.read_failure),
        )

    async def hear(self, *events: Model | Event[Model], first_offset: int | None = None) -> None:
        """Run events through the pipeline as one batch, as if read from Kafka."""
        records = []
        for said in events:
            event = said if isinstance(said, Event) else an_event(said, at=self.clock.now())
            topic = catalogue.topic_of(event.type)
            offset = next(self._offsets[topic]) if first_offset is None else first_offset
            records.append(Record(topic, 0, offset, b"", cloudevents.encode(event)))
        await self.pipeline.run([decode(record) for record in records])

    async def has_read_up_to(self, at: datetime, topics: Sequence[str] = INPUTS) -> None:
        """Say that these topics were read up to then."""
        places = [(topic, 0) for topic in topics]
        async with self.database.transaction() as tx:
            await self.journal.know_partitions(tx, places)
            await self.journal.mark_read(tx, dict.fromkeys(places, at), dict.fromkeys(places, 0))

    async def dispatch(self) -> None:
        """Take one round of turns, wait for its calls, store what came of them."""
        await self.dispatcher.claims.dispatch(self.running)
        await self.finish_calls()

    async def finish_calls(self) -> None:
        await self.dispatcher.calls.finish()
        if answered := self.dispatcher.calls.waiting():
            await self.dispatcher.records.record(self.running, answered)

    async def dispatch_all(self, rounds: int = 50) -> None:
        """Dispatch until no turn is due, letting the clock run on for the pace of senders."""
        for _ in range(rounds):
            await self.dispatch()
            if not await self.rows("select 1 from pairs where next_turn_at <= :now", now=self.clock.now()):
                return
            self.clock.at += SECOND / 20

    async def later(self, by: timedelta) -> None:
        """Let time pass, everything being read meanwhile, and fire what is due."""
        self.clock.at += by
        await self.has_read_up_to(self.clock.at)
        async with self.database.transaction() as tx:
            dues = await self.journal.list_due(tx, self.clock.at, self.clock.at, 100)
        await self.fire(dues)

    async def fire(self, dues: list[Due]) -> None:
        assert {due.kind for due in dues} <= {UNSETTLED, EARLY}
        if dues:
            async with self.database.transaction() as tx:
                outcome = await self.handlers.fire(tx, dues, self.clock.now())
                await self.journal.finish_due(tx, dues)
                await self.pipeline.save(tx, outcome, self.clock.now())

    async def hear_receipts(self, which: Callable[[ProviderReceipt], bool] = lambda _: True) -> None:
        """Hear the provider's receipts so far that are wanted, in the order they went out."""
        await self.provider.receipts_sent()
        events = [
            receipt_event(one, next(self._receipts)) for one in self.provider.log.receipts if which(one)
        ]
        await self.hear(*(event for event in events if event is not None))

    async def said(self) -> list[Event[Model]]:
        """Return every event in the outbox, oldest first."""
        rows = await self.rows("select value from outbox order by id")
        return [cloudevents.decode(bytes(value), ()) for (value,) in rows]

    async def deliveries(self, request_id: str = "r1") -> list[tuple[str, str | None]]:
        """Return what was said of a request: (status, reason)."""
        return [
            (event.type.split(".")[2], event.data.reason)
            for event in await self.said()
            if isinstance(event.data, Delivery) and event.data.request_id == request_id
        ]

    async def pair_news(self) -> list[PairChanged]:
        """Return what readers of pairs were told."""
        return [event.data for event in await self.said() if isinstance(event.data, PairChanged)]

    async def send_of(self, request_id: str = "r1") -> Send:
        async with self.database.transaction() as tx:
            ref = SendRef(TENANT, request_id)
            return (await self.store.sends.load(tx, [ref]))[ref]

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        async with self.database.transaction() as tx:
            return list(await tx.execute(text(sql), values))

    @property
    def called(self) -> list[str]:
        """The request ids the provider was called with, in order."""
        return [(call.correlation_id or "").removeprefix(f"{TENANT}|") for call in self.provider.log.calls]


@asynccontextmanager
async def a_desk(
    database_url: str, script: Script | None = None, *, rules: Rules | None = None
) -> AsyncIterator[Desk]:
    """Outbound with a sender and a template, everything read up to noon, on a fake provider."""
    provider = FakeProvider(
        script, habits=ReceiptHabits(repeated_share=0, disordered_share=0, read_share=1), secret="secret"
    )
    database = Database(database_url, "outbound")
    try:
        async with serving(provider) as url:
            desk = Desk(database, provider, rules or Rules(rate_per_second=1000))
            await desk.hear(a_channel_document(base_url=url), a_template_document())
            await desk.has_read_up_to(NOON)
            yield desk
            await desk.finish_calls()
    finally:
        await database.close()
