"""A contact centre without Kafka: workers with a pipeline each on one PostgreSQL, and a clock to be moved."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text

from services.routing.app import STEPS
from services.routing.handlers import RoutingHandlers
from services.routing.store import Store
from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Event, Model
from shared.platform.clock import Clock, SystemClock
from shared.platform.database import Database
from shared.platform.journal import Journal
from shared.platform.pipeline import Pipeline, decode
from shared.platform.records import Record
from shared.platform.service import Service
from shared.platform.timers import Timers
from tests import desk_events as desk

WORKERS = 8
ROUNDS = 2_000
HEARD = "inbound-messages.v1"
_offsets = itertools.count()


class Contact:
    """Routing as it runs, but for Kafka: what is heard is handed over, what is said is read in the outbox."""

    def __init__(self, database: Database, workers: int = WORKERS, clock: Clock | None = None) -> None:
        self.database = database
        self.clock = clock or SystemClock()
        self.heard: dict[str, Event[Model]] = {}
        self._pipelines = [self._pipeline() for _ in range(workers)]
        self._timers = Timers(
            handlers=RoutingHandlers(Store(), STEPS),
            topics=(HEARD,),
            transactions=database.transaction,
            journal=Journal(),
            pipeline=self._pipelines[0],
            clock=self.clock,
            fired=asyncio.Event(),
        )

    def _pipeline(self) -> Pipeline:
        service = Service("routing", RoutingHandlers(Store(), STEPS), handles=STEPS.keys())
        return Pipeline(
            service=service, transactions=self.database.transaction, journal=Journal(), clock=self.clock
        )

    async def connect(self) -> None:
        """Open a connection for each worker: who had to open one first would come too late for any race."""
        await asyncio.gather(*(self.rows("select pg_sleep(0.1)") for _ in self._pipelines))

    async def hear(self, *inputs: Model) -> None:
        """Let one worker handle these, in order."""
        await self._pipelines[0].run([decode(self._record(one)) for one in inputs])

    async def hear_of(self, tenant: str, *inputs: Model) -> None:
        """Let one worker handle these as another tenant's."""
        await self._pipelines[0].run([decode(self._record(one, tenant)) for one in inputs])

    async def hear_at_once(self, batches: Iterable[Sequence[Model]]) -> None:
        """Let the workers share out the batches and handle them concurrently."""
        left = iter([[self._record(one) for one in batch] for batch in batches])

        async def work(pipeline: Pipeline) -> None:
            for batch in left:
                await pipeline.run([decode(record) for record in batch])

        await asyncio.gather(*(work(pipeline) for pipeline in self._pipelines))

    async def sweep(self) -> None:
        """Carry out whatever is due until nothing is. Raises AssertionError when that never ends."""
        for _ in range(ROUNDS):
            if not await self._timers.fire_once():
                return
        raise AssertionError(f"after {ROUNDS} rounds something is still due")

    async def sweep_once(self) -> None:
        """Carry out one round of what is due."""
        await self._timers.fire_once()

    async def has_heard_everything(self) -> None:
        """Let timers fire: everything that anybody ever said was read."""
        async with self.database.transaction() as tx:
            await tx.execute(
                text(
                    "insert into positions (topic, partition, read_up_to) values (:topic, 0, '2100-01-01')"
                    " on conflict (topic, partition) do update set read_up_to = excluded.read_up_to"
                ),
                {"topic": HEARD},
            )

    async def rows(self, query: str) -> Sequence[Any]:
        async with self.database.transaction() as tx:
            return (await tx.execute(text(query))).all()

    async def count(self, query: str) -> int:
        return int((await self.rows(query))[0][0])

    async def said(self, after: int = 0, *, topic: str = "chats.v1") -> list[tuple[int, Event[Any]]]:
        """Return what was said on a topic since an outbox row, in order, each with its row's id."""
        rows = await self.rows(
            f"select id, value from outbox where topic = '{topic}' and id > {after} order by id"
        )
        return [(number, cloudevents.decode(bytes(value))) for number, value in rows]

    def _record(self, data: Model, tenant: str = desk.TENANT) -> Record:
        event = desk.an_event(data, tenant=tenant, at=self.clock.now())
        self.heard[event.id] = event
        return Record(catalogue.topic_of(event.type), 0, next(_offsets), None, cloudevents.encode(event), ())
