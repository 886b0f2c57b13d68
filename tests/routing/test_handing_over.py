"""Everything an agent holds is handed over: where it goes, what finds no room, rounds, races, refusals."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.routing.app import STEPS, preview_hand_over
from services.routing.decisions.fold import fold, fold_dues
from services.routing.model import Agent, Facts
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAssign, ChatClose, ChatHandOver, ChatMarkPending
from shared.contracts.chats import (
    ChatAssigned,
    ChatClosed,
    ChatCommandRefused,
    ChatFact,
    ChatMoved,
    ChatRequeued,
)
from shared.platform.database import Database
from shared.platform.outcome import Due
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, received
from tests.routing.builders import SUE, a_calendar, a_department, an_agent, an_assigned_chat, facts
from tests.routing.contact import WORKERS, Contact
from tests.routing.office import Office
from tests.routing.wrongs import HELD_UNASSIGNED, MISCOUNTED, STUCK, WAIT_FOR_NOBODY


def a_hand_over(**fields: Any) -> ChatHandOver:
    return ChatHandOver(**{"by": SUE, "agent_id": "ann", "note": "Ann is ill", **fields})


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Ann holds five chats of sales, the first one answered and the second parked, and is away."""
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    found = Office(database)
    await found.open()
    await found.writes(1, 2, 3, 4, 5)
    await found.answers("ann", 1)
    parked = ChatMarkPending(by=SUE, chat_id=await found.chat_id(2), reason="customer")
    await found.hears(parked)
    await found.is_now("ann", "away")
    yield found
    await found.has_nothing_wrong()
    left = "select (select count(*) from hand_overs) + (select count(*) from handed_over)"
    assert await found.contact.count(left) == 0
    await database.close()


BOB, CLEO = ("assigned", "bob"), ("assigned", "cleo")
WAITS, TICKET = ("queued", None), ("diverted", None)


@pytest.mark.servers
async def test_everything_goes_where_it_belongs_by_the_usual_rules(office: Office) -> None:
    await office.agent("bob", capacity=2)
    await office.agent("cleo", capacity=2)
    await office.hears(a_hand_over())
    chats = await office.chats()
    assert sorted(chats.values()) == [BOB, BOB, CLEO, CLEO, WAITS]
    assert chats[5] == WAITS
    told = await office.said(ChatAssigned)
    assert {one.reason for one in told if one.previous_agent_id == "ann"} == {"handed_over"}


@pytest.mark.servers
async def test_what_finds_no_room_waits_before_those_who_came_later(office: Office) -> None:
    await office.agent("bob", capacity=1)
    await office.writes(6, 7)
    assert await office.queue() == [7]
    await office.hears(a_hand_over())
    assert await office.queue() == [1, 2, 3, 4, 5, 7]
    assert {one.reason for one in await office.said(ChatRequeued)} == {"handed_over"}


@pytest.mark.servers
async def test_everything_goes_to_the_department_that_was_named(office: Office) -> None:
    await office.agent("bob", capacity=9)
    await office.agent("cleo", capacity=3, departments=("care",))
    await office.hears(a_hand_over(to_department_id="care"))
    assert await office.chats() == {1: CLEO, 2: CLEO, 3: CLEO, 4: WAITS, 5: WAITS}
    assert await office.queue("care") == [4, 5]
    moved = await office.said(ChatMoved)
    assert {(one.by, one.note, one.reason) for one in moved} == {(SUE, "Ann is ill", "handed_over")}
    assert len(moved) == 5


@pytest.mark.servers
async def test_an_agent_who_was_named_takes_what_they_have_room_for(office: Office) -> None:
    await office.agent("bob", capacity=1)
    await office.agent("cleo", capacity=2, departments=("care",))
    await office.hears(a_hand_over(to_agent_id="cleo"))
    assert await office.chats() == {1: CLEO, 2: CLEO, 3: BOB, 4: WAITS, 5: WAITS}
    told = [one for one in await office.said(ChatAssigned) if one.agent_id == "cleo"]
    assert {(one.by, one.note, one.department_id) for one in told} == {(SUE, "Ann is ill", "sales")}


@pytest.mark.servers
async def test_an_agent_within_a_department_takes_it_there(office: Office) -> None:
    await office.agent("bob", capacity=4, departments=("care",))
    await office.agent("cleo", capacity=2, departments=("care",))
    await office.hears(a_hand_over(to_agent_id="cleo", to_department_id="care"))
    assert await office.chats() == {1: CLEO, 2: CLEO, 3: BOB, 4: BOB, 5: BOB}
    assert await office.contact.count("select count(*) from chats where department_id = 'care'") == 5


@pytest.mark.servers
@pytest.mark.parametrize(
    "to",
    [
        {},
        {"to_agent_id": "cleo"},
        {"to_department_id": "care"},
        {"to_agent_id": "cleo", "to_department_id": "care"},
    ],
)
async def test_what_is_previewed_writes_nothing_and_is_what_happens(
    office: Office, to: dict[str, str]
) -> None:
    await office.hears(desk.a_department("sales", revision=2, strategy="round_robin"))
    await office.agent("bob", capacity=2)
    await office.agent("cleo", capacity=2, departments=("sales", "care"))
    command = received(a_hand_over(**to))
    async with office.contact.database.transaction() as tx:
        await tx.execute(text("set transaction read only"))
        previewed = await preview_hand_over(tx, command, office.clock.now())
    await office.hears(command.event.data)
    shown = {one.data.chat_id: one.data for one in previewed if isinstance(one.data, ChatFact)}
    happened = await office.contact.rows("select chat_id, state, agent_id, department_id from chats")
    assert {key: (one.state, one.agent_id, one.department_id) for key, one in shown.items()} == {
        chat_id: (state, agent_id, department_id) for chat_id, state, agent_id, department_id in happened
    }


@pytest.mark.servers
async def test_where_nobody_works_everything_becomes_tickets(office: Office) -> None:
    await office.hears(a_hand_over())
    assert set((await office.chats()).values()) == {TICKET}


@pytest.mark.servers
async def test_a_customer_who_stays_silent_is_not_waited_for_longer_by_whoever_gets_the_chat(
    office: Office,
) -> None:
    """The answered one closes when its patience ends, though it had to wait for an agent in between."""
    await office.hears(desk.a_department("sales", revision=2, max_wait_seconds=86_400))
    await office.agent("bob", capacity=1)
    await office.writes(6)
    await office.hears(a_hand_over())
    assert (await office.queue())[0] == 1
    await office.goes_by(hours=5)
    await office.agent("bob", revision=2, capacity=9)
    assert (await office.chats())[1] == BOB
    await office.goes_by(hours=4)
    assert [one.reason for one in await office.said(ChatClosed)] == ["customer_inactive"]


@pytest.mark.servers
async def test_what_went_on_between_the_command_and_its_round_is_let_be(office: Office) -> None:
    await office.agent("bob", capacity=9, departments=("care",))
    await office.agent("cleo", capacity=1)
    await office.contact.hear(
        a_hand_over(),
        ChatClose(by=SUE, chat_id=await office.chat_id(3)),
        ChatAssign(by=SUE, chat_id=await office.chat_id(4), agent_id="bob"),
    )
    await office.contact.sweep()
    chats = await office.chats()
    assert (chats[3][0], chats[4]) == ("closed", BOB)
    assert sorted((chats[1], chats[2], chats[5])) == [CLEO, WAITS, WAITS]


@pytest.mark.servers
async def test_asking_twice_moves_nothing_twice(office: Office) -> None:
    await office.agent("bob", capacity=9)
    await office.hears(a_hand_over(), a_hand_over())
    moves = [one for one in await office.said(ChatAssigned) if one.agent_id == "bob"]
    assert len(moves) == 5
    await office.hears(a_hand_over(to_agent_id="bob"))
    assert len([one for one in await office.said(ChatAssigned) if one.agent_id == "bob"]) == 5


async def _thousand(office: Office) -> None:
    async with office.contact.database.transaction() as tx:
        await tx.execute(text("update agents set capacity = 2000 where agent_id = 'ann'"))
    await office.is_now("ann", "online")
    for start in range(0, 995, 100):
        office.clock.time += timedelta(seconds=1)
        crowd = [f"+2783{n:07}" for n in range(start, min(start + 100, 995))]
        await office.contact.hear(*(desk.a_message(customer=one) for one in crowd))
    await office.is_now("ann", "away")
    assert await office.contact.count("select count(*) from chats where agent_id = 'ann'") == 1_000


@pytest.mark.servers
async def test_a_thousand_chats_are_moved_in_rounds_and_a_crash_between_them_loses_none(
    office: Office,
) -> None:
    await _thousand(office)
    await office.agent("bob", capacity=100)
    await office.contact.hear(a_hand_over())
    count = office.contact.count
    held = "select count(*) from chats where agent_id = 'ann'"
    await office.contact.sweep_once()
    assert await count(held) == 800
    again = Contact(office.contact.database, workers=1, clock=office.clock)
    await again.sweep()
    assert await count(held) == 0
    assert await count("select load from agents where agent_id = 'ann'") == 0
    assert await count("select count(*) from chats where agent_id = 'bob'") == 100
    assert await count("select count(*) from chats where state = 'queued'") == 900
    late = (
        "select count(*) from chats where state = 'queued' and waiting_since <"
        " (select max(waiting_since) from chats where agent_id = 'bob')"
    )
    assert await count(late) == 0


@pytest.mark.servers
async def test_a_hand_over_may_race_with_everything_else(office: Office) -> None:
    await office.agent("bob", capacity=3)
    await office.agent("cleo", capacity=2, departments=("sales", "care"))
    await office.contact.connect()
    acts: list[list[Any]] = [[a_hand_over()], [a_hand_over(to_agent_id="cleo")]]
    acts += [[ChatClose(by=SUE, chat_id=await office.chat_id(one))] for one in (1, 3)]
    acts += [[desk.agent_changed("bob", "offline", version=5)], [desk.agent_changed("bob", version=6)]]
    acts += [[desk.a_message(customer=f"+2782000000{one}")] for one in range(1, 9)]
    await office.contact.hear_at_once(itertools.chain(acts[1::2], acts[::2]))
    await office.contact.sweep()
    assert await office.contact.count("select count(*) from chats where agent_id = 'ann'") == 0
    for query in (MISCOUNTED, STUCK, WAIT_FOR_NOBODY, HELD_UNASSIGNED):
        assert await office.contact.rows(query) == []


CLOSED = {"calendar_id": "afternoons"}
CARA = an_agent("cara", departments=frozenset({"care"}))


def known(*team: Agent, ann: Agent | None = None, care: dict[str, Any] | None = None) -> Facts:
    return facts(
        agents=(ann or an_agent("ann", state="away", load=3), *team),
        departments=(a_department(), a_department("care", **(care or {}))),
        calendars={"afternoons": a_calendar("13:00", "17:00")},
    )


def cara(**fields: Any) -> Agent:
    return an_agent("cara", **{"departments": frozenset({"care"}), **fields})


TO_CARE, TO_CARA = {"to_department_id": "care"}, {"to_agent_id": "cara"}


@pytest.mark.parametrize(
    ("found", "asked", "reason"),
    [
        (known(), {}, None),
        (known(ann=an_agent("ann", state="offline")), {}, None),
        (known(ann=an_agent("ann", draining=True)), {}, None),
        (known(ann=an_agent("ann", state="away", roles=frozenset())), {}, None),
        (known(ann=an_agent("ann")), {}, "agent_online"),
        (known(), {"agent_id": "zoe"}, "unknown_agent"),
        (known(), {"by": Actor(role="admin", id="ada")}, None),
        (known(), {"by": Actor(role="agent", id="ann")}, "role_not_allowed"),
        (known(), {"by": Actor(role="customer")}, "role_not_allowed"),
        (known(), {"by": Actor(role="system")}, "role_not_allowed"),
        (known(CARA), TO_CARE, None),
        (known(cara(load=3)), TO_CARE, None),
        (known(), TO_CARE, "nobody_online"),
        (known(cara(state="away")), TO_CARE, "nobody_online"),
        (known(CARA, care=CLOSED), TO_CARE, "department_closed"),
        (known(), {"to_department_id": "nowhere"}, "unknown_department"),
        (known(CARA), TO_CARA, None),
        (known(CARA), TO_CARA | TO_CARE, None),
        (known(CARA, an_agent("bob")), TO_CARA | {"to_department_id": "sales"}, "not_a_member"),
        (known(cara(load=3)), TO_CARA, "agent_full"),
        (known(cara(state="away")), TO_CARA, "agent_away"),
        (known(cara(draining=True)), TO_CARA, "agent_away"),
        (known(cara(state="offline")), TO_CARA, "agent_offline"),
        (known(), TO_CARA, "unknown_agent"),
        (known(), {"to_agent_id": "ann"}, "same_agent"),
    ],
)
def test_who_may_hand_over_what_to_whom(found: Facts, asked: dict[str, Any], reason: str | None) -> None:
    changes = fold(found, [received(a_hand_over(**asked))], STEPS, NOON)
    if reason is None:
        assert ([due.kind for due in changes.outcome.schedule], changes.outcome.outgoing) == (
            ["hand_over"],
            [],
        )
        assert len(changes.hand_overs) == 1
        return
    (event,) = changes.outcome.outgoing
    assert isinstance(event.data, ChatCommandRefused)
    assert event.data.reason == reason
    assert not changes.hand_overs
    assert not changes.outcome.schedule


def test_what_follows_from_a_hand_over_names_its_command_as_the_cause() -> None:
    command, chat = received(a_hand_over(**TO_CARA)), an_assigned_chat("ann")
    (asked,) = fold(known(CARA), [command], STEPS, NOON).hand_overs
    found = replace(
        known(CARA),
        chats={chat.key: chat},
        hand_overs={asked.key: asked},
        handed_over={asked.key: (chat.key,)},
    )
    due = Due("hand_over", f"{asked.tenant_id}:{asked.hand_over_id}", asked.tenant_id, NOON, sweep=True)
    (given,) = fold_dues(found, [due], NOON).outcome.outgoing
    assert isinstance(given.data, ChatAssigned)
    assert (given.data.agent_id, given.causation_id) == ("cara", command.event.id)


def test_a_refused_hand_over_says_who_is_available_where_it_was_to_go() -> None:
    asked = a_hand_over(agent_id="bob", to_department_id="care")
    changes = fold(known(CARA, an_agent("bob")), [received(asked)], STEPS, NOON)
    (event,) = changes.outcome.outgoing
    assert isinstance(event.data, ChatCommandRefused)
    assert event.data.available is not None
    assert event.data.available.agents == ("cara",)
