"""A pair's turn, a last look at the door, and how fast a sender may send."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.decisions import pacing
from services.outbound.decisions.turns import Look, Turn, objection_at_the_door, take
from services.outbound.model import Message, NotSent, Rules, Send, SendState
from tests.outbound.builders import (
    DAY,
    NOON,
    RULES,
    SECOND,
    a_ledger,
    a_line,
    a_message,
    a_pair_state,
    a_request,
    a_send,
    a_sender,
    a_sending_one,
    a_template,
    a_template_fact,
    facts,
)

S = SendState


def turn(head: Send | None, **known: Any) -> Turn:
    return Turn(a_pair_state(), head, facts(**known))


def test_a_pair_with_nothing_to_send_leaves_the_queue() -> None:
    taken = take(turn(None), NOON, RULES)
    assert (taken.pair.next_turn_at, taken.send, taken.message) == (None, None, None)


def test_a_message_that_may_go_is_sending_under_a_lease_before_anybody_calls() -> None:
    taken = take(turn(a_send()), NOON, RULES)
    assert taken.send is not None
    assert (taken.send.state, taken.send.attempt, taken.send.lease_until) == (
        S.SENDING,
        1,
        NOON + RULES.lease,
    )
    assert taken.send.judged_by == a_ledger().last_inbound_at
    assert taken.pair.next_turn_at == NOON + RULES.lease, (
        "nobody looks at the pair while it has one in flight"
    )
    assert taken.message == Message(taken.send, a_line(), taken.send.request.content)


def test_a_refused_message_makes_room_for_the_next_at_once() -> None:
    taken = take(turn(a_send(), ledger=a_ledger(DAY)), NOON, RULES)
    assert taken.send is not None
    assert (taken.send.state, taken.send.reason, taken.message) == (S.REFUSED, "window_closed", None)
    assert taken.pair.next_turn_at == NOON


def test_a_halted_senders_message_is_held() -> None:
    taken = take(turn(a_send(), halted="access_refused"), NOON, RULES)
    assert taken.send is not None
    assert (taken.send.state, taken.send.reason, taken.message) == (S.HELD, "sender_halted", None)


def test_a_lease_that_ran_out_leaves_the_message_in_doubt_and_never_sends_it_again() -> None:
    lost = a_sending_one(lease_until=NOON)
    taken = take(turn(lost), NOON, RULES)
    assert taken.send is not None
    assert (taken.send.state, taken.send.reason, taken.message) == (S.IN_DOUBT, "lease_expired", None)
    assert taken.pair.next_turn_at == NOON + RULES.in_doubt_hold


def test_a_pair_with_a_message_in_flight_waits_for_its_lease() -> None:
    taken = take(turn(a_sending_one(lease_until=NOON + SECOND)), NOON, RULES)
    assert (taken.pair.next_turn_at, taken.send, taken.message) == (NOON + SECOND, None, None)


def test_a_message_that_is_to_be_tried_later_is_not_tried_earlier() -> None:
    taken = take(turn(a_send(not_before=NOON + SECOND)), NOON, RULES)
    assert (taken.pair.next_turn_at, taken.send, taken.message) == (NOON + SECOND, None, None)


def test_what_was_requested_before_a_restore_is_in_doubt_and_never_sent() -> None:
    restored = replace(RULES, restored_at=NOON)
    early = a_send(request=a_request(requested_at=NOON - SECOND))
    later = a_send(request=a_request(requested_at=NOON))
    taken = take(turn(early), NOON + SECOND, restored)
    assert taken.send is not None
    assert (taken.send.state, taken.send.reason, taken.message) == (S.IN_DOUBT, "restored", None)
    assert taken.pair.next_turn_at == NOON + SECOND, "nothing is with the provider: the next may go at once"
    assert take(turn(later), NOON + SECOND, restored).message is not None


def test_a_fallback_is_marked_as_one() -> None:
    send = a_send(request=a_request(fallback_template=a_template()))
    taken = take(turn(send, ledger=a_ledger(DAY)), NOON, RULES)
    assert taken.send is not None
    assert taken.message is not None
    assert taken.send.fallback
    assert taken.message.content == a_template()


def look(message: Message, **fields: Any) -> Look:
    standard: dict[str, Any] = {
        "send": message.send,
        "ledger": a_ledger(),
        "templates": {"come_back": [a_template_fact()]},
        "halted": None,
    }
    return Look(**(standard | fields))


TEXT, TEMPLATE = a_message(), a_message(a_template())
LAST_START = RULES.lease - RULES.call_deadline


@pytest.mark.parametrize(
    ("message", "seen", "now", "expected"),
    [
        pytest.param(TEXT, {}, NOON, None, id="nothing changed"),
        pytest.param(TEXT, {"send": None}, NOON, "no_longer_ours", id="the row is gone"),
        pytest.param(
            TEXT,
            {"send": a_sending_one(state=S.IN_DOUBT)},
            NOON,
            "no_longer_ours",
            id="called lost meanwhile",
        ),
        pytest.param(TEXT, {"send": a_sending_one(attempt=2)}, NOON, "no_longer_ours", id="claimed anew"),
        pytest.param(TEXT, {}, NOON + LAST_START, None, id="the lease just outlasts the call"),
        pytest.param(
            TEXT, {}, NOON + LAST_START + SECOND, "lease_too_short", id="the call could outlast the lease"
        ),
        pytest.param(TEXT, {"halted": "access_refused"}, NOON, "sender_halted", id="halted meanwhile"),
        pytest.param(TEXT, {"ledger": a_ledger(DAY)}, NOON, "window_closed", id="the window has closed"),
        pytest.param(
            TEXT, {"ledger": a_ledger(disproved_at=NOON)}, NOON, "window_closed", id="closed by the provider"
        ),
        pytest.param(TEMPLATE, {"ledger": a_ledger(DAY)}, NOON, None, id="a template needs no window"),
        pytest.param(
            TEMPLATE,
            {"templates": {"come_back": [a_template_fact(state="paused")]}},
            NOON,
            "template_changed",
            id="the template was paused meanwhile",
        ),
    ],
)
def test_the_last_look_before_the_write(
    message: Message, seen: dict[str, Any], now: datetime, expected: str | None
) -> None:
    objection = objection_at_the_door(message, look(message, **seen), now, RULES)
    assert objection == (None if expected is None else NotSent(expected))


def test_the_window_that_ends_between_claim_and_write_is_seen_at_the_write() -> None:
    ledger = a_ledger(DAY - RULES.window_margin - SECOND)
    assert objection_at_the_door(TEXT, look(TEXT, ledger=ledger), NOON, RULES) is None
    late = objection_at_the_door(TEXT, look(TEXT, ledger=ledger), NOON + SECOND, RULES)
    assert late == NotSent("window_closed")


@given(
    rate=st.sampled_from([1.0, 5.0, 10.0, 80.0, 1000.0]),
    pauses=st.lists(st.integers(0, 2_000), min_size=1, max_size=200),
)
def test_no_second_ever_sees_more_than_the_rate(rate: float, pauses: list[int]) -> None:
    rules = Rules(rate_per_second=rate)
    sender, now = a_sender(), NOON
    sent: list[datetime] = []
    for milliseconds in pauses:
        now += timedelta(milliseconds=milliseconds)
        grant = pacing.grant(sender, now, rules)
        sent += [now] * grant.count
        sender = grant.spent(sender, grant.count)
    for start in sent:
        assert sum(start <= at < start + SECOND for at in sent) <= rate


def test_a_busy_sender_gets_most_of_its_rate() -> None:
    sender, sent = a_sender(), 0
    for step in range(1000):
        grant = pacing.grant(sender, NOON + step * timedelta(milliseconds=10), RULES)
        sent += grant.count
        sender = grant.spent(sender, grant.count)
    assert sent >= 0.94 * 10 * RULES.rate_per_second


def test_unused_grants_are_not_spent() -> None:
    sender = a_sender()
    assert pacing.grant(sender, NOON, RULES).spent(sender, 0) == sender


def test_a_slowed_sender_gets_half_until_its_time_is_over() -> None:
    slowed = pacing.slow(a_sender(), NOON)
    usual = pacing.grant(a_sender(), NOON, RULES).interval
    assert pacing.grant(slowed, NOON, RULES).interval == 2 * usual
    assert pacing.grant(slowed, NOON + pacing.SLOWED_FOR, RULES).interval == usual


def test_requests_that_fail_together_do_not_return_together() -> None:
    pauses = {pacing.retry_pause(f"r{n}", 3, None) for n in range(50)}
    assert len(pauses) > 40
    assert pacing.retry_pause("r1", 3, None) == pacing.retry_pause("r1", 3, None)
