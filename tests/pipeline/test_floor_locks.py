"""Routing's real rows: departments and agents are locked before queue and loads are read, pairs before chats.

Two transactions overlap as two replicas' would; beside the law stands the store without it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.app import STEPS
from services.routing.handlers import RoutingHandlers
from services.routing.model import Agent, Chat, Closing, Key, Needs, Others
from services.routing.store import Store
from services.routing.store.chats import Chats
from services.routing.store.shortlist import Wanted
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose
from shared.contracts.event import Model
from shared.platform.database import Database
from shared.platform.faults import is_race
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers

WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)


class LoadsReadFirst(Store):
    """The law removed: agents' loads are those from before their rows were locked."""

    async def _lock_agents(
        self, tx: AsyncConnection, needs: Needs, named: set[Key], wanted: Mapping[Key, Wanted]
    ) -> tuple[dict[Key, Others], dict[Key, Agent]]:
        rows = await tx.execute(text("select tenant_id, agent_id from agents"))
        before = await self._agents.read(tx, [(tenant_id, agent_id) for tenant_id, agent_id in rows])
        others, _ = await super()._lock_agents(tx, needs, named, wanted)
        return others, before


class ChatsReadFirst(Chats):
    """The law removed: a pair's open chat is the one from before the pair was locked."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[Key, Chat] = {}

    async def lock_pairs(
        self, tx: AsyncConnection, pairs: Iterable[str]
    ) -> tuple[set[str], dict[str, Closing]]:
        wanted = set(pairs)
        self._before = await super().read(tx, wanted, ())
        return await super().lock_pairs(tx, wanted)

    async def read(self, tx: AsyncConnection, pairs: Iterable[str], chats: Iterable[Key]) -> dict[Key, Chat]:  # noqa: ARG002
        return self._before


class PairsLockedLate(Store):
    """The store with chats that are read before the lock."""

    def __init__(self) -> None:
        super().__init__()
        self._chats = ChatsReadFirst()


class Replica:
    """One process of routing, its transactions in the test's hand."""

    def __init__(self, database: Database, store: Store | None = None) -> None:
        self._database = database
        self._handlers = RoutingHandlers(store or Store(), STEPS)

    @asynccontextmanager
    async def hearing(self, *inputs: Model) -> AsyncIterator[None]:
        """Handle a batch and keep its transaction open until the block ends."""
        async with self._database.transaction() as tx:
            await self._handlers.handle(tx, [desk.received(one) for one in inputs], desk.NOON)
            yield

    async def hear(self, *inputs: Model) -> None:
        async with self.hearing(*inputs):
            pass


@pytest.fixture
async def routing(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("routing"), "routing")
    await Replica(database).hear(desk.a_tenant(), desk.a_department(), desk.an_agent_document(capacity=1))
    await Replica(database).hear(desk.agent_changed())
    yield database
    await database.close()


async def overlapping(database: Database, first: Replica, said: Model, second: Replica, then: Model) -> None:
    """Let the second begin while the first holds its locks, and go on when it has committed."""
    async with first.hearing(said):
        late = asyncio.create_task(second.hear(then))

        async def waiting() -> int:
            return int((await ask(database, WAITING))[0][0]) + late.done()

        await until_holds(waiting, bool)
    await late


async def ask(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        return [tuple(row) for row in await tx.execute(text(query))]


@pytest.mark.parametrize(
    ("store", "state"), [(Store, "assigned"), (LoadsReadFirst, "queued")], ids=["law", "removed"]
)
async def test_slot_that_is_just_being_freed_is_seen_only_if_loads_are_read_after_the_locks(
    routing: Database, store: type[Store], state: str
) -> None:
    """«All full» and «one freed» would pass each other, and the chat would wait beside a free agent."""
    await Replica(routing).hear(desk.a_message(customer="+27820000001"))
    ((chat_id,),) = await ask(routing, "select chat_id from chats where state = 'assigned'")
    close = ChatClose(by=Actor(role="agent", id="ann"), chat_id=str(chat_id))
    arrival = desk.a_message(customer="+27820000002")
    await overlapping(routing, Replica(routing), close, Replica(routing, store()), arrival)
    assert await ask(routing, "select state from chats where state <> 'closed'") == [(state,)]


async def test_slot_freed_while_a_newcomer_queues_is_offered_to_them(routing: Database) -> None:
    """The other order: who frees the slot waits for who queues, so that the sweep after it finds them."""
    await Replica(routing).hear(desk.a_message(customer="+27820000001"))
    ((chat_id,),) = await ask(routing, "select chat_id from chats where state = 'assigned'")
    close = ChatClose(by=Actor(role="agent", id="ann"), chat_id=str(chat_id))
    arrival = desk.a_message(customer="+27820000002")
    freed = Replica(routing)
    async with Replica(routing).hearing(arrival):
        late = asyncio.create_task(freed.hear(close))

        async def waiting() -> bool:
            return bool((await ask(routing, WAITING))[0][0]) or late.done()

        await until_holds(waiting, bool)
        assert not late.done(), "a slot was freed beside somebody who was just told that all are full"
    await late


async def test_two_first_messages_of_a_pair_make_one_chat(routing: Database) -> None:
    replicas = Replica(routing), Replica(routing)
    await known_pair(routing)
    await overlapping(routing, replicas[0], desk.a_message(), replicas[1], desk.a_message())
    assert len(await ask(routing, "select 1 from chats where state <> 'closed'")) == 1


async def test_chats_read_before_the_pair_is_locked_would_be_two(routing: Database) -> None:
    """The index on open chats turns the second away, and its batch is tried again: a net, not the law."""
    late = Replica(routing, PairsLockedLate())
    await known_pair(routing)
    with pytest.raises(Exception, match="one_open_chat_per_pair") as raised:
        await overlapping(routing, Replica(routing), desk.a_message(), late, desk.a_message())
    assert is_race(raised.value)


async def known_pair(routing: Database) -> None:
    """Have the pair's row there: creating it would be a lock by itself."""
    await Replica(routing).hear(desk.a_message())
    async with routing.transaction() as tx:
        await tx.execute(text("update chats set state = 'closed', agent_id = null"))
        await tx.execute(text("update agents set load = 0"))
