"""Records as publishers write them, and a desk that counts, with time and the log in the test's hand."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from shared.contracts import catalogue, cloudevents
from shared.contracts.actors import Actor
from shared.contracts.content import Text
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.event import Event, Model
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import pair_key
from shared.contracts.pairs import PairRef
from shared.contracts.tickets import TicketNoted
from shared.platform.database import Database
from shared.platform.journal import Journal
from shared.platform.pipeline import Pipeline, Transactions, decode
from shared.platform.records import Headers, Record
from shared.platform.service import Service
from tests.desk_events import BUSINESS, NOON, TENANT, a_message, an_event
from tests.pipeline.counting import COUNTS, DEAD_LETTERS, GATE, HANDLES, NAME, Counting, Locking

INBOUND = "inbound-messages.v1"
ANN = "+27820000001"
BOB = "+27820000002"

_numbers = itertools.count(1)
_offsets: dict[tuple[str, int], "itertools.count[int]"] = {}


def pair_of(customer: str) -> str:
    """Return the pair's key of a customer at the tests' business address."""
    return pair_key(TENANT, "whatsapp", BUSINESS, customer)


def a_send(request_id: str = "send-1", said: str = "hello", *, customer: str = ANN) -> MessageSend:
    return MessageSend(
        request_id=request_id,
        channel="whatsapp",
        business_address=BUSINESS,
        customer_address=customer,
        requested_at=NOON,
        content=Text(text=said),
        purpose="chat",
    )


def a_note(
    version: int, said: str = "a note", *, ticket: str = "ticket-1", customer: str = ANN
) -> TicketNoted:
    """Build one version of a ticket: an event of a topic whose versions have no gaps."""
    return TicketNoted(
        ticket_id=ticket,
        chat_id="chat-1",
        version=version,
        state="unassigned",
        reason="all_full",
        pair=PairRef(channel="whatsapp", business_address=BUSINESS, customer_address=customer),
        customer_id="customer-1",
        opened_at=NOON,
        last_message_at=NOON,
        by=Actor(role="system"),
        note=said,
    )


def a_record(
    said: Model | Event[Model] | bytes | None,
    *,
    topic: str | None = None,
    partition: int = 0,
    key: bytes | None = b"",
    headers: Headers = (),
) -> Record:
    """Build the next record of a partition. A model is wrapped in an event first, bytes stay as they are."""
    if isinstance(said, Model):
        said = an_event(said)
    if isinstance(said, Event):
        topic = topic or catalogue.topic_of(said.type)
        key = key if key != b"" else catalogue.key_of(said).encode()
        said = cloudevents.encode(said)
    place = (topic or INBOUND, partition)
    offset = next(_offsets.setdefault(place, itertools.count()))
    return Record(*place, offset, key or None, said, headers)


def messages(count: int, *, customer: str = ANN, word: str = "m") -> list[Model]:
    """Build messages of one customer in order, with ids that tell the order; each has their own provider."""
    return [
        a_message("hello", customer=customer, message_id=f"{word}{n}", provider=f"of {customer}")
        for n in range(1, count + 1)
    ]


class SetClock:
    """A clock that stands until it is set."""

    def __init__(self, time: datetime = NOON) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    def pass_time(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class CountingDesk:
    """The counting service over a real database, one pipeline of it, without Kafka."""

    def __init__(
        self,
        database: Database,
        *,
        locking: Locking = Locking.BEFORE_READING,
        transactions: Transactions | None = None,
    ) -> None:
        self.database = database
        self.clock = SetClock()
        self.journal = Journal()
        self.pauses: list[float] = []
        self.handlers = Counting(locking)
        self.pipeline = Pipeline(
            service=Service(NAME, self.handlers, handles=HANDLES),
            transactions=transactions or database.transaction,
            journal=self.journal,
            clock=self.clock,
            pause=self._pause,
        )

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def read(self, *said: Model | Event[Model] | Record) -> list[Record]:
        """Run one batch; what is no record yet becomes the next of partition 0."""
        records = [one if isinstance(one, Record) else a_record(one) for one in said]
        await self.pipeline.run([decode(record) for record in records])
        return records

    async def counted(self) -> dict[str, list[str]]:
        """Return each pair's message ids in the order of their versions."""
        rows = await self.rows("select pair_key, n, message_id from effects order by pair_key, n")
        return gap_free([(key, n, message_id) for key, n, message_id in rows])

    async def said(self, topic: str = COUNTS) -> list[Event[Any]]:
        """Return what waits in the outbox for a topic, in its order."""
        rows = await self.rows("select value from outbox where topic = :topic order by id", topic=topic)
        return [cloudevents.decode(bytes(value)) for (value,) in rows]

    async def dead_letters(self) -> list[DeadLetter]:
        return [event.data for event in await self.said(DEAD_LETTERS)]

    async def parked(self) -> list[tuple[str, str, bool]]:
        """Return what is parked, oldest first: key, reason, whether it blocks the key."""
        rows = await self.rows("select key, reason, blocks_key from parked_records order by id")
        return [(key, reason, blocks) for key, reason, blocks in rows]

    async def rows(self, query: str, **values: Any) -> Sequence[Any]:
        async with self.database.transaction() as tx:
            return (await tx.execute(text(query), values)).all()


def gap_free(effects: Sequence[tuple[str, int, str]]) -> dict[str, list[str]]:
    """Return each pair's message ids in order. Fails when versions have a gap or appear twice."""
    found: dict[str, list[str]] = {}
    for key, version, message_id in effects:
        found.setdefault(key, []).append(message_id)
        assert version == len(found[key]), f"{key}: version {version} comes where {len(found[key])} should"
    return found


def first_occurrences(events: Sequence[Event[Any]]) -> dict[str, list[str]]:
    """Return, for each pair, what was published, without repeats. Fails unless versions count from 1 up."""
    seen: set[str] = set()
    effects: list[tuple[str, int, str]] = []
    for event in events:
        if event.id not in seen:
            seen.add(event.id)
            effects.append((event.subject, event.data.version, event.data.message_id))
    return gap_free(effects)


@asynccontextmanager
async def gate_of(database: Database) -> AsyncIterator[None]:
    """Hold the gate that messages saying `WAIT` wait for, until the block ends."""
    async with database.transaction() as tx:
        # On a busy machine a test may take longer than what frees the locks of a frozen process.
        await tx.execute(text("set local idle_in_transaction_session_timeout = 0"))
        await tx.execute(text("select pg_advisory_xact_lock(:gate)"), {"gate": GATE})
        yield
