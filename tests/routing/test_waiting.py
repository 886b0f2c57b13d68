"""Sweeps and timers: who waits is placed again, and nobody is forgotten."""

from dataclasses import replace
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions import floor
from services.routing.decisions.fold import fold, fold_dues
from services.routing.model import LOOK_AT, Agent, Changes, Chat, Documents, Facts, State, Tenant
from shared.contracts.actors import Actor
from shared.contracts.pairs import PairRef
from shared.contracts.tickets import TicketClosed
from shared.platform.outcome import Due
from tests.desk_events import BUSINESS, NOON, TENANT, a_message, agent_changed, an_agent_document, received
from tests.routing.builders import (
    CUSTOMER,
    a_calendar,
    a_chat,
    a_department,
    a_diverted_chat,
    an_agent,
    an_assigned_chat,
    facts,
    minutes,
)

SALES = (TENANT, "sales")


def a_due(kind: str, name: str = "sales") -> Due:
    return Due(kind, f"{TENANT}:{name}", TENANT, NOON, sweep=True, generation=1)


def a_queue(length: int, *agents: Agent, **department: Any) -> Facts:
    chats = tuple(a_chat(f"+2782{n:07}", since=NOON + minutes(n)) for n in range(length))
    return facts(
        agents=agents,
        chats=chats,
        departments=(a_department(**department),),
        calendars={"hours": a_calendar("13:00", "17:00")},
        waiting=length,
        queues={SALES: tuple(chat.key for chat in chats)},
    )


def states(changes: Changes) -> list[str]:
    return [chat.state.value for chat in changes.chats]


def test_a_queue_is_served_in_its_order_as_far_as_there_is_room() -> None:
    changes = fold_dues(a_queue(4, an_agent(load=1, capacity=3)), [a_due(floor.SERVE_QUEUE)], NOON)
    assert [chat.customer_address for chat in changes.chats] == ["+27820000000", "+27820000001"]
    assert states(changes) == ["assigned", "assigned"]
    assert [key for _, key in changes.outcome.cancel] == [
        f"{TENANT}:{chat.chat_id}" for chat in changes.chats
    ]


def test_a_queue_nobody_is_left_to_serve_becomes_tickets() -> None:
    changes = fold_dues(a_queue(3, an_agent(state="away")), [a_due(floor.SERVE_QUEUE)], NOON)
    assert states(changes) == ["diverted"] * 3


def test_a_queue_becomes_tickets_when_the_department_closes() -> None:
    known = a_queue(2, an_agent(load=3), calendar_id="hours")
    changes = fold_dues(known, [a_due(floor.DEPARTMENT_CLOSES)], NOON)
    assert states(changes) == ["diverted"] * 2
    assert {event.data.reason for event in changes.outcome.outgoing} == {"outside_business_hours"}  # type: ignore[attr-defined]


def test_a_sweep_stays_due_while_more_may_wait_than_it_looked_at() -> None:
    changes = fold_dues(a_queue(LOOK_AT), [a_due(floor.SERVE_QUEUE)], NOON)
    assert [due.kind for due in changes.outcome.schedule] == [floor.SERVE_QUEUE]


def lost(*agents: Agent, chat: Chat | None = None) -> Changes:
    held = chat or an_assigned_chat("ann")
    known = facts(agents=agents, chats=(held,), held={(TENANT, "ann"): (held.key,)})
    return fold_dues(known, [a_due(floor.AGENT_LOST, "ann")], NOON)


GONE = an_agent("ann", state="offline", load=1)


def test_unanswered_chats_of_a_lost_agent_go_to_another() -> None:
    changes = lost(GONE, an_agent("bob"))
    assert changes.chats[0].agent_id == "bob"
    assert changes.outcome.outgoing[0].data.reason == "agent_lost"  # type: ignore[attr-defined]


def test_unanswered_chats_of_a_lost_agent_wait_by_their_first_arrival_when_all_are_full() -> None:
    chat = an_assigned_chat("ann", waiting_since=NOON - minutes(30))
    changes = lost(GONE, an_agent("bob", load=3), chat=chat)
    assert states(changes) == ["queued"]
    assert changes.chats[0].waiting_since == NOON - minutes(30)


def test_unanswered_chats_of_a_lost_agent_become_tickets_when_nobody_is_left() -> None:
    assert states(lost(GONE)) == ["diverted"]


@pytest.mark.parametrize("agent", [an_agent("ann", load=1), an_agent("ann", state="away", load=1)])
def test_an_agent_who_is_back_keeps_their_chats(agent: Agent) -> None:
    assert not lost(agent).chats


def test_an_answered_chat_stays_with_the_agent_who_left() -> None:
    assert not lost(GONE, an_agent("bob"), chat=an_assigned_chat("ann", last_word="business")).chats


def test_a_wait_that_runs_out_becomes_a_ticket_and_an_assigned_chat_stays() -> None:
    row = replace(a_due(floor.WAITED_TOO_LONG, f"chat-{CUSTOMER}"), at=NOON + minutes(15))
    assert states(fold_dues(facts(chats=(a_chat(),)), [row], NOON)) == ["diverted"]
    assert not fold_dues(facts(chats=(an_assigned_chat(),)), [row], NOON).chats


def test_a_lost_agent_is_looked_after_and_the_queues_are_served_when_a_state_changes() -> None:
    changes = fold(
        facts(agents=(an_agent(),)), [received(agent_changed("ann", "offline", version=2))], STEPS, NOON
    )
    assert {due.kind for due in changes.outcome.schedule} == {floor.AGENT_LOST, floor.SERVE_QUEUE}


def test_an_older_version_of_a_state_changes_nothing() -> None:
    known = facts(agents=(an_agent(presence_version=5),))
    assert not fold(known, [received(agent_changed("ann", "offline", version=5))], STEPS, NOON).agents


def test_raised_capacity_serves_the_queues() -> None:
    known = facts(agents=(an_agent(load=3, capacity=3, revision=1),))
    changes = fold(known, [received(an_agent_document(revision=2, capacity=5))], STEPS, NOON)
    assert changes.agents[0].capacity == 5
    assert [due.kind for due in changes.outcome.schedule] == [floor.SERVE_QUEUE]


def closing(chat_version: int, ticket_id: str = "ticket-1") -> TicketClosed:
    return TicketClosed(
        ticket_id=ticket_id,
        chat_id=a_diverted_chat().chat_id,
        version=3,
        state="closed",
        reason="no_agents_online",
        pair=PairRef(channel="whatsapp", business_address=BUSINESS, customer_address=CUSTOMER),
        customer_id="c",
        opened_at=NOON,
        last_message_at=NOON,
        by=Actor(role="agent", id="ann"),
        close_reason="closed_by_agent",
        chat_version=chat_version,
    )


def test_closing_a_ticket_closes_its_chat_at_the_version_it_had_seen() -> None:
    known = facts(chats=(a_diverted_chat(version=4),))
    assert states(fold(known, [received(closing(4))], STEPS, NOON)) == ["closed"]


def test_a_message_after_the_close_opens_the_next_ticket_of_the_same_chat() -> None:
    changes = fold(facts(chats=(a_diverted_chat(version=5),)), [received(closing(4))], STEPS, NOON)
    assert states(changes) == ["diverted"]
    assert changes.chats[0].ticket_id not in {None, "ticket-1"}


def test_a_ticket_closed_while_its_chat_waits_is_not_used_again() -> None:
    """Its next divert is a new ticket: nobody would hear of the closed one."""
    queued = a_chat(ticket_id="ticket-1", chat_id=a_diverted_chat().chat_id)
    closed = fold(facts(chats=(queued,)), [received(closing(3))], STEPS, NOON)
    (kept,) = closed.chats
    assert (kept.state, kept.ticket_id, closed.outcome.outgoing) == (State.QUEUED, None, [])
    row = a_due(floor.WAITED_TOO_LONG, kept.chat_id)
    diverted = fold_dues(facts(chats=(kept,)), [replace(row, at=NOON + minutes(15))], NOON)
    assert diverted.chats[0].ticket_id not in {None, "ticket-1"}


def test_a_wait_that_began_anew_is_not_ended_by_the_old_timer() -> None:
    chat = a_chat(queued_at=NOON + minutes(1))
    row = a_due(floor.WAITED_TOO_LONG, f"chat-{CUSTOMER}")
    assert not fold_dues(facts(chats=(chat,)), [row], NOON + minutes(1)).chats


def test_a_chat_held_for_a_missing_calendar_waits_on_and_is_limited_again() -> None:
    known = facts(chats=(a_chat(),), departments=(a_department(calendar_id="hours"),))
    row = replace(a_due(floor.WAITED_TOO_LONG, f"chat-{CUSTOMER}"), at=NOON + minutes(15))
    changes = fold_dues(known, [row], NOON + minutes(15))
    assert not changes.chats
    assert [due.kind for due in changes.outcome.schedule] == [floor.WAITED_TOO_LONG]


def test_new_hours_move_the_end_of_those_who_wait_already() -> None:
    open_now = a_calendar("09:00", "13:00")
    known = a_queue(2, an_agent(load=3), calendar_id="hours")
    tenant = replace(known.directory[TENANT], calendars={"hours": open_now})
    known = replace(known, directory={TENANT: tenant})
    changes = fold_dues(known, [a_due(floor.SERVE_QUEUE)], NOON)
    assert [(due.kind, due.at) for due in changes.outcome.schedule] == [
        (floor.DEPARTMENT_CLOSES, NOON + minutes(60))
    ]


def test_a_ticket_of_a_department_that_is_gone_stays_a_ticket() -> None:
    known = replace(facts(chats=(a_diverted_chat(),)), directory={TENANT: Documents(Tenant(TENANT, "sales"))})
    changes = fold(known, [received(a_message())], STEPS, NOON)
    assert states(changes) == ["diverted"]


def test_a_closed_ticket_that_is_no_longer_the_chat_s_changes_nothing() -> None:
    known = facts(chats=(a_diverted_chat(version=4),))
    assert not fold(known, [received(closing(4, "another"))], STEPS, NOON).chats
    assert not fold(facts(chats=(an_assigned_chat(),)), [received(closing(3))], STEPS, NOON).chats


def test_lost_agents_chats_never_exceed_the_others_room() -> None:
    chats = tuple(an_assigned_chat("ann", f"+2782{n:07}") for n in range(3))
    agents = (an_agent("ann", state="offline", load=3), an_agent("bob", load=1))
    known = facts(agents=agents, chats=chats, held={(TENANT, "ann"): tuple(chat.key for chat in chats)})
    changes = fold_dues(known, [a_due(floor.AGENT_LOST, "ann")], NOON)
    assert [chat.state for chat in changes.chats] == [State.ASSIGNED, State.ASSIGNED, State.QUEUED]
    assert {agent.agent_id: agent.load for agent in changes.agents} == {"ann": 0, "bob": 3}
