"""Many workers, one PostgreSQL: capacity, one chat per pair, nobody forgotten, whatever the interleaving."""

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from copy import deepcopy
from random import Random  # noqa: TID251 - the seed is in the test's name

import pytest
from sqlalchemy import text

from services.routing.decisions.needs import needs_of, places_into
from services.routing.store import Store
from services.routing.store.glance import Glance
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatClose,
    ChatMarkPending,
    ChatSetDepartment,
    ChatTake,
    ChatTransfer,
    ChatUnmarkPending,
)
from shared.contracts.chats import ChatAssigned, ChatMessageAdded
from shared.contracts.content import Text
from shared.contracts.directory import RoutingRule, RoutingRulesDocument
from shared.contracts.event import Model
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.contact import WORKERS, Contact
from tests.routing.wrongs import (
    HELD_UNASSIGNED,
    LEFT_BEHIND,
    MISCOUNTED,
    OFFERED_IN_VAIN,
    STUCK,
    WAIT_FOR_NOBODY,
)

pytestmark = pytest.mark.servers


@pytest.fixture
async def contact(migrated: Migrated) -> AsyncIterator[Contact]:
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    found = Contact(database)
    await found.hear(desk.a_tenant(), desk.a_department(), desk.an_agent_document(capacity=5))
    await found.hear(desk.agent_changed())
    await found.sweep()
    await found.connect()
    yield found
    await database.close()


def customers(count: int) -> list[str]:
    return [f"+2782{n:07}" for n in range(count)]


async def test_eight_workers_never_exceed_one_agent_s_capacity(contact: Contact) -> None:
    messages = [desk.a_message(customer=one) for one in customers(5_000)]
    await contact.hear_at_once(messages[n : n + 25] for n in range(0, 5_000, 25))
    assert await contact.count("select count(*) from chats where state = 'assigned'") == 5
    await contact.sweep()
    assert await contact.count("select load from agents") == 5
    assert await contact.count("select count(*) from chats where state = 'assigned'") == 5
    assert await contact.count("select count(*) from chats where state = 'queued'") == 4_995
    assert await contact.count("select count(distinct pair_key) from chats") == 5_000


@pytest.mark.parametrize("strategy", ["round_robin", "longest_idle"])
async def test_eight_workers_share_chats_out_evenly_and_exactly_by_turns(
    contact: Contact, strategy: str
) -> None:
    team = ["ann", "bob", "cid"]
    await contact.hear(desk.a_department(strategy=strategy, revision=2))
    await contact.hear(*(desk.an_agent_document(one, capacity=9, revision=2) for one in team))
    await contact.hear(*(desk.agent_changed(one, version=2) for one in team))
    await contact.hear_at_once([[desk.a_message(customer=one)] for one in customers(9)])
    assert await contact.count("select count(*) from agents where load = 3") == len(team)
    await contact.hear_at_once([[desk.a_message(customer=one)] for one in customers(60)])
    assert await contact.count("select sum(load) from agents") == 9 * len(team)
    assert await contact.count("select max(load) from agents") == 9


async def test_eight_workers_fall_back_without_exceeding_anybody_s_capacity(contact: Contact) -> None:
    await contact.hear(
        desk.a_department("night", fallback="sales"),
        desk.a_department("sales", fallback="night", revision=2),
        desk.a_tenant(first_line_department="night", revision=2),
        desk.an_agent_document("nina", departments=("night",), capacity=5),
    )
    messages: list[Sequence[Model]] = [[desk.a_message(customer=one)] for one in customers(100)]
    flips: list[Sequence[Model]] = [
        [desk.agent_changed("nina", "online" if n % 2 else "away", version=n)] for n in range(1, 30)
    ]
    await contact.hear_at_once([*messages[:10], *itertools.chain(*zip(flips, messages[10:39], strict=True))])
    await contact.hear_at_once(messages[39:])
    await contact.sweep()
    assert await contact.count("select count(*) from agents where load > capacity") == 0
    assert await contact.count("select count(*) from chats where state = 'diverted'") == 0
    free = "select count(*) from agents where load < capacity and state = 'online'"
    assert await contact.count(free) == 0


@pytest.mark.parametrize("in_a_batch", [1, 3, 7])
async def test_a_burst_over_many_workers_makes_one_chat_without_gaps(
    contact: Contact, in_a_batch: int
) -> None:
    burst = [desk.a_message(str(n), customer="+27825550000") for n in range(50)]
    await contact.hear_at_once(burst[n : n + in_a_batch] for n in range(0, 50, in_a_batch))
    assert await contact.count("select count(*) from chats") == 1
    assert await contact.count("select load from agents") == 1
    said = [event.data for _, event in await contact.said()]
    assert [one.version for one in said] == list(range(1, 53))
    heard = [one.content for one in said if isinstance(one, ChatMessageAdded)]
    assert {one.text for one in heard if isinstance(one, Text)} == {str(n) for n in range(50)}


async def test_bursts_of_many_new_customers_over_many_workers_make_a_chat_each(contact: Contact) -> None:
    messages = [desk.a_message(str(n), customer=one) for n in range(50) for one in customers(20)]
    Random(5).shuffle(messages)
    await contact.hear_at_once(messages[n : n + 4] for n in range(0, 1_000, 4))
    await contact.sweep()
    assert await contact.count("select count(*) from chats") == 20
    assert await contact.count("select count(*) from chats where state = 'assigned'") == 5
    versions: dict[str, list[int]] = {}
    for _, event in await contact.said():
        versions.setdefault(event.data.chat_id, []).append(event.data.version)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in versions.values())


async def test_freeing_slots_while_others_queue_leaves_nobody_waiting_beside_a_free_agent(
    contact: Contact,
) -> None:
    await contact.hear(*(desk.a_message(customer=one) for one in customers(5)))
    async with contact.database.transaction() as tx:
        rows = await tx.execute(text("select chat_id from chats where state = 'assigned'"))
        held = [chat_id for (chat_id,) in rows]
    closes = [[ChatClose(by=Actor(role="agent", id="ann"), chat_id=chat_id)] for chat_id in held]
    arrivals = [[desk.a_message(customer=f"+2783{n:07}")] for n in range(5)]
    await contact.hear_at_once(itertools.chain.from_iterable(zip(closes, arrivals, strict=True)))
    await contact.sweep()
    assert await contact.count("select count(*) from chats where state = 'queued'") == 0
    assert await contact.count("select load from agents") == 5


async def test_whoever_had_a_pair_s_last_chat_has_the_next_on_any_worker(contact: Contact) -> None:
    await contact.hear(desk.an_agent_document("bob", capacity=50), desk.agent_changed("bob"))
    await contact.hear(*(desk.a_message(customer=one) for one in customers(6)))
    mine = "select chat_id, agent_id from chats where state = 'assigned'"
    async with contact.database.transaction() as tx:
        held = [(chat_id, agent_id) for chat_id, agent_id in await tx.execute(text(mine))]
    await contact.hear_at_once(
        [ChatClose(by=Actor(role="agent", id=agent_id), chat_id=chat_id)] for chat_id, agent_id in held
    )
    await contact.hear_at_once([[desk.a_message("again", customer=one)] for one in reversed(customers(6))])
    same = (
        "select count(*) from chats old join chats new using (pair_key) where old.state = 'closed'"
        " and new.state = 'assigned' and new.agent_id = old.previous_agent_id"
    )
    assert await contact.count(same) == 6


async def test_a_preview_knows_whoever_had_the_last_chat(contact: Contact) -> None:
    """`chatdesk hand-over` shows what would be done, so it must read what decides it."""
    await contact.hear(desk.a_message())
    async with contact.database.transaction() as tx:
        ((chat_id, agent_id),) = await tx.execute(text("select chat_id, agent_id from chats"))
    await contact.hear(ChatClose(by=Actor(role="agent", id=agent_id), chat_id=chat_id))
    needs = needs_of([desk.received(desk.a_message("again"))])
    async with contact.database.transaction() as tx:
        seen = (await Glance().gather(tx, deepcopy(needs), places_into)).closings
        done = (await Store().gather(tx, deepcopy(needs), places_into)).closings
    assert seen == done
    assert [(one.chat_id, one.agent_id) for one in seen.values()] == [(chat_id, agent_id)]


async def test_an_append_racing_the_loss_of_its_agent_is_not_left_behind(contact: Contact) -> None:
    await contact.hear(*(desk.a_message(customer=one) for one in customers(5)))
    async with contact.database.transaction() as tx:
        await tx.execute(text("update chats set last_word = 'business'"))
    appends = [[desk.a_message(customer=one)] for one in customers(5)]
    await contact.hear_at_once([*appends, [desk.agent_changed(state="offline", version=2)]])
    await contact.sweep()
    stuck = "select count(*) from chats where state = 'assigned' and last_word = 'customer'"
    assert await contact.count(stuck) == 0
    assert await contact.count("select load from agents") == 0


async def test_parked_chats_that_wake_at_once_are_all_counted(contact: Contact) -> None:
    await contact.hear(desk.an_agent_document(capacity=40, revision=2))
    await contact.hear(*(desk.a_message(customer=one) for one in customers(40)))
    ann = Actor(role="agent", id="ann")
    held = [chat_id for (chat_id,) in await contact.rows("select chat_id from chats")]
    await contact.hear(*(ChatMarkPending(by=ann, chat_id=one, reason="customer") for one in held))
    assert await contact.count("select load from agents") == 0
    await contact.hear_at_once([desk.a_message(customer=one)] for one in customers(40))
    assert await contact.count("select load from agents") == 40
    assert await contact.rows(MISCOUNTED) == []


AGENTS = ("ann", "bob", "cleo", "dan")
SHARED = [("sales", "help"), ("sales",), ("help",), ("sales", "help")]
SUPERVISOR = Actor(role="supervisor", id="sue")


@pytest.fixture
async def two_departments(contact: Contact) -> Contact:
    """Two departments that share agents; whoever writes `help` is for the second."""
    rule = RoutingRule(department="help", keyword="help")
    await contact.hear(
        desk.a_department("help"),
        RoutingRulesDocument(id="rules", revision=1, rules=(rule,)),
        *(
            desk.an_agent_document(name, revision=2, capacity=3, departments=member_of)
            for name, member_of in zip(AGENTS, SHARED, strict=True)
        ),
        *(desk.agent_changed(name, version=2) for name in AGENTS),
    )
    await contact.sweep()
    return contact


def an_hour(chance: Random, held: Sequence[str]) -> list[list[Model]]:
    """Everything that may race: writing, closing, giving away, coming, going, other capacities."""
    versions, revisions = itertools.count(3), itertools.count(3)

    def one() -> Model:
        agent, chat_id = chance.choice(AGENTS), chance.choice(held)
        acts: list[Callable[[], Model]] = [
            lambda: desk.a_message(chance.choice(["hello", "help"]), customer=chance.choice(customers(60))),
            lambda: ChatClose(by=SUPERVISOR, chat_id=chat_id),
            lambda: ChatAssign(by=SUPERVISOR, chat_id=chat_id, agent_id=agent),
            lambda: ChatMarkPending(by=SUPERVISOR, chat_id=chat_id, reason="internal"),
            lambda: ChatUnmarkPending(by=SUPERVISOR, chat_id=chat_id),
            lambda: ChatSetDepartment(
                by=SUPERVISOR, chat_id=chat_id, department_id=chance.choice(["sales", "help"])
            ),
            lambda: ChatAssign(
                by=SUPERVISOR, chat_id=chat_id, department_id=chance.choice(["sales", "help"])
            ),
            lambda: ChatTransfer(
                by=Actor(role="agent", id=agent), chat_id=chat_id, agent_id=chance.choice(AGENTS)
            ),
            lambda: ChatTransfer(
                by=Actor(role="agent", id=agent),
                chat_id=chat_id,
                department_id=chance.choice(["sales", "help"]),
            ),
            lambda: ChatTake(by=Actor(role="agent", id=agent), chat_id=chat_id),
            lambda: ChatAcceptOffer(by=Actor(role="agent", id=agent), chat_id=chat_id),
            lambda: desk.agent_changed(
                agent, chance.choice(["online", "online", "away", "offline"]), next(versions)
            ),
            lambda: desk.an_agent_document(
                agent,
                revision=next(revisions),
                capacity=chance.randint(1, 4),
                departments=chance.choice(SHARED),
            ),
        ]
        return chance.choices(acts, weights=[8, 3, 3, 2, 2, 2, 2, 4, 4, 2, 6, 2, 1])[0]()

    return [[one() for _ in range(chance.randint(1, 4))] for _ in range(120)]


@pytest.mark.parametrize("seed", range(5))
async def test_everything_at_once_leaves_nothing_wrong(two_departments: Contact, seed: int) -> None:
    """Departments share agents; assignments race with closes, sign-outs and capacity changes."""
    contact, chance = two_departments, Random(seed)
    await contact.hear(desk.a_department("help", revision=2, mode="offer", take_allowed=True))
    await contact.hear(*(desk.a_message(customer=one) for one in customers(20)))
    held = [chat_id for (chat_id,) in await contact.rows("select chat_id from chats order by chat_id")]
    await contact.hear_at_once(an_hour(chance, held))
    await contact.sweep()
    for query in (MISCOUNTED, STUCK, LEFT_BEHIND, WAIT_FOR_NOBODY, HELD_UNASSIGNED, OFFERED_IN_VAIN):
        assert await contact.rows(query) == []
    assert (
        await contact.rows(
            "select pair_key from chats where state <> 'closed' group by pair_key having count(*) > 1"
        )
        == []
    )
    loads: dict[str, int] = {}
    for _, event in await contact.said():
        if not isinstance(event.data, ChatAssigned) or event.data.agent_id is None:
            continue
        if event.data.previous_agent_id != event.data.agent_id:  # who had it above their capacity keeps it
            loads[event.data.agent_id] = max(loads.get(event.data.agent_id, 0), event.data.agent_load or 0)
    assert max(loads.values()) <= 4
    assert await contact.rows("select * from parked_records") == []
