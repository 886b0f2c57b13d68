"""A decision's record is held against what its chat went through before, and against what caused it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from services.routing.app import (
    STEPS,
    unlike,
    unlike_in_order,
    unlike_its_cause,
    unlike_its_rules,
    unlike_refusal,
)
from services.routing.decisions.floor import ANSWER_OVERDUE, SERVE_QUEUE, WAITED_TOO_LONG
from services.routing.decisions.fold import fold, fold_dues
from services.routing.model import Agent, Calendar, due_name
from services.routing.store.documents import documents
from shared.contracts import chats, cloudevents
from shared.contracts.chat_commands import ChatAcceptOffer, ChatAssign, ChatDeclineOffer
from shared.contracts.directory import DirectoryDocument, RoutingRule, RoutingRulesDocument
from shared.contracts.event import Event, Model, derived_id
from shared.contracts.inbound_messages import Hints
from shared.platform.outcome import Due
from tests import desk_events as desk
from tests.desk_events import NOON, TENANT, a_message, received
from tests.routing.builders import (
    ANN,
    BOB,
    SUE,
    a_calendar,
    a_chat,
    a_department,
    an_agent,
    an_assigned_chat,
    facts,
    minutes,
)

Change = Callable[[dict[str, Any]], Any]
SALES = (TENANT, "sales")


def facts_of(changes: Any) -> list[Event[Any]]:
    said = (cloudevents.decode(cloudevents.encode(event)) for event in changes.outcome.outgoing)
    return [event for event in said if isinstance(event.data, chats.ChatFact)]


def a_day() -> list[Event[Any]]:
    """A chat is offered to Ann, who declines, then to Bob, who accepts and is silent, so Ann is given it."""
    known = facts(
        departments=(a_department(mode="offer"),),
        agents=(an_agent("ann"), an_agent("bob", load=1)),
    )
    steps: list[Callable[[str], Model | Due]] = [
        lambda _: a_message(),
        lambda chat_id: ChatDeclineOffer(by=ANN, chat_id=chat_id),
        lambda _: Due(SERVE_QUEUE, due_name(SALES), TENANT, NOON, sweep=True),
        lambda chat_id: ChatAcceptOffer(by=BOB, chat_id=chat_id),
        lambda chat_id: Due(ANSWER_OVERDUE, due_name((TENANT, chat_id)), TENANT, NOON + minutes(10)),
    ]
    said: list[Event[Any]] = []
    for step in steps:
        one = step(said[0].data.chat_id if said else "")
        if isinstance(one, Due):
            known = replace(known, queues={SALES: tuple(known.chats)})
            changes = fold_dues(known, [one], one.at)
        else:
            changes = fold(known, [received(one)], STEPS, NOON)
        said += facts_of(changes)
        known = replace(
            known,
            chats=known.chats | {chat.key: chat for chat in changes.chats},
            agents=known.agents | {agent.key: agent for agent in changes.agents},
        )
    return said


def told_otherwise(event: Event[Any], change: Change) -> Event[Any]:
    data = event.data.model_dump(mode="json")
    change(data)
    return replace(event, data=type(event.data).model_validate(data))


def problems(said: Sequence[Event[Any]]) -> list[str]:
    return [problem for event in said for problem in unlike(event, {})] + [
        problem for _, problem in unlike_in_order(said)
    ]


def names(said: Sequence[Event[Any]]) -> list[str]:
    return [event.type.split(".")[2] for event in said]


DAY = a_day()


def test_a_day_of_offers_holds_against_itself() -> None:
    assert names(DAY)[2:] == [
        *("queued", "offered", "offer_ended", "offered", "offer_ended", "assigned", "assigned")
    ]
    assert [(event.data.why or {}).get("passed_by") for event in DAY if "offered" in event.type] == [
        None,
        ["ann"],
    ]
    assert DAY[-1].data.why["silent"] == ["bob"]
    assert problems(DAY) == []


@pytest.mark.parametrize(
    ("place", "change"),
    [
        pytest.param(5, lambda data: data["why"].pop("passed_by"), id="who passed is forgotten"),
        pytest.param(5, lambda data: data["why"].update(passed_by=["cid"]), id="somebody else passed"),
        pytest.param(3, lambda data: data["why"].update(passed_by=["bob"]), id="nobody had passed"),
        pytest.param(4, lambda data: data.update(outcome="moved"), id="the offer ended otherwise"),
        pytest.param(7, lambda data: data["why"].pop("has_slot"), id="no slot where it was offered"),
        pytest.param(6, lambda data: data.update(to="ann"), id="a slot that was another's"),
        pytest.param(8, lambda data: data["why"].update(silent=["cid"]), id="another was silent"),
        pytest.param(8, lambda data: data["why"].update(silent=["ann", "bob"]), id="one too many was silent"),
        pytest.param(8, lambda data: data["why"].update(silent=["cid", "bob"]), id="nobody knows of one"),
        pytest.param(8, lambda data: data["why"].pop("silent"), id="nobody was silent"),
        pytest.param(8, lambda data: data.update(reason=None), id="given for no silence"),
        pytest.param(8, lambda data: data.update(previous_agent_id="cid"), id="the silent one had it not"),
    ],
)
def test_a_record_that_forgets_is_found(place: int, change: Change) -> None:
    assert problems([*DAY[:place], told_otherwise(DAY[place], change), *DAY[place + 1 :]])


def test_who_is_found_is_asked_at_once() -> None:
    assert problems([*DAY[:3], *DAY[5:]])
    assert problems([*DAY[:3], replace(DAY[3], time=NOON + minutes(1)), *DAY[4:]])


def beside(name: str) -> Change:
    """Somebody full is named, too."""
    return lambda data: data["why"]["shortlist"].append([name, "full", 3, 3, 1, None])


def test_nobody_is_considered_who_is_left_out() -> None:
    for place, name in ((8, "bob"), (5, "ann")):
        (problem,) = unlike(told_otherwise(DAY[place], beside(name)), {})
        assert name in problem


def test_who_passed_on_a_chat_is_asked_again_where_nobody_else_can_be() -> None:
    chat = a_chat(passed_by="ann")
    known = facts(
        departments=(a_department(mode="offer"),),
        agents=(an_agent("ann"),),
        chats=(chat,),
        queues={SALES: (chat.key,)},
    )
    row = Due(SERVE_QUEUE, due_name(SALES), TENANT, NOON, sweep=True)
    (offered,) = facts_of(fold_dues(known, [row], NOON))
    assert list(unlike(offered, {})) == []


def test_a_wait_counts_from_when_the_chat_entered_the_queue() -> None:
    full = facts(agents=(an_agent("ann", load=3),))
    waits = fold(full, [received(a_message())], STEPS, NOON)
    (chat,) = waits.chats
    row = Due(WAITED_TOO_LONG, due_name(chat.key), TENANT, NOON + minutes(15))
    ended = fold_dues(replace(full, chats={chat.key: chat}), [row], NOON + minutes(15))
    said = [*facts_of(waits), *facts_of(ended)]
    assert names(said)[-2:] == ["queued", "diverted"]
    assert problems(said) == []
    longer = (NOON - minutes(1)).isoformat()
    assert problems([*said[:-1], told_otherwise(said[-1], lambda data: data["why"].update(since=longer))])


def by_hand(
    to: str | None, *team: Agent, into: str | None = None, calendar: Calendar | None = None
) -> Event[Any]:
    """Sue gives Ann's chat away."""
    chat = an_assigned_chat("ann")
    known = facts(
        agents=team or (an_agent("ann", load=3), an_agent("bob", load=1), an_agent("cid", load=2)),
        chats=(chat,),
        departments=(a_department(calendar_id="hours" if calendar else None),),
        calendars={"hours": calendar} if calendar else {},
    )
    command = ChatAssign(by=SUE, chat_id=chat.chat_id, agent_id=to, department_id=into)
    (said,) = facts_of(fold(known, [received(command)], STEPS, NOON))
    return said


HOURS = a_calendar("09:00", "17:00", revision=2)


def receiver(place: int, value: object) -> Change:
    return lambda data: data["why"]["receiver"].__setitem__(place, value)


@pytest.mark.parametrize(
    ("said", "change"),
    [
        pytest.param(by_hand("bob"), receiver(1, "away"), id="away"),
        pytest.param(by_hand("bob"), receiver(1, "offline"), id="offline"),
        pytest.param(by_hand("bob"), receiver(1, "draining"), id="draining"),
        pytest.param(by_hand("bob"), receiver(2, 3), id="full by the numbers"),
        pytest.param(
            by_hand("bob"),
            lambda data: data["why"]["receiver"].__setitem__(slice(1, 3), ["full", 3]),
            id="full",
        ),
        pytest.param(by_hand("bob"), receiver(0, "cid"), id="another"),
        pytest.param(by_hand("bob"), receiver(1, "lacks_skill"), id="judged by skills nobody asks for"),
        pytest.param(by_hand("ann"), lambda data: data["why"].pop("has_slot"), id="full without a slot"),
        pytest.param(
            by_hand(None, into="sales"), lambda data: data.update(agent_id="cid"), id="not the next"
        ),
        pytest.param(
            by_hand(None, into="sales"),
            lambda data: data["why"].update(when_full="never", ahead=3),
            id="inputs",
        ),
        pytest.param(
            by_hand(None, into="sales", calendar=HOURS),
            lambda data: data["why"]["calendar"].update(open=False),
            id="closed",
        ),
        pytest.param(
            by_hand(None, into="sales", calendar=HOURS),
            lambda data: data["why"]["calendar"].update(revision=None),
            id="hours nobody knows",
        ),
    ],
)
def test_who_is_named_by_hand_is_judged_again(said: Event[Any], change: Change) -> None:
    assert list(unlike(said, {})) == []
    assert list(unlike(told_otherwise(said, change), {}))


@pytest.mark.parametrize(
    ("bob", "reason"),
    [
        (an_agent("bob", load=3), "agent_full"),
        (an_agent("bob", state="away"), "agent_away"),
        (an_agent("bob", draining=True), "agent_away"),
        (an_agent("bob", state="offline"), "agent_offline"),
    ],
)
def test_who_is_refused_by_hand_is_judged_again(bob: Agent, reason: str) -> None:
    chat = an_assigned_chat("ann")
    known = facts(agents=(an_agent("ann", load=1), bob), chats=(chat,))
    command = ChatAssign(by=SUE, chat_id=chat.chat_id, agent_id="bob")
    (event,) = fold(known, [received(command)], STEPS, NOON).outcome.outgoing
    said: Event[Any] = cloudevents.decode(cloudevents.encode(event))
    assert said.data.reason == reason
    assert list(unlike_refusal(said.data)) == []
    other = "agent_full" if reason != "agent_full" else "agent_away"
    for change in (
        lambda data: data.update(reason=other),
        receiver(1, "available"),
        lambda data: data["why"].update(receiver=["bob", "available", 0, 3, 1, None]),
    ):
        assert list(unlike_refusal(told_otherwise(said, change).data))


def test_a_department_that_closed_is_given_nothing_by_hand() -> None:
    """By the calendar itself, whatever was recorded of it."""
    said = by_hand(None, into="sales", calendar=HOURS)
    mornings = desk.a_calendar_document("hours", revision=2, week={"mon": [{"from": "01:00", "to": "02:00"}]})
    assert list(unlike(said, {(TENANT, "hours", 2): mornings}))


RULES = RoutingRulesDocument(
    id="rules",
    revision=7,
    rules=(RoutingRule(department="night", keyword="urgent"), RoutingRule(department="care", keyword="care")),
)
DIRECTORY: tuple[DirectoryDocument, ...] = (
    desk.a_tenant(revision=3),
    RULES,
    *(desk.a_department(name) for name in ("sales", "care", "night")),
)


def opened_by(words: str) -> tuple[Event[Any], Event[Any]]:
    """What opens a chat, and the message."""
    known = facts(departments=tuple(a_department(name) for name in ("sales", "care", "night")))
    known = replace(known, directory={TENANT: documents([*DIRECTORY], TENANT)})
    heard = received(a_message(words, hints=Hints(skills=("wine",))))
    return facts_of(fold(known, [heard], STEPS, NOON))[0], heard.event


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data["why"].update(rule=0), id="another rule"),
        pytest.param(lambda data: data["why"].update(rule=None), id="the first line"),
        pytest.param(lambda data: data.update(department_id="night"), id="another department"),
        pytest.param(lambda data: data.update(skills=["french"]), id="other skills"),
        pytest.param(lambda data: data.update(skills=None), id="no skills"),
    ],
)
def test_the_rule_that_chose_the_department_is_found_again(change: Change) -> None:
    said, message = opened_by("care")
    assert said.data.why["rule"] == 1
    assert list(unlike_its_rules(said, message.data, DIRECTORY[:2])) == []
    assert list(unlike_its_rules(told_otherwise(said, change), message.data, DIRECTORY[:2]))


def test_other_rules_open_other_chats() -> None:
    said, message = opened_by("care")
    other = RULES.model_copy(update={"rules": RULES.rules[::-1]})
    assert list(unlike_its_rules(said, message.data, (DIRECTORY[0], other)))


def test_ids_come_from_the_event_that_caused_the_fact() -> None:
    said, message = opened_by("care")
    assert list(unlike_its_cause(said, message, None)) == []
    assert list(unlike_its_cause(said, received(a_message("care")).event, None)), "another message"
    assert list(unlike_its_cause(replace(said, id="by chance"), message, None))
    chance = "0b4f3c0e-0000-4000-8000-000000000000"
    renamed = told_otherwise(said, lambda data: data.update(chat_id=chance))
    assert list(unlike_its_cause(renamed, message, None))
    named = derived_id(message.as_cause().id, said.type, chance, str(said.data.version))
    known_by_it = replace(renamed, id=named)
    assert list(unlike_its_cause(known_by_it, message, None)), "also where its event is named after it"


def test_a_ticket_comes_from_the_message_that_found_nobody_there() -> None:
    heard = received(a_message())
    *_, before, said = facts_of(fold(facts(agents=(an_agent("ann", state="offline"),)), [heard], STEPS, NOON))
    assert isinstance(said.data, chats.ChatDiverted)
    assert list(unlike_its_cause(said, heard.event, before)) == []
    renamed = told_otherwise(said, lambda data: data.update(ticket_id="by chance"))
    assert list(unlike_its_cause(renamed, heard.event, before))


def test_a_ticket_stays_the_same_while_its_chat_only_waits() -> None:
    heard = received(a_message())
    *_, before, said = facts_of(fold(facts(agents=(an_agent("ann", state="offline"),)), [heard], STEPS, NOON))
    kept = told_otherwise(said, lambda data: data.update(ticket_id="kept"))
    waits = told_otherwise(before, lambda data: data.update(ticket_id="kept", state="queued"))
    held = told_otherwise(before, lambda data: data.update(ticket_id="kept", state="assigned"))
    assert list(unlike_its_cause(kept, heard.event, waits)) == []
    assert list(unlike_its_cause(kept, heard.event, held)), "whoever held the chat was the end of its ticket"
