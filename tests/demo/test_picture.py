from collections.abc import Callable
from datetime import timedelta
from random import Random  # noqa: TID251 - the test plays a broker that says things twice

import pytest

from ops.demo.picture import LATENCY_WINDOW, Picture, paint
from ops.demo.scene import Refusal, Scene
from shared.contracts.actors import Actor
from shared.contracts.agents import AgentChanged
from shared.contracts.chats import ChatAssigned, ChatCommandRefused, ChatDiverted, ChatQueued
from shared.contracts.directory import AgentDocument
from shared.contracts.tickets import TicketClosed, TicketCommandRefused
from tests.checker.builders import Past
from tests.demo.builders import (
    a_busy_day,
    a_moment,
    a_picture,
    a_sales_department,
    a_scene,
    later,
    records_of,
)


def a_chat(past: Past, chat_id: str = "c1", *, customer: str = "+27820000001") -> None:
    past.open(chat_id, past.write(customer, f"wamid-{chat_id}"))


def nothing(past: Past) -> None:
    pass


def one_waits(past: Past) -> None:
    a_chat(past)
    past.tell("c1", ChatQueued, state="queued", waiting_since=past.now)


def one_is_anns(past: Past) -> None:
    a_chat(past)
    past.assign("c1", "ann")


def one_was_anns_and_is_closed(past: Past) -> None:
    one_is_anns(past)
    past.close("c1")


def one_is_a_ticket(past: Past) -> None:
    a_chat(past)
    past.divert("c1", "t1")


def one_is_a_closed_ticket(past: Past) -> None:
    one_is_a_ticket(past)
    past.tell_ticket(
        "t1",
        TicketClosed,
        state="closed",
        by=Actor(role="agent", id="ann"),
        close_reason="done",
        chat_version=2,
    )


CHATS: tuple[tuple[Callable[[Past], None], dict[str, int]], ...] = (
    (nothing, {}),
    (one_waits, {"queued": 1}),
    (one_is_anns, {"assigned": 1}),
    (one_was_anns_and_is_closed, {"closed": 1}),
    (one_is_a_ticket, {"diverted": 1}),
    (a_chat, {"queued": 1}),
)


@pytest.mark.parametrize(("happened", "expected"), CHATS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_chat_is_counted_in_the_state_it_is_in(
    happened: Callable[[Past], None], expected: dict[str, int]
) -> None:
    past = a_sales_department()
    happened(past)
    counted = dict(a_picture(past).chats)
    assert {state: count for state, count in counted.items() if count} == expected
    assert list(counted) == ["queued", "assigned", "pending", "diverted", "closed"]


TICKETS = (
    (nothing, (), ()),
    (one_is_a_ticket, (("no_agents_online", 1),), ()),
    (one_is_a_closed_ticket, (), (("done", 1),)),
)


@pytest.mark.parametrize(
    ("happened", "opened", "closed"), TICKETS, ids=lambda one: getattr(one, "__name__", "")
)
def test_tickets_are_counted_by_why_they_are_there_and_why_they_went(
    happened: Callable[[Past], None], opened: object, closed: object
) -> None:
    past = a_sales_department()
    happened(past)
    picture = a_picture(past)
    assert (picture.open_tickets, picture.closed_tickets) == (opened, closed)


def test_a_department_shows_its_queue_and_who_waits_longest() -> None:
    past = a_sales_department()
    for number in (1, 2):
        a_chat(past, f"c{number}", customer=f"+2782000000{number}")
        past.tell(
            f"c{number}", ChatQueued, state="queued", waiting_since=past.now - timedelta(seconds=number)
        )
    picture = paint(a_scene(past), a_moment(past.now))
    (sales,) = picture.departments
    assert (sales.name, sales.queued) == ("Sales", 2)
    assert sales.oldest_wait == pytest.approx(2, abs=0.5)
    assert [one.seconds for one in picture.longest] == sorted(
        (one.seconds for one in picture.longest), reverse=True
    )


def test_a_customers_number_is_masked() -> None:
    past = a_sales_department()
    one_waits(past)
    picture = a_picture(past)
    assert picture.longest[0].customer == "+27…01"
    assert "+27820000001" not in repr(picture)


def test_a_department_that_is_closed_says_when_it_opens_until_it_does() -> None:
    past = a_sales_department()
    a_chat(past)
    opens_at = later(past, 60)
    past.tell("c1", ChatDiverted, state="diverted", reason="outside_business_hours", next_open_at=opens_at)
    scene = a_scene(past)
    assert paint(scene, a_moment(past.now)).departments[0].opens_at == opens_at
    assert paint(scene, a_moment(later(past, 61))).departments[0].opens_at is None


def test_a_department_has_the_room_of_those_who_take_more() -> None:
    past = a_sales_department()
    one_is_anns(past)
    past.agent("ben", "away", 2)
    (sales,) = a_picture(past).departments
    assert (sales.online, sales.people, sales.load, sales.capacity) == (1, 2, 1, 2)


STATES = (
    ({"state": "online"}, "online"),
    ({"state": "online", "draining": True}, "draining"),
    ({"state": "away"}, "away"),
    ({"state": "away", "draining": True}, "away"),
    ({"state": "offline"}, "offline"),
)


@pytest.mark.parametrize(("told", "shown"), STATES)
def test_an_agent_is_shown_as_presence_has_them(told: dict[str, object], shown: str) -> None:
    past = a_sales_department()
    past.say(AgentChanged(agent_id="ann", cause="test", since=past.now, version=2, **told), "presence")
    assert {agent.name: agent.state for agent in a_picture(past).agents} == {"ann": shown, "ben": "online"}


def test_an_agents_load_is_what_they_hold() -> None:
    past = a_sales_department()
    one_is_anns(past)
    assert {agent.name: (agent.load, agent.capacity) for agent in a_picture(past).agents} == {
        "ann": (1, 2),
        "ben": (0, 2),
    }


def test_offers_and_wrap_ups_count_until_they_end() -> None:
    past = a_sales_department()
    one_is_anns(past)
    past.offer("c1", "ben")
    assert [agent.load for agent in a_picture(past).agents] == [1, 1]
    past.end_offer("c1", "declined")
    past.close("c1", wrap_up=timedelta(minutes=1))
    assert [agent.load for agent in a_picture(past).agents] == [1, 0]
    past.end_wrap_up("c1")
    assert [agent.load for agent in a_picture(past).agents] == [0, 0]


def test_who_has_no_department_is_not_on_the_floor() -> None:
    past = a_sales_department()
    past.say(AgentDocument(id="grace", revision=1, name="Grace", capacity=1, roles=("supervisor",)), "desk")
    assert [agent.name for agent in a_picture(past).agents] == ["ann", "ben"]


DELIVERIES = (
    (("accepted", "sent", "delivered"), "delivered"),
    (("delivered", "accepted"), "delivered"),
    (("in_doubt", "sent"), "sent"),
    (("accepted", "failed"), "failed"),
    (("held", "refused"), "refused"),
    (("in_doubt", "unknown"), "unknown"),
)


@pytest.mark.parametrize(("told", "shown"), DELIVERIES)
def test_a_send_is_counted_once_as_far_as_it_came(told: tuple[str, ...], shown: str) -> None:
    past = a_sales_department()
    one_is_anns(past)
    past.deliver(past.reply("c1", "r1"), *told, reason="told")
    assert a_picture(past).deliveries == ((shown, 1),)


def test_refusals_are_counted_by_what_was_refused_and_why() -> None:
    past = a_sales_department()
    one_is_anns(past)
    past.deliver(past.reply("c1", "r1"), "refused", reason="window_closed")
    for number in (1, 2):
        past.say(ChatCommandRefused(command_id=f"one-{number}", reason="agent_full"), "routing")
    past.say(TicketCommandRefused(command_id="three", reason="agent_full"), "tickets")
    assert a_picture(past).refusals == (
        ("chat", "agent_full", 2),
        ("send", "window_closed", 1),
        ("ticket", "agent_full", 1),
    )


def test_latency_is_of_chats_that_found_an_agent_at_once() -> None:
    past = a_sales_department()
    a_chat(past)
    past.tell("c1", ChatQueued, state="queued", waiting_since=past.now)
    past.add("c1", past.write("+27820000001", "again"))
    past.assign("c1", "ann")
    assert a_picture(past).latency is None
    a_chat(past, "c2", customer="+27820000002")
    past.assign("c2", "ben")
    latency = a_picture(past).latency
    assert latency is not None
    assert latency.count == 1
    assert latency.p50 == pytest.approx(170, abs=100)


def test_latency_is_of_the_last_seconds_alone() -> None:
    past = a_sales_department()
    one_is_anns(past)
    scene = a_scene(past)
    soon, late = later(past, 0), past.now + LATENCY_WINDOW
    assert paint(scene, a_moment(soon)).latency is not None
    assert paint(scene, a_moment(late)).latency is None


def test_the_rate_is_of_the_last_whole_second() -> None:
    picture = a_picture(seconds=10.5, written={8: 40, 9: 50, 10: 7})
    assert (picture.messages, picture.rate, picture.rates[-3:]) == (97, 50, (0, 40, 50))


def test_the_rate_stands_still_when_customers_have_stopped() -> None:
    assert a_picture(seconds=70.0, duration=10.0, written={8: 40, 9: 50}).rate == 50


LAGS: tuple[tuple[dict[str, float | None], float | None], ...] = (
    ({}, None),
    ({"routing": 0.2, "outbound": 3.0}, 3.0),
    ({"routing": 0.2, "outbound": None}, None),
)


@pytest.mark.parametrize(("lags", "lag"), LAGS)
def test_the_lag_is_the_largest_once_all_is_read(lags: dict[str, float | None], lag: float | None) -> None:
    assert a_picture(lags=lags).lag == lag


def test_nothing_heard_makes_an_empty_picture() -> None:
    picture = paint(Scene(), a_moment(written={}, lags={}))
    assert (picture.messages, picture.departments, picture.agents, picture.latency) == (0, (), (), None)


def test_hearing_everything_again_in_its_order_changes_nothing() -> None:
    past = a_busy_day()
    past.say(ChatCommandRefused(command_id="one", reason="agent_full"), "routing")
    told = records_of(past)
    dice = Random(7)
    for _ in range(20):
        start = dice.randrange(len(told))
        again = [*told, *told[start:]]
        assert _painted(a_scene(again), past) == _painted(a_scene(told), past)


def _painted(scene: Scene, past: Past) -> Picture:
    return paint(scene, a_moment(past.now))


def test_what_was_refused_is_counted_once_however_often_it_is_told() -> None:
    past = a_sales_department()
    past.say(ChatCommandRefused(command_id="one", reason="agent_full"), "routing")
    scene = a_scene([*records_of(past), *records_of(past)])
    assert scene.refusals == {Refusal("chat", "agent_full"): 1}


def test_an_older_version_does_not_bring_back_what_is_over() -> None:
    past = a_sales_department()
    one_was_anns_and_is_closed(past)
    told = records_of(past)
    assigned = [one for one in told if one.event is not None and isinstance(one.event.data, ChatAssigned)]
    assert a_scene([*told, *assigned]).chats == {}
