"""Choices from the best few of a department are those from everybody, or are taken anew from everybody."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random  # noqa: TID251 - seeded
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.app import STEPS
from services.routing.decisions.choice import (
    NO_SKILLS,
    RUNNERS_UP,
    Ranking,
    ShortlistEndsError,
    Verdict,
    choose,
    verdict,
)
from services.routing.decisions.floor import SERVE_QUEUE
from services.routing.decisions.needs import MOST_SKILLED, SPARE, needs_of, needs_of_dues, places_into
from services.routing.handlers import RoutingHandlers
from services.routing.model import EVERYBODY, PARTED, Agent, Documents, Facts, Key, Needs, Others, Strategy
from services.routing.store import Store
from services.routing.store.shortlist import Wanted, shortlist
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAssign, ChatClose
from shared.contracts.directory import RoutingRule, RoutingRulesDocument
from shared.contracts.event import Model
from shared.contracts.inbound_messages import Hints
from shared.platform.database import Database
from shared.platform.outcome import Due, Outcome
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT
from tests.pipeline.waiting import until_holds
from tests.routing.builders import a_chat, an_agent

WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
STRATEGIES: tuple[Strategy, ...] = ("least_loaded", "round_robin", "longest_idle")
NAMES = "abcdefghijkl"

asked = st.sampled_from([NO_SKILLS, frozenset({"french"}), frozenset({"french", "wine"})])
agents = st.lists(
    st.builds(
        an_agent,
        st.sampled_from(NAMES),
        load=st.integers(0, 3),
        capacity=st.integers(1, 4),
        state=st.sampled_from(["online", "online", "online", "away", "offline"]),
        draining=st.sampled_from([False, False, False, True]),
        last_assigned_at=st.sampled_from([None, NOON, NOON - timedelta(hours=1)]),
        skills=asked,
    ),
    unique_by=lambda agent: agent.agent_id,
)


def parted(
    members: list[Agent],
    size: int,
    strategy: Strategy,
    turn: str,
    named: frozenset[str],
    *,
    skills: frozenset[str] = NO_SKILLS,
) -> tuple[list[Agent], Others]:
    """The definition of a shortlist: who is named, ``size`` more in the order of choice, and the others."""
    rest = [agent for agent in members if agent.agent_id not in named]
    ordered: list[Agent] = []
    while (
        best := choose([one for one in rest if one not in ordered], strategy, turn, skills).agent
    ) is not None:
        ordered.append(best)
    available = len(ordered)
    ordered += [one for one in rest if one not in ordered]
    left = ordered[size:]
    times = [one.last_assigned_at for one in left if one.last_assigned_at is not None]
    others = Others(
        Counter(verdict(one, skills) for one in left),
        left[0] if size < available else None,
        max(times, default=None),
    )
    return [one for one in members if one not in left], others if left else Others()


@given(
    agents,
    st.integers(0, 12),
    st.tuples(st.sampled_from(STRATEGIES), st.sampled_from(["", *NAMES]), asked),
    st.frozensets(st.sampled_from(NAMES), max_size=3),
    st.lists(st.none() | st.tuples(st.sampled_from(NAMES), st.integers(0, 4)), max_size=12),
)
def test_a_ranking_of_the_best_few_chooses_as_one_of_all_or_says_that_it_cannot(
    members: list[Agent],
    size: int,
    order: tuple[Strategy, str, frozenset[str]],
    named: frozenset[str],
    steps: list[tuple[str, int] | None],
) -> None:
    strategy, turn, skills = order
    read, others = parted(members, size, strategy, turn, named, skills=skills)
    everybody, known = {one.key: one for one in members}, {one.key: one for one in read}
    whole = Ranking(list(everybody), everybody, strategy, turn, skills=skills)
    few = Ranking(list(known), known, strategy, turn, others, skills=skills)
    chosen = 0
    for step in steps:
        try:
            choice = few.choose()
        except ShortlistEndsError:
            return
        answer = whole.choose()
        assert (choice.agent, choice.counts) == (answer.agent, answer.counts)
        able = [one for one in choice.shortlist if one[1] == Verdict.AVAILABLE]
        assert able == list(answer.shortlist[: len(able)])
        assert len(able) >= min(1 + RUNNERS_UP, answer.counts.get(Verdict.AVAILABLE, 0))
        changed = choice.agent
        if step is not None:
            changed = known.get((TENANT, step[0]), changed)
            changed = changed and changed.but(load=step[1])
        elif changed is not None:
            chosen += 1
            few.turn = whole.turn = changed.agent_id
            changed = changed.but(
                load=changed.load + 1, last_assigned_at=NOON + chosen * timedelta(seconds=1)
            )
        if changed is not None:
            known[changed.key] = everybody[changed.key] = changed
            few.changed(changed)
            whole.changed(changed)


@given(agents, st.integers(1, 6), st.sampled_from(STRATEGIES), st.sampled_from(["", *NAMES]))
def test_the_candidates_that_are_asked_for_suffice_for_the_chats_there_are(
    members: list[Agent], chats: int, strategy: Strategy, turn: str
) -> None:
    read, others = parted(members, chats + SPARE, strategy, turn, frozenset())
    known = {one.key: one for one in read}
    ranking = Ranking(list(known), known, strategy, turn, others)
    for nth in range(chats):
        if (agent := ranking.choose().agent) is None:
            return
        ranking.turn = agent.agent_id
        ranking.changed(agent.but(load=agent.load + 1, last_assigned_at=NOON + nth * timedelta(seconds=1)))


def test_nobody_is_told_to_be_all_there_is_while_others_are_not_read() -> None:
    others = Others({Verdict.AVAILABLE: 1}, an_agent("bob", load=1))
    ann = an_agent("ann")
    with pytest.raises(ShortlistEndsError):
        Ranking([ann.key], {ann.key: ann}, others=others).choose()


def test_others_who_are_full_are_counted_and_not_waited_for() -> None:
    ann = an_agent("ann", state="away")
    choice = Ranking([ann.key], {ann.key: ann}, others=Others({Verdict.FULL: 7})).choose()
    assert (choice.agent, choice.counts) == (None, {Verdict.FULL: 7, Verdict.AWAY: 1})
    assert choice.anybody_working


class All(Store):
    """The definition: everybody is read."""

    async def _lock_agents(
        self, tx: AsyncConnection, needs: Needs, named: set[Key], wanted: Mapping[Key, Wanted]
    ) -> tuple[dict[Key, Others], dict[Key, Agent]]:
        whole = {key: Wanted(EVERYBODY, one.strategy, one.turn) for key, one in wanted.items()}
        return await super()._lock_agents(tx, needs, named, whole)


@dataclass
class Few(Store):
    """The store as it is, with a count of what it read."""

    read: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def gather(self, *facts_of: object) -> Facts:
        facts = await super().gather(*facts_of)  # type: ignore[arg-type]
        self.read.append(len(facts.agents))
        return facts

    async def everybody(self, tx: AsyncConnection, needs: Needs, facts: Facts) -> Facts:
        found = await super().everybody(tx, needs, facts)
        assert not found.others
        self.read.append(len(found.agents))
        return found


@pytest.fixture
async def routing(migrated: Migrated) -> AsyncIterator[Database]:
    database = Database(await migrated("routing"), "routing")
    yield database
    await database.close()


async def hear(
    database: Database, store: Store, *inputs: Model, batch: int = 0, keep: bool = True
) -> Outcome:
    """Let routing decide a batch; one of the same number has the same ids."""
    heard = [desk.received(one, event_id=f"{batch}-{nth}") for nth, one in enumerate(inputs)]
    async with database.transaction() as tx:
        outcome = await RoutingHandlers(store, STEPS).handle(tx, heard, NOON)
        if not keep:
            await tx.rollback()
    return outcome


async def filled(database: Database, random: Random, people: int) -> None:
    """A tenant of three departments, some members in several, each with what they do and hold at random."""
    departments = ["sales", "care", "night"]
    rules = tuple(RoutingRule(department=name, hint=name) for name in departments)
    names = [f"{random.choice('aZ_é')}{n}" for n in range(people)]
    await hear(
        database,
        Store(),
        desk.a_tenant(),
        RoutingRulesDocument(id="default", revision=1, rules=rules),
        *(
            desk.a_department(one, strategy=random.choice(STRATEGIES), fallback=random.choice([None, "care"]))
            for one in departments
        ),
        *(
            desk.an_agent_document(
                one,
                departments=tuple(random.sample(departments, random.choice([1, 1, 2, 3]))),
                roles=random.choice([("agent",), ("agent",), ("supervisor",)]),
                capacity=random.randint(1, 5),
                skills=random.choice([(), (), ("french",), ("french", "wine")]),
            )
            for one in names
        ),
        *(
            desk.agent_changed(
                one, random.choice(["online", "online", "online", "away"]), draining=random.random() < 0.1
            )
            for one in names
        ),
    )
    async with database.transaction() as tx:
        for one in names:
            await tx.execute(
                text("update agents set load = :load, last_assigned_at = :at where agent_id = :one"),
                {
                    "one": one,
                    "load": random.randint(0, 5),
                    "at": random.choice([None, NOON - timedelta(minutes=random.randint(1, 5))]),
                },
            )
        await tx.execute(text("update departments set turn = :turn"), {"turn": random.choice(names)})


def decided(outcome: Outcome) -> list[dict[str, Any]]:
    """Everything said, but for the candidates named: there are as many as were read."""
    said = [event.data.model_dump() for event in outcome.outgoing]
    for one in said:
        if isinstance(one.get("why"), dict):
            one["why"].pop("shortlist", None)
    return said


@pytest.mark.servers
@pytest.mark.parametrize("seed", range(8))
async def test_a_batch_decides_the_same_from_the_best_few_as_from_everybody(
    routing: Database, seed: int
) -> None:
    random = Random(seed)
    await filled(routing, random, people=60)
    few, read = Few(), 0
    for nth in range(10):
        messages = [
            desk.a_message(
                customer=f"+27{nth:02}{n:04}",
                hints=Hints(
                    department=random.choice(["sales", "care", "night"]),
                    skills=random.choice([(), ("french",), ("wine", "french"), ("klingon",)]),
                ),
            )
            for n in range(random.choice([1, 3, 10, 30]))
        ]
        expected = await hear(routing, All(), *messages, batch=nth, keep=False)
        found = await hear(routing, few, *messages, batch=nth)
        assert decided(found) == decided(expected)
        read += len(few.read) == 1
        few.read.clear()
    assert read, "no batch was decided from the best few"


@pytest.mark.servers
async def test_few_of_a_large_department_are_read_and_all_where_somebody_names_it(routing: Database) -> None:
    names = [f"agent-{n:03}" for n in range(100)]
    few = Few()
    await hear(
        routing,
        few,
        desk.a_tenant(),
        desk.a_department(),
        *(desk.an_agent_document(one) for one in names),
        *(desk.agent_changed(one) for one in names),
    )
    few.read.clear()
    await hear(routing, few, desk.a_message(), desk.a_message(customer="+2711"))
    assert few.read == [2 + SPARE]
    few.read.clear()
    async with routing.transaction() as tx:
        ((chat_id,), *_) = await tx.execute(text("select chat_id from chats order by agent_id"))
        ((first, load),) = await tx.execute(
            text("select min(agent_id), sum(load) from agents where load > 0")
        )
    assert (first, load) == ("agent-000", 2)
    boss = Actor(role="supervisor", id="sue")
    await hear(routing, few, ChatAssign(by=boss, chat_id=chat_id, department_id="sales"))
    assert few.read == [100]


@pytest.mark.servers
async def test_who_had_the_last_chat_is_read_wherever_they_stand_in_the_order(routing: Database) -> None:
    names = [f"agent-{n:03}" for n in range(40)]
    few = Few()
    await hear(
        routing,
        few,
        desk.a_tenant(),
        desk.a_department(),
        *(desk.an_agent_document(one) for one in names),
        *(desk.agent_changed(one) for one in names),
        desk.a_message(),
    )
    async with routing.transaction() as tx:
        ((chat_id,),) = await tx.execute(text("select chat_id from chats where agent_id = 'agent-000'"))
        await tx.execute(text("update agents set load = 2 where agent_id = 'agent-000'"))
    await hear(routing, few, ChatClose(by=Actor(role="agent", id="agent-000"), chat_id=chat_id), batch=1)
    few.read.clear()
    await hear(routing, few, desk.a_message("again"), batch=2)
    async with routing.transaction() as tx:
        held = list(await tx.execute(text("select agent_id from chats where state = 'assigned'")))
    assert held == [("agent-000",)]
    assert few.read == [1 + SPARE + 1]


@pytest.mark.servers
async def test_who_is_taken_by_another_department_meanwhile_is_made_up_for_by_reading_all(
    routing: Database,
) -> None:
    """Both departments have the same people, and between them they take more of the best than are spare."""
    both = ("sales", "care")
    rules = tuple(RoutingRule(department=name, hint=name) for name in both)
    names = [f"agent-{n:03}" for n in range(40)]
    few = Few()
    await hear(
        routing,
        few,
        desk.a_tenant(),
        RoutingRulesDocument(id="default", revision=1, rules=rules),
        *map(desk.a_department, both),
        *(desk.an_agent_document(one, departments=both, capacity=1) for one in names),
        *(desk.agent_changed(one) for one in names),
    )
    few.read.clear()
    told = [*["sales"] * 8, *["care"] * 8]
    messages = [desk.a_message(customer=f"+27{n}", hints=Hints(department=to)) for n, to in enumerate(told)]
    expected = await hear(routing, All(), *messages, keep=False)
    found = await hear(routing, few, *messages)
    assert decided(found) == decided(expected)
    assert few.read == [8 + SPARE, 40]


@pytest.mark.servers
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_shortlist_is_in_the_order_of_the_strategy(routing: Database, strategy: Strategy) -> None:
    random = Random(strategy)
    await filled(routing, random, people=150)
    sales = (TENANT, "sales")
    async with routing.transaction() as tx:
        rows = list(await tx.execute(text("select agent_id from agents")))
        everybody = await Store()._agents.read(tx, [(TENANT, name) for (name,) in rows])
        members = [agent for agent in everybody.values() if agent.takes_chats_of(sales)]
        named = frozenset(random.sample([agent.agent_id for agent in members], 3))
        for size in (0, 1, 5, len(members)):
            for turn in ("", "Z", "_", *(agent.agent_id for agent in random.sample(members, 5))):
                wanted = {sales: Wanted(size, strategy, turn)}
                picked, others = await shortlist(tx, wanted, [(TENANT, name) for name in named])
                read, left = parted(members, size, strategy, turn, named)
                best = others[sales].best if sales in others else None
                assert (best and best.agent_id) == (left.best and left.best.agent_id)
                if left.best is not None:  # beyond those who are available any will do
                    assert {name for _, name in picked} | named == {agent.agent_id for agent in read}
                    assert others[sales].counts == left.counts
                    assert others[sales].last_assigned_at == left.last_assigned_at


@pytest.mark.servers
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_who_has_the_skills_is_on_the_shortlist_beside_the_best_of_all(
    routing: Database, strategy: Strategy
) -> None:
    random = Random(strategy)
    await filled(routing, random, people=150)
    sales, french = (TENANT, "sales"), frozenset({"french", "wine"})
    async with routing.transaction() as tx:
        rows = list(await tx.execute(text("select agent_id from agents")))
        everybody = await Store()._agents.read(tx, [(TENANT, name) for (name,) in rows])
        members = [agent for agent in everybody.values() if agent.takes_chats_of(sales)]
        for size in (0, 1, 3):
            wanted = {sales: Wanted(size, strategy, "a", {PARTED.join(sorted(french)): size})}
            picked, others = await shortlist(tx, wanted, [])
            names = frozenset(name for _, name in picked)
            best, _ = parted(members, size, strategy, "a", frozenset())
            skilled, _ = parted(members, size, strategy, "a", frozenset(), skills=french)
            assert names == {one.agent_id for one in (*best, *skilled)}
            # Of who was not read the same is told as if they had been left out by name.
            _, left = parted(members, 0, strategy, "a", names)
            _, lacking = parted(members, 0, strategy, "a", names, skills=french)
            told = others[sales].skilled["french\x1fwine"]
            assert (others[sales].counts, told.counts) == (left.counts, lacking.counts)
            assert (told.best and told.best.agent_id) == (lacking.best and lacking.best.agent_id)
            assert told.best is not None or size


@pytest.mark.servers
async def test_few_of_a_large_department_are_read_for_chats_that_ask_for_skills(routing: Database) -> None:
    names = [f"agent-{n:03}" for n in range(100)]
    few = Few()
    await hear(
        routing,
        few,
        desk.a_tenant(),
        desk.a_department(),
        *(desk.an_agent_document(one, skills=("french",) if one > "agent-049" else ()) for one in names),
        *(desk.agent_changed(one) for one in names),
    )
    few.read.clear()
    asks = Hints(skills=("french",))
    await hear(routing, few, desk.a_message(hints=asks), desk.a_message(customer="+2711"))
    assert few.read == [2 + SPARE + 1 + SPARE]
    few.read.clear()
    skills = [Hints(skills=(f"skill-{n}",)) for n in range(MOST_SKILLED + 1)]
    crowd = [desk.a_message(customer=f"+2712{n}", hints=one) for n, one in enumerate(skills)]
    await hear(routing, few, *crowd, batch=1)
    assert few.read == [100], "of so many sets of skills everybody is read"


@pytest.mark.servers
async def test_locks_on_the_best_few_are_given_back_before_all_are_taken_in_order(routing: Database) -> None:
    """Somebody holds the first agent and wants one of the best: neither waits for the other."""
    names = [f"agent-{n:03}" for n in range(40)]
    store = Store()
    await hear(
        routing,
        store,
        desk.a_tenant(),
        desk.a_department(),
        *(desk.an_agent_document(one) for one in names),
        *(desk.agent_changed(one) for one in names),
    )
    async with routing.transaction() as tx:
        await tx.execute(text("update agents set load = 1 where agent_id < 'agent-020'"))
    needs = needs_of([desk.received(desk.a_message())])
    lock = "select from agents where agent_id = :one for no key update"
    async with routing.transaction() as tx, routing.transaction() as other:
        facts = await store.gather(tx, needs, places_into)
        assert (TENANT, "agent-020") in facts.agents
        await other.execute(text(lock), {"one": "agent-000"})
        late = asyncio.create_task(store.everybody(tx, needs, facts))

        async def waits() -> bool:
            async with routing.transaction() as third:
                rows = await third.execute(text(WAITING))
                return bool(rows.scalar_one()) or late.done()

        await until_holds(waits, bool)
        assert not late.done()
        await other.execute(text(lock + " nowait"), {"one": "agent-020"})
        await other.commit()
        assert len((await late).agents) == 40


def test_a_chat_that_somebody_passed_on_asks_for_all_of_its_department() -> None:
    row = Due(SERVE_QUEUE, f"{TENANT}:sales", TENANT, NOON, generation=1)
    for passed_by, everybody in (("", False), ("ann", True)):
        chat = a_chat().but(passed_by=passed_by)
        found = places_into(needs_of_dues([row]), {chat.key: chat}, {}, {TENANT: Documents()})
        assert (found[TENANT, "sales"] > EVERYBODY) == everybody
