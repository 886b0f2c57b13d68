"""Every decision can be taken again, exactly, from the inputs that its fact carries."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.app import STEPS, unlike, unlike_in_order, unlike_its_cause
from services.routing.decisions.choice import NAMED, choose
from services.routing.decisions.fold import fold
from services.routing.decisions.placement import Assign, Placement, place, prefer
from services.routing.decisions.replay import replay
from services.routing.decisions.rules import rule_for
from services.routing.model import Agent, Calendar, Closing, Facts, Rule, Tenant
from shared.contracts import chats, cloudevents
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAcceptOffer, ChatAssign, ChatTransfer
from shared.contracts.event import Event
from shared.contracts.tickets import TicketClosed
from shared.platform.database import Database
from tests import desk_events as desk
from tests.desk_events import NOON, a_message, received
from tests.routing.builders import (
    a_calendar,
    a_department,
    a_diverted_chat,
    an_agent,
    an_assigned_chat,
    facts,
    minutes,
)
from tests.routing.office import Office

DECISIONS = (
    chats.ChatAssigned,
    chats.ChatQueued,
    chats.ChatRequeued,
    chats.ChatDiverted,
    chats.ChatOffered,
    chats.ChatTransferred,
)

AFTERNOONS = desk.a_calendar_document(
    "later",
    week={
        day: [{"from": "13:00", "to": "17:00"}] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    },
)

agents = st.lists(
    st.builds(
        an_agent,
        st.integers(0, 60).map("{:02}".format),
        load=st.integers(0, 2),
        capacity=st.integers(1, 3),
        state=st.sampled_from([*["online"] * 5, "away", "offline"]),
        draining=st.sampled_from([*[False] * 5, True]),
        presence_version=st.integers(1, 99),
        last_assigned_at=st.none() | st.integers(0, 10**9).map(lambda n: NOON - timedelta(microseconds=n)),
    ),
    min_size=2,
    max_size=30,
    unique_by=lambda agent: agent.agent_id,
)
departments = st.builds(
    a_department,
    strategy=st.sampled_from(["least_loaded", "round_robin", "longest_idle"]),
    mode=st.sampled_from(["push", "offer"]),
    when_full=st.sampled_from(["queue", "ticket"]),
    calendar_id=st.sampled_from([None, "hours"]),
    last_agent_within=st.sampled_from([timedelta(), timedelta(hours=1), timedelta(hours=24)]),
    revision=st.integers(1, 9),
)
calendars = st.sampled_from(
    [None, a_calendar("09:00", "17:00", revision=2), a_calendar("13:00", "17:00", "Europe/Paris", revision=3)]
)

waits = st.tuples(st.integers(0, 1), st.sampled_from(["", "00", "30", "60"]))


def on_the_wire(why: Any) -> dict[str, Any]:
    fact = chats.ChatQueued.of({**dict.fromkeys(chats.ChatQueued.model_fields), "why": why})
    return dict(json.loads(fact.model_dump_json())["why"])


@given(agents, departments, calendars, waits, st.data())
def test_any_placement_comes_back_the_same(
    members: list[Agent], department: Any, calendar: Calendar | None, wait: tuple[int, str], data: Any
) -> None:
    ahead, turn = wait
    if department.calendar_id is None:
        calendar = None
    found = place(
        department, calendar, choose(members, department.strategy, turn), ahead=ahead, now=NOON, turn=turn
    )
    if isinstance(found, Assign):
        before = data.draw(st.none() | st.sampled_from(members))
        closing = Closing(
            "before", "x", NOON - data.draw(st.sampled_from([minutes(1), minutes(59), minutes(90)]))
        )
        found = prefer(found, before, closing, department, NOON)
    why = on_the_wire(found.why)
    assert exactly(replay(why, NOON, calendar)) == exactly(found)
    assert type(replay(why, NOON)) is type(found)


def exactly(found: Placement) -> tuple[Any, ...]:
    who = found.agent.agent_id if isinstance(found, Assign) else None
    when = [getattr(found, name, None) for name in ("reason", "next_open_at", "closes_at")]
    return (type(found), who, *when, json.dumps(on_the_wire(found.why), sort_keys=True))


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    database = Database(database_url, "routing", connections=4)
    office = Office(database)
    await office.open()
    yield office
    await database.close()


@pytest.mark.servers
async def test_every_decision_of_a_day_is_recorded_and_comes_back_the_same(office: Office) -> None:
    """On the real store, through every way in which a chat is given, left to wait or made a ticket."""
    hours = desk.a_calendar_document()
    night = desk.a_department("night", calendar=hours.id, fallback="sales")
    await office.hears(hours, night, desk.a_department("sales", strategy="round_robin", revision=2))
    await office.agent("bob", capacity=1)
    await office.agent("cid", state="away", capacity=9)
    await office.writes(*range(1, 10))
    await office.is_now("ann", "offline")
    await office.is_now("ann", "online")
    ann, sue = Actor(role="agent", id="ann"), Actor(role="supervisor", id="sue")
    held = [chat for chat, (_, agent) in sorted((await office.chats()).items()) if agent == "ann"]
    await office.hears(ChatAssign(by=sue, chat_id=await office.chat_id(9), department_id="sales"))
    await office.is_now("cid", "online")
    first, second, *_ = [await office.chat_id(chat) for chat in held]
    await office.hears(ChatTransfer(by=ann, chat_id=first, agent_id="cid"))
    await office.hears(ChatAcceptOffer(by=Actor(role="agent", id="cid"), chat_id=first))
    await office.hears(ChatAssign(by=sue, chat_id=second, department_id="sales"))
    await office.writes(*range(20, 35))
    await office.goes_by(minutes=11)
    await office.is_now("ann", "offline")
    await office.goes_by(minutes=16)
    for gone in ("bob", "cid"):
        await office.is_now(gone, "offline")
    await office.writes(40)
    seen = set()
    by_chat: dict[str, list[Event[Any]]] = {}
    for _, event in await office.contact.said():
        if isinstance(event.data, chats.ChatFact):
            told = by_chat.setdefault(event.data.chat_id, [])
            if (cause := office.contact.heard.get(event.causation_id or "")) is not None:
                assert list(unlike_its_cause(event, cause, told[-1] if told else None)) == []
            told.append(event)
        if isinstance(event.data, DECISIONS):
            assert event.data.why, event
            seen.add(type(event.data))
        if isinstance(event.data, chats.ChatFact):
            assert list(unlike(event, {})) == []
    assert seen >= set(DECISIONS)
    assert [problem for told in by_chat.values() for problem in unlike_in_order(told)] == []
    diverted = {
        event.data.reason for _, event in await office.contact.said() if event.type.endswith("diverted.v1")
    }
    assert diverted == {"no_agents_online", "waited_too_long"}


def an_assignment(found: Facts | None = None) -> Event[Any]:
    known = found or facts(agents=(an_agent("ann", load=1), an_agent("bob"), an_agent("cid", state="away")))
    event = fold(known, [received(a_message())], STEPS, NOON).outcome.outgoing[-1]
    return cloudevents.decode(cloudevents.encode(event))


def a_divert() -> Event[Any]:
    sales = a_department("sales", calendar_id="later", fallback_id="care")
    known = facts(
        departments=(sales, a_department("care")),
        calendars={"later": a_calendar("13:00", "17:00", revision=1)},
    )
    return an_assignment(known)


def asked(*kinds: type[chats.ChatFact]) -> Event[Any]:
    """What a department that offers says of these kinds, the last of it."""
    sales = a_department("sales", mode="offer")
    known = facts(departments=(sales,), agents=(an_agent("ann", load=1), an_agent("bob")))
    said = fold(known, [received(a_message())], STEPS, NOON).outcome.outgoing
    return [cloudevents.decode(cloudevents.encode(event)) for event in said if isinstance(event.data, kinds)][
        -1
    ]


def a_next_ticket(saw: int = 2) -> Event[Any]:
    """What follows on the end of a ticket whose customer wrote after it was looked at last."""
    chat = a_diverted_chat()
    closed = TicketClosed.of(
        dict.fromkeys(TicketClosed.model_fields)
        | {"ticket_id": chat.ticket_id, "chat_id": chat.chat_id, "chat_version": saw, "tags": ()}
    )
    said = fold(facts(chats=(chat,)), [received(closed)], STEPS, NOON).outcome.outgoing[-1]
    return cloudevents.decode(cloudevents.encode(said))


def of_no_known_department() -> Event[Any]:
    """A chat that has to wait, since its department never was heard of."""
    chat = an_assigned_chat("ann", department_id="gone")
    known = facts(chats=(chat,), agents=(an_agent("ann", state="offline"),))
    known = replace(known, locked=frozenset({(desk.TENANT, "gone")}))
    said = fold(known, [received(a_message())], STEPS, NOON).outcome.outgoing[-1]
    return cloudevents.decode(cloudevents.encode(said))


def as_one_of(kind: type[chats.ChatFact], event: Event[Any], **fields: Any) -> Event[Any]:
    """The same record, told by another fact."""
    told = dict.fromkeys(kind.model_fields) | event.data.model_dump() | fields
    known = {name: value for name, value in told.items() if name in kind.model_fields}
    return replace(event, data=kind.of(known))


def told_otherwise(event: Event[Any], change: Callable[[dict[str, Any]], Any]) -> Event[Any]:
    data = event.data.model_dump(mode="json")
    change(data)
    return replace(event, data=type(event.data).model_validate(data))


def lighter(data: dict[str, Any]) -> None:
    data["why"]["shortlist"][1][2] = 0
    data["why"]["shortlist"][1][3] = 9


def a_wait(seconds: int) -> dict[str, Any]:
    return {"since": (NOON - timedelta(seconds=seconds)).isoformat(), "max_wait_seconds": 900.0}


@pytest.mark.parametrize("seconds", [900, 5000])
def test_a_wait_may_end_at_its_limit_and_later_where_a_timer_was_late(seconds: int) -> None:
    ended = {"reason": "waited_too_long", "why": a_wait(seconds)}
    assert list(unlike(told_otherwise(a_divert(), lambda data: data.update(ended)), {})) == []


@pytest.mark.parametrize(
    ("event", "change"),
    [
        pytest.param(an_assignment(), lambda data: data.update(agent_id="ann"), id="another agent got it"),
        pytest.param(an_assignment(), lighter, id="a candidate's load"),
        pytest.param(
            an_assignment(), lambda data: data["why"]["shortlist"].reverse(), id="the order of candidates"
        ),
        pytest.param(
            an_assignment(), lambda data: data["why"]["shortlist"][0].__setitem__(1, "full"), id="a verdict"
        ),
        pytest.param(an_assignment(), lambda data: data["why"].update(ahead=1), id="somebody ahead"),
        pytest.param(an_assignment(), lambda data: data.update(why=None), id="nothing recorded"),
        pytest.param(an_assignment(), lambda data: data.update(why={}), id="nothing that is known"),
        pytest.param(
            a_divert(),
            lambda data: data.update(reason="waited_too_long", why=a_wait(899)),
            id="too short a wait",
        ),
        pytest.param(a_divert(), lambda data: data.update(why=a_wait(900)), id="a wait that ends otherwise"),
        pytest.param(an_assignment(), lambda data: data.update(why=a_wait(900)), id="a wait's end as a gift"),
        pytest.param(
            a_next_ticket(),
            lambda data: data["why"].update(ticket_saw_version=data["why"]["chat_version"]),
            id="a next ticket for nothing new",
        ),
        pytest.param(
            a_next_ticket(),
            lambda data: data["why"].update(chat_version=9),
            id="a next ticket of another time",
        ),
        pytest.param(
            a_next_ticket(), lambda data: data.update(reason="all_full"), id="a next ticket's reason"
        ),
        pytest.param(
            asked(chats.ChatQueued), lambda data: data["why"].update(mode="push"), id="a wait to push"
        ),
        pytest.param(
            asked(chats.ChatOffered), lambda data: data["why"].pop("mode"), id="an offer of no mode"
        ),
        pytest.param(
            an_assignment(), lambda data: data["why"].update(mode="offer"), id="given where one is asked"
        ),
        pytest.param(a_divert(), lambda data: data.update(reason="all_full"), id="a divert's reason"),
        pytest.param(
            a_divert(), lambda data: data["why"]["calendar"].update(open=True), id="the calendar's verdict"
        ),
        pytest.param(
            a_divert(), lambda data: data["why"]["fallbacks"][0].update(verdict="all_full"), id="a fallback's"
        ),
    ],
)
def test_a_fact_that_tells_otherwise_is_found(
    event: Event[Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    document = AFTERNOONS
    calendars = {(desk.TENANT, "later", 1): document}
    assert list(unlike(event, calendars)) == []
    assert list(unlike(told_otherwise(event, change), calendars))


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (asked(chats.ChatQueued), chats.ChatAssigned),
        (asked(chats.ChatQueued), chats.ChatDiverted),
        (asked(chats.ChatOffered), chats.ChatAssigned),
        (an_assignment(), chats.ChatOffered),
        (a_next_ticket(), chats.ChatQueued),
        (of_no_known_department(), chats.ChatDiverted),
    ],
)
def test_a_record_told_by_another_fact_is_found(event: Event[Any], kind: type[chats.ChatFact]) -> None:
    assert list(unlike(event, {})) == []
    named = {"to": event.data.agent_id} if kind is chats.ChatOffered else {"agent_id": "bob"}
    assert list(unlike(as_one_of(kind, event, **named), {}))


def test_the_chat_tells_which_rule_chose_its_department() -> None:
    rules = (Rule("night", keyword="urgent"), Rule("care", keyword="care"))
    tenant = Tenant(desk.TENANT, "sales", rules=rules, rules_revisions={"rules": 7}, revision=3)
    known = facts(departments=(a_department("sales"), a_department("care"), a_department("night")))
    (documents,) = known.directory.values()
    known.directory[desk.TENANT] = replace(documents, tenant=tenant)
    for words, department, number in [("care", "care", 1), ("hello", "sales", None)]:
        message = a_message(words)
        opened = fold(known, [received(message)], STEPS, NOON).outcome.outgoing[0].data
        assert isinstance(opened, chats.ChatOpened)
        assert opened.department_id == department
        assert opened.why == {"rule": number, "rules": {"rules": 7}, "tenant_revision": 3}
        assert rule_for(tenant, message) == number


def test_the_largest_record_is_far_below_what_a_fact_may_weigh() -> None:
    """Whoever has the longest ids, the largest departments and a chain of fallbacks."""
    names = [f"{n:03}" + "ü" * 253 for n in range(50)]
    chain = tuple(
        a_department(name, fallback_id=names[n + 1] if n < 49 else None) for n, name in enumerate(names)
    )
    crowd = tuple(an_agent(name, departments=frozenset(names), state="away") for name in names)
    said = an_assignment(facts(departments=chain, agents=crowd))
    assert isinstance(said.data, chats.ChatDiverted)
    assert said.data.why is not None
    assert len(said.data.why["shortlist"]) == NAMED
    assert len(cloudevents.encode(said)) < 500_000
