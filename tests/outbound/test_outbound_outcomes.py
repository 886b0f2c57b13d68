"""What a provider's answer means: states, retries, and who is held back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.outbound.decisions import outcomes, pacing
from services.outbound.decisions.outcomes import Settled, settle
from services.outbound.model import (
    Accepted,
    CallOutcome,
    DeclineClass,
    Declined,
    InDoubt,
    NotSent,
    Send,
    SendState,
)
from tests.outbound.builders import DAY, NOON, RULES, SECOND, a_sending_one

S = SendState
ACCEPTED = Accepted("wamid.1")
UNSURE = InDoubt("call_cut_TimeoutError")
HOLD_ENDS = NOON + RULES.in_doubt_hold


def declined(decline: DeclineClass, reason: str = "because", **fields: timedelta) -> Declined:
    return Declined(decline, reason, code="4711", detail="words", **fields)


def settled(outcome: CallOutcome, send: Send | None = None) -> Settled:
    return settle(send or a_sending_one(), outcome, NOON, RULES)


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        (ACCEPTED, S.ACCEPTED, None),
        (UNSURE, S.IN_DOUBT, "call_cut_TimeoutError"),
        (NotSent("lease_too_short"), S.QUEUED, "lease_too_short"),
        (declined(DeclineClass.RETRY), S.QUEUED, "because"),
        (declined(DeclineClass.SLOW_SENDER), S.QUEUED, "because"),
        (declined(DeclineClass.RETRY_PAIR), S.QUEUED, "because"),
        (declined(DeclineClass.HALT_SENDER), S.HELD, "sender_halted"),
        (declined(DeclineClass.PERMANENT), S.FAILED, "because"),
        (declined(DeclineClass.TEMPLATE), S.FAILED, "because"),
        (declined(DeclineClass.NOT_BEFORE_A_DAY), S.FAILED, "because"),
        (declined(DeclineClass.WINDOW_CLOSED, "window_closed"), S.FAILED, "window_closed"),
    ],
)
def test_what_an_answer_makes_of_a_message_that_is_being_sent(
    outcome: CallOutcome, state: SendState, reason: str | None
) -> None:
    after = settled(outcome).send
    assert (after.state, after.reason, after.lease_until) == (state, reason, None)


def test_an_accepted_message_lets_its_pair_go_on_and_forgets_earlier_refusals() -> None:
    after = settled(ACCEPTED, a_sending_one(provider_code="130429", provider_detail="slow down"))
    assert after.next_turn_at == NOON
    assert (after.send.provider_message_id, after.send.provider_code, after.send.provider_detail) == (
        "wamid.1",
        None,
        None,
    )


def test_a_message_in_doubt_holds_its_pair_back_for_the_stated_time() -> None:
    after = settled(UNSURE)
    assert (after.next_turn_at, after.send.in_doubt_since) == (HOLD_ENDS, NOON)


def test_a_contrary_word_on_the_window_is_one_failure_and_no_retry() -> None:
    after = settled(declined(DeclineClass.WINDOW_CLOSED, "window_closed"))
    assert (after.disproved, after.send.state, after.next_turn_at) == (True, S.FAILED, NOON)


def test_only_a_throttled_sender_is_slowed_and_only_a_refused_one_halted() -> None:
    assert settled(declined(DeclineClass.SLOW_SENDER)).slowed
    assert not settled(declined(DeclineClass.RETRY)).slowed
    assert not settled(declined(DeclineClass.RETRY_PAIR)).slowed
    assert settled(declined(DeclineClass.HALT_SENDER, "access_refused")).halted == "access_refused"
    assert settled(declined(DeclineClass.PERMANENT)).halted is None


def test_a_marketing_limit_names_the_day_after() -> None:
    assert settled(declined(DeclineClass.NOT_BEFORE_A_DAY)).send.retry_not_before == NOON + DAY
    assert settled(declined(DeclineClass.PERMANENT)).send.retry_not_before is None


def test_retries_wait_longer_each_time_and_end() -> None:
    again = [
        settled(declined(DeclineClass.RETRY), a_sending_one(attempt=n)).next_turn_at or NOON
        for n in range(1, pacing.MOST_ATTEMPTS)
    ]
    assert all(NOON < at <= NOON + pacing.LONGEST_RETRY for at in again)
    assert again == sorted(again)
    last = settled(declined(DeclineClass.RETRY), a_sending_one(attempt=pacing.MOST_ATTEMPTS))
    assert (last.send.state, last.send.reason) == (S.FAILED, "retries_exhausted")
    assert last.send.provider_code == "4711"


def test_a_retried_message_keeps_its_place_and_its_time() -> None:
    after = settled(declined(DeclineClass.RETRY))
    assert after.send.not_before == after.next_turn_at


def test_a_provider_that_names_a_pause_gets_it() -> None:
    after = settled(declined(DeclineClass.RETRY, retry_after=timedelta(seconds=40)))
    assert after.next_turn_at == NOON + timedelta(seconds=40)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 4), (3, 16), (4, 64), (5, 256), (6, 300)])
def test_a_pair_over_its_limit_waits_four_times_longer_each_time(attempt: int, seconds: int) -> None:
    after = settled(declined(DeclineClass.RETRY_PAIR), a_sending_one(attempt=attempt))
    assert after.next_turn_at == NOON + seconds * SECOND


@pytest.mark.parametrize("state", [S.SENT, S.DELIVERED, S.READ])
def test_a_receipt_that_came_before_the_answer_stands(state: SendState) -> None:
    known = a_sending_one(state=state)
    assert settled(ACCEPTED, known).send.state is state
    assert settled(ACCEPTED, known).send.provider_message_id == "wamid.1"
    for outcome in (UNSURE, declined(DeclineClass.RETRY), declined(DeclineClass.PERMANENT)):
        after = settled(outcome, known)
        assert (after.send.state, after.next_turn_at) == (state, NOON)


@pytest.mark.parametrize("state", [S.IN_DOUBT, S.UNKNOWN])
def test_a_late_answer_settles_a_message_in_doubt_but_never_sends_it_again(state: SendState) -> None:
    doubted = a_sending_one(state=state, in_doubt_since=NOON - SECOND)
    assert settled(ACCEPTED, doubted).send.state is S.ACCEPTED
    for decline in (DeclineClass.RETRY, DeclineClass.RETRY_PAIR, DeclineClass.HALT_SENDER):
        assert settled(declined(decline), doubted).send.state is S.FAILED
    for outcome in (UNSURE, NotSent("window_closed")):
        after = settled(outcome, doubted)
        assert (after.send.state, after.next_turn_at) == (state, None), "its pair is held as before"


def test_a_message_in_doubt_becomes_unknown_after_the_stated_time_and_not_before() -> None:
    doubted = outcomes.doubt(a_sending_one(), "cut", NOON)
    ends = NOON + RULES.in_doubt_settle
    assert outcomes.give_up_waiting(doubted, ends - SECOND, RULES) is None
    given_up = outcomes.give_up_waiting(doubted, ends, RULES)
    assert given_up is not None
    assert (given_up.state, given_up.reason) == (S.UNKNOWN, "no_receipt")
    assert outcomes.give_up_waiting(replace(doubted, state=S.DELIVERED), ends, RULES) is None
