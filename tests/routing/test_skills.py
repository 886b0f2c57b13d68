"""Skills that chats ask for: who has them, who waits for them and how long, and who gets a chat without."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.routing.app import STEPS, unlike
from services.routing.decisions.floor import RELAX_SKILLS, SERVE_QUEUE
from services.routing.decisions.fold import fold, fold_dues
from services.routing.decisions.needs import SPARE, needs_of, needs_of_dues, places_into
from services.routing.model import (
    LOOK_AT,
    PARTED,
    Agent,
    Closing,
    Documents,
    Facts,
    Rule,
    State,
    Tenant,
)
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatClose,
    ChatDeclineOffer,
    ChatSetDepartment,
    ChatTake,
    ChatTransfer,
)
from shared.contracts.chats import (
    ChatAssigned,
    ChatDiverted,
    ChatFact,
    ChatOffered,
    ChatOpened,
    ChatSkillsRelaxed,
)
from shared.contracts.directory import RoutingRule, RoutingRulesDocument
from shared.contracts.event import Model
from shared.contracts.inbound_messages import Hints
from shared.platform.database import Database
from shared.platform.outcome import Due
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, a_message, received
from tests.routing.builders import (
    ANN,
    SUE,
    a_chat,
    a_department,
    an_agent,
    an_assigned_chat,
    facts,
    minutes,
)
from tests.routing.contact import WORKERS
from tests.routing.office import Office

FRENCH, BOTH = frozenset({"french"}), frozenset({"french", "wine"})
IDLE = an_agent("ann")
BUSY = an_agent("bob", load=2, skills=FRENCH)
LAST = an_assigned_chat().pair.key


def said_of(found: Facts, *skills: str) -> list[ChatFact]:
    """What is said of a message whose hints ask for these skills, decided as it is recorded."""
    message = a_message(hints=Hints(skills=skills))
    events = fold(found, [received(message)], STEPS, NOON).outcome.outgoing
    assert [problem for event in events for problem in unlike(event, {})] == []  # type: ignore[arg-type]
    return [event.data for event in events if isinstance(event.data, ChatFact)]


def becomes(found: Facts, *skills: str) -> str:
    """Who gets it, or what becomes of it instead."""
    last = said_of(found, *skills)[-1]
    return last.agent_id or (last.reason if isinstance(last, ChatDiverted) else last.state)


def here(*team: Agent, **sales: Any) -> Facts:
    return facts(agents=team, departments=(a_department(**sales),))


AT_ONCE: dict[str, Any] = {"relax_skills_after": timedelta(0)}
TICKETS = {"when_full": "ticket"}


@pytest.mark.parametrize(
    ("found", "skills", "expected"),
    [
        pytest.param(here(IDLE, BUSY), (), "ann", id="none asked for: whoever the strategy chooses"),
        pytest.param(here(IDLE, BUSY), ("french",), "bob", id="who has it, however busy"),
        pytest.param(here(IDLE, BUSY), (" French",), "bob", id="in whatever letters it is asked for"),
        pytest.param(
            here(IDLE, BUSY, an_agent("cleo", load=2, skills=BOTH)),
            ("wine", "french"),
            "cleo",
            id="who has all of them",
        ),
        pytest.param(
            here(BUSY, an_agent("cleo", load=1, skills=FRENCH)),
            ("french",),
            "cleo",
            id="the least loaded of them",
        ),
        pytest.param(here(IDLE, BUSY.but(load=3)), ("french",), "queued", id="who has it is full"),
        pytest.param(here(IDLE, BUSY.but(state="away")), ("french",), "queued", id="who has it is away"),
        pytest.param(here(IDLE), ("klingon",), "queued", id="nobody has it, somebody is there"),
        pytest.param(here(IDLE, **AT_ONCE), ("french",), "ann", id="no wait: anybody"),
        pytest.param(here(IDLE, BUSY, **AT_ONCE), ("french",), "bob", id="no wait: still who has it first"),
        pytest.param(
            here(IDLE.but(state="away"), BUSY.but(draining=True)),
            ("french",),
            "no_agents_online",
            id="nobody is there at all",
        ),
        pytest.param(
            here(IDLE, BUSY.but(load=3), **TICKETS), ("french",), "queued", id="somebody else has room"
        ),
        pytest.param(
            here(IDLE.but(load=3), BUSY.but(load=3), **TICKETS), ("french",), "all_full", id="nobody has room"
        ),
    ],
)
def test_who_gets_a_new_chat_that_asks_for_skills(
    found: Facts, skills: tuple[str, ...], expected: str
) -> None:
    assert becomes(found, *skills) == expected


def test_a_rule_asks_for_skills_and_hints_for_more_of_them() -> None:
    found = here(IDLE, BUSY, an_agent("cleo", load=2, skills=BOTH))
    documents = found.directory[TENANT]
    rules = (Rule("sales", skills=("wine",)),)
    tenant = Tenant(TENANT, "sales", rules=rules)
    found.directory[TENANT] = Documents(tenant, documents.departments)
    assert becomes(found) == "cleo"
    opened = said_of(found, "french")[0]
    assert isinstance(opened, ChatOpened)
    assert opened.skills == ("french", "wine")


def test_a_chat_without_skills_says_nothing_of_them() -> None:
    opened, _, assigned = said_of(here(IDLE))
    assert isinstance(opened, ChatOpened)
    assert opened.skills is None
    assert "skills" not in (assigned.why or {})


def test_hints_ask_for_no_more_than_twenty_and_the_rule_s_are_among_them() -> None:
    found = here(IDLE)
    tenant = Tenant(TENANT, "sales", rules=(Rule("sales", skills=("zz",)),))
    found.directory[TENANT] = Documents(tenant, found.directory[TENANT].departments)
    opened = said_of(found, *(f"skill-{n:02}" for n in range(40)), f"a{PARTED}b")[0]
    assert isinstance(opened, ChatOpened)
    assert opened.skills == (*(f"skill-{n:02}" for n in range(19)), "zz")


def test_who_lacks_a_skill_is_named_first_among_those_who_are_passed_over() -> None:
    found = here(an_agent("aaron", load=3), IDLE, BUSY, an_agent("zoe", state="away"))
    why = said_of(found, "french")[-1].why or {}
    assert [one[:2] for one in why["shortlist"]] == [
        ("bob", "available"),
        ("ann", "lacks_skill"),
        ("aaron", "full"),
        ("zoe", "away"),
    ]
    assert why["counts"] == {"available": 1, "lacks_skill": 1, "full": 1, "away": 1}
    assert why["skills"] == {"asked": ("french",), "relaxed": False, "held_to": True}


@pytest.mark.parametrize(
    ("before", "wait", "expected"),
    [
        pytest.param("ann", {}, "bob", id="who lacks the skill is not preferred"),
        pytest.param("cleo", {}, "cleo", id="who has it is"),
        pytest.param("ann", AT_ONCE, "bob", id="nor once anybody will do, beside somebody who has it"),
    ],
)
def test_who_had_the_last_chat_is_preferred_only_with_the_skills(
    before: str, wait: dict[str, Any], expected: str
) -> None:
    cleo = an_agent("cleo", load=2, skills=FRENCH)
    found = facts(
        agents=(IDLE, BUSY.but(load=1), cleo),
        departments=(a_department(**wait),),
        closings={LAST: Closing("before", before, NOON - minutes(1))},
    )
    assert becomes(found, "french") == expected


def test_who_had_the_last_chat_is_preferred_where_nobody_has_the_skills() -> None:
    found = facts(
        agents=(IDLE, an_agent("cleo", load=2)),
        departments=(a_department(**AT_ONCE),),
        closings={LAST: Closing("before", "cleo", NOON - minutes(1))},
    )
    assert becomes(found, "french") == "cleo"


ASKS = a_chat().but(skills="french")
HELD = an_assigned_chat("zoe").but(skills="french")
ZOE = an_agent("zoe", load=1)
OF_SUE: dict[str, Any] = {"by": SUE, "chat_id": ASKS.chat_id}


@pytest.mark.parametrize(
    ("team", "command", "expected"),
    [
        pytest.param((IDLE, BUSY), ChatAssign(**OF_SUE, agent_id="ann"), "ann", id="a name is a name"),
        pytest.param((IDLE, BUSY), ChatAssign(**OF_SUE, department_id="sales"), "bob", id="who has it first"),
        pytest.param((IDLE,), ChatAssign(**OF_SUE, department_id="sales"), "ann", id="else anybody"),
        pytest.param((IDLE, BUSY), ChatTake(by=ANN, chat_id=ASKS.chat_id), "ann", id="who takes it"),
    ],
)
def test_people_give_and_take_a_chat_whatever_it_asks_for(
    team: tuple[Agent, ...], command: Any, expected: str
) -> None:
    found = facts(agents=team, chats=(ASKS,), departments=(a_department(take_allowed=True),))
    said = fold(found, [received(command)], STEPS, NOON).outcome.outgoing
    assert [problem for event in said for problem in unlike(event, {})] == []  # type: ignore[arg-type]
    assert [event.data.agent_id for event in said if isinstance(event.data, ChatAssigned)] == [expected]


@pytest.mark.parametrize(
    ("team", "expected"),
    [((IDLE, BUSY, ZOE), "bob"), ((IDLE, BUSY.but(load=3), ZOE), "ann")],
)
def test_a_transfer_to_a_department_is_offered_to_who_has_the_skills_first(
    team: tuple[Agent, ...], expected: str
) -> None:
    found = facts(agents=team, chats=(HELD,))
    by = Actor(role="agent", id="zoe")
    asked = ChatTransfer(by=by, chat_id=HELD.chat_id, department_id="sales")
    said = fold(found, [received(asked)], STEPS, NOON).outcome.outgoing
    assert [problem for event in said for problem in unlike(event, {})] == []  # type: ignore[arg-type]
    assert [event.data.to for event in said if isinstance(event.data, ChatOffered)] == [expected]


def test_whoever_asks_for_skills_asks_for_some_who_have_them_in_fallbacks_too() -> None:
    departments = {one.department_id: one for one in (a_department(fallback_id="care"), a_department("care"))}
    documents = {TENANT: Documents(Tenant(TENANT, "sales"), departments)}
    row = Due(SERVE_QUEUE, f"{TENANT}:sales", TENANT, NOON, generation=1)
    ticket = ASKS.but(state=State.DIVERTED)
    for needs, chats in (
        (needs_of([received(a_message())]), {}),
        (needs_of([received(a_message(hints=Hints(skills=("french",))))]), {}),
        (needs_of_dues([row]), {ASKS.key: ASKS}),
        (needs_of([received(a_message())]), {ticket.key: ticket}),
    ):
        found = places_into(needs, chats, {}, documents)
        assert found == {(TENANT, "sales"): 1 + SPARE, (TENANT, "care"): 1 + SPARE}
        asked = chats or needs.messages[0][2].hints
        skilled = {"french": 1 + SPARE}
        expected = {(TENANT, "sales"): skilled, (TENANT, "care"): skilled} if asked else {}
        assert needs.skilled == expected


def test_the_turns_of_those_who_have_the_skills_and_of_all_are_the_same_circle() -> None:
    team = (an_agent("ann", skills=FRENCH), an_agent("bob"), an_agent("cleo", skills=FRENCH))
    asks = Hints(skills=("french",))
    heard = [
        received(a_message(customer=f"+2782{n}", hints=hints))
        for n, hints in enumerate((asks, None, asks, asks))
    ]
    events = fold(here(*team, strategy="round_robin"), heard, STEPS, NOON).outcome.outgoing
    given = [event.data.agent_id for event in events if isinstance(event.data, ChatAssigned)]
    assert given == ["ann", "bob", "cleo", "ann"]
    assert [problem for event in events for problem in unlike(event, {})] == []  # type: ignore[arg-type]


def test_a_wait_for_skills_ends_no_earlier_than_its_department_says_by_then() -> None:
    found = facts(agents=(IDLE,), chats=(ASKS,), departments=(a_department(relax_skills_after=minutes(5)),))
    for passed, ended in ((4, False), (5, True)):
        row = Due(RELAX_SKILLS, f"{TENANT}:{ASKS.chat_id}", TENANT, NOON + minutes(passed), generation=1)
        changes = fold_dues(found, [row], NOON + minutes(9))
        assert [type(event.data) for event in changes.outcome.outgoing] == [ChatSkillsRelaxed] * ended
        later = [due.at for due in changes.outcome.schedule if due.kind == RELAX_SKILLS]
        assert later == ([] if ended else [NOON + minutes(5)])


@pytest.mark.servers
async def test_who_finishes_up_goes_on_only_with_what_they_have_the_skills_for(office: Office) -> None:
    """Ann wraps up her customer's chat; the next of the same customer asks for French, which Bob has."""
    await office.hears(desk.a_department("sales", revision=2, wrap_up_seconds=600))
    await office.writes(1)
    await hears(office, ChatClose, 1, by=SUE)
    await office.writes(1, skills=("french",))
    assert await office.contact.rows("select agent_id from chats where state = 'assigned'") == [("bob",)]
    assert await office.contact.count("select load from agents where agent_id = 'ann'") == 1


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Sales has Ann and, for French, Bob; each has room for one. Care is Ann's too."""
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    office = Office(database)
    await office.open()
    await office.agent("ann", capacity=1, departments=("sales", "care"), revision=2)
    await office.agent("bob", capacity=1, departments=("sales",), skills=("French",))
    yield office
    await office.has_nothing_wrong()
    for _, event in await office.contact.said():
        assert not isinstance(event.data, ChatFact) or list(unlike(event, {})) == []
    await database.close()


async def hears(office: Office, command: type[Model], customer: int, **told: Any) -> None:
    await office.hears(command(chat_id=await office.chat_id(customer), **told))


@pytest.mark.servers
async def test_a_chat_waits_for_its_skills_and_then_for_anybody(office: Office) -> None:
    await office.writes(1, 2, skills=("french",))
    assert await office.chats() == {1: ("assigned", "bob"), 2: ("queued", None)}
    await office.goes_by(seconds=58)
    assert await office.queue() == [2]
    await office.goes_by(seconds=2)
    assert (await office.chats())[2] == ("assigned", "ann")
    (relaxed,) = await office.said(ChatSkillsRelaxed)
    assert (relaxed.skills, relaxed.state) == (("french",), "queued")
    given = (await office.said(ChatAssigned))[-1]
    assert given.why["skills"] == {"asked": ["french"], "relaxed": True, "held_to": False}
    assert await office.contact.rows("select kind from due where kind = 'relax_skills'") == []


@pytest.mark.servers
async def test_once_anybody_will_do_who_has_the_skills_is_still_first(office: Office) -> None:
    await office.writes(1, 2)
    await office.writes(3, skills=("french",))
    await office.goes_by(minutes=2)
    assert (await office.chats())[3] == ("queued", None)
    more: dict[str, Any] = {"capacity": 2, "departments": ("sales",), "revision": 3}
    await office.hears(
        desk.an_agent_document("ann", **more), desk.an_agent_document("bob", skills=("french",), **more)
    )
    assert (await office.chats())[3] == ("assigned", "bob")


@pytest.mark.servers
async def test_a_chat_that_asks_in_vain_keeps_nobody_behind_it_waiting(office: Office) -> None:
    await office.writes(1, skills=("french",))
    await office.writes(2, skills=("french",), priority=5)
    await office.writes(3)
    assert await office.chats() == {1: ("assigned", "bob"), 2: ("queued", None), 3: ("assigned", "ann")}


@pytest.mark.servers
async def test_more_of_them_than_one_look_takes_keep_nobody_waiting_either(office: Office) -> None:
    """Ann is left alone with more chats that ask for French than a sweep lists, and what came after them."""
    await office.is_now("bob", "offline")
    asks = Hints(skills=("french",))
    crowd = [a_message(customer=f"+2782{n:04}", hints=asks) for n in range(LOOK_AT + 20)]
    await office.contact.hear(*crowd)
    await office.contact.sweep()
    await office.writes(1, 2)
    held = "select customer_address from chats where state = 'assigned'"
    assert await office.contact.rows(held) == [("+27820000001",)]
    ((chat_id,),) = await office.contact.rows("select chat_id from chats where agent_id = 'ann'")
    await office.hears(ChatClose(by=SUE, chat_id=chat_id))
    assert await office.contact.rows(held) == [("+27820000002",)]
    await office.has_nothing_wrong()
    await office.is_now("bob", "online")
    assert await office.contact.count("select count(*) from chats where agent_id = 'bob'") == 1
    await office.goes_by(seconds=60)
    await office.is_now("ann", "offline")
    await office.is_now("bob", "offline")
    assert await office.contact.count("select count(*) from chats where state = 'queued'") == 0


@pytest.mark.servers
async def test_who_frees_comes_or_learns_gets_what_waits_for_them(office: Office) -> None:
    await office.writes(1, 2, 3, 4, skills=("french",))
    await hears(office, ChatClose, 1, by=SUE)
    assert (await office.chats())[2] == ("assigned", "bob")
    await office.agent("cleo", capacity=1, departments=("sales",), skills=("french", "wine"))
    assert (await office.chats())[3] == ("assigned", "cleo")
    await office.hears(
        desk.an_agent_document("ann", revision=3, capacity=1, departments=("sales",), skills=("french",))
    )
    assert (await office.chats())[4] == ("assigned", "ann")


@pytest.mark.servers
async def test_each_entry_into_the_queue_waits_for_the_skills_anew(office: Office) -> None:
    await office.writes(1, 2, skills=("french",))
    await office.goes_by(seconds=60)
    assert (await office.chats())[2] == ("assigned", "ann")
    await office.agent("cleo", departments=("sales",))
    await office.is_now("ann", "offline")
    assert (await office.chats())[2] == ("queued", None), "Cleo has no French"
    await office.goes_by(seconds=60)
    assert (await office.chats())[2] == ("assigned", "cleo")


@pytest.mark.servers
async def test_another_department_by_hand_is_another_wait(office: Office) -> None:
    await office.writes(1, 2, skills=("french",))
    await office.goes_by(seconds=30)
    await hears(office, ChatSetDepartment, 2, by=SUE, department_id="care")
    await office.goes_by(seconds=59)
    assert (await office.chats())[2] == ("queued", None)
    await office.goes_by(seconds=1)
    assert (await office.chats())[2] == ("assigned", "ann")


@pytest.mark.servers
@pytest.mark.parametrize(
    ("seconds", "still_waits_after", "served_after"), [(10, 9, 10), (40, 39, 40), (120, 119, 120)]
)
async def test_another_patience_of_the_department_counts_for_who_waits_already(
    office: Office, seconds: int, still_waits_after: int, served_after: int
) -> None:
    await office.writes(1, 2, skills=("french",))
    queued_at = office.clock.time
    await office.goes_by(seconds=5)
    await office.hears(desk.a_department("sales", revision=2, relax_skills_seconds=seconds))
    office.clock.time = queued_at + timedelta(seconds=still_waits_after)
    await office.goes_by()
    assert (await office.chats())[2] == ("queued", None)
    office.clock.time = queued_at + timedelta(seconds=served_after)
    await office.goes_by()
    assert (await office.chats())[2] == ("assigned", "ann")


@pytest.mark.servers
async def test_a_department_that_never_relaxes_makes_tickets(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=2, relax_skills_seconds=86400))
    await office.writes(1, 2, skills=("french",))
    await office.goes_by(minutes=15)
    assert (await office.chats())[2] == ("diverted", None)
    (told,) = await office.said(ChatDiverted)
    assert told.reason == "waited_too_long"
    assert await office.contact.rows("select kind from due where kind = 'relax_skills'") == []


@pytest.mark.servers
async def test_a_department_that_offers_asks_who_has_the_skills_and_later_anybody(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=2, mode="offer", offer_seconds=600))
    await office.writes(1, skills=("french",))
    bob = Actor(role="agent", id="bob")
    await hears(office, ChatDeclineOffer, 1, by=bob)
    assert [one.to for one in await office.said(ChatOffered)] == ["bob", "bob"], "nobody else has French"
    await office.goes_by(seconds=60)
    await hears(office, ChatDeclineOffer, 1, by=bob)
    assert (await office.said(ChatOffered))[-1].to == "ann"
    await hears(office, ChatAcceptOffer, 1, by=ANN)
    assert (await office.chats())[1] == ("assigned", "ann")


@pytest.mark.servers
async def test_the_customer_of_a_silent_agent_goes_to_who_has_the_skills_first(office: Office) -> None:
    await office.writes(1, skills=("french",))
    await office.is_now("ann", "away")
    await office.agent("cleo", departments=("sales",))
    await office.agent("dora", capacity=9, departments=("sales",), skills=("french",))
    await office.goes_by(minutes=10)
    assert (await office.chats())[1] == ("assigned", "dora")


@pytest.mark.servers
async def test_routing_rules_of_the_directory_ask_for_skills(office: Office) -> None:
    rule = RoutingRule(department="sales", keyword="bonjour", skills=("FRENCH",))
    await office.hears(RoutingRulesDocument(id="rules", revision=2, rules=(rule,)))
    await office.writes(1, 2, words="Bonjour")
    assert await office.chats() == {1: ("assigned", "bob"), 2: ("queued", None)}


@pytest.mark.servers
async def test_workers_who_race_give_nobody_a_chat_whose_skills_they_lack(office: Office) -> None:
    """Thirty chats, every other asks for French, while Bob's chats are closed under them."""
    for name, skills in (("bob", ("french",)), ("ann", ())):
        await office.agent(name, capacity=8, departments=("sales",), skills=skills, revision=7)
    await office.contact.connect()
    batches = [
        [a_message(customer=f"+2782{n:04}", hints=Hints(skills=("french",) if n % 2 else ()))]
        for n in range(30)
    ]
    await office.contact.hear_at_once(batches)
    await office.contact.sweep()
    await office.has_nothing_wrong()
    for _ in range(3):
        held = await office.contact.rows("select chat_id from chats where state = 'assigned'")
        await office.contact.hear_at_once([ChatClose(by=SUE, chat_id=one[0])] for one in held)
        await office.contact.sweep()
        await office.has_nothing_wrong()
    wanted = {one.chat_id for one in await office.said(ChatOpened) if one.skills}
    given = await office.said(ChatAssigned)
    assert {one.agent_id for one in given if one.chat_id in wanted} == {"bob"}
    assert len(given) == 30


@pytest.mark.servers
async def test_relaxing_races_with_who_comes_for_it_and_one_gets_it(office: Office) -> None:
    await office.agent("cleo", "away", departments=("sales",), capacity=1, skills=("french",))
    await office.writes(1, 2, skills=("french",))
    office.clock.time += timedelta(seconds=60)
    await asyncio.gather(office.contact.sweep(), office.is_now("cleo", "online", swept=False))
    await office.contact.sweep()
    assert (await office.chats())[2][1] in {"ann", "cleo"}
    assert len(await office.said(ChatAssigned)) == 2
