from collections import Counter

from ops.demo.agents import SimulatedAgent, pace_for, shifts
from ops.demo.centre import AGENTS, BILLING_LINE
from ops.demo.plan import LONG_CLOSED, OLD_CUSTOMERS, STILL_OPEN, plan


def test_the_same_seed_plans_the_same_run() -> None:
    assert plan(7, 50, 20) == plan(7, 50, 20)
    assert plan(7, 50, 20) != plan(8, 50, 20)
    assert [move.at for move in shifts(7, 20)] == [move.at for move in shifts(7, 20)]


def test_messages_come_at_about_the_rate_asked_for() -> None:
    assert 0.85 * 50 * 60 < len(plan(7, 50, 60).writes) < 1.15 * 50 * 60


def test_hundreds_of_customers_write() -> None:
    assert len({write.customer for write in plan(7, 50, 60).writes}) > 200


def test_publication_follows_the_clock_within_the_run() -> None:
    times = [write.at for write in plan(7, 50, 20).writes]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 20


def test_no_two_messages_have_the_same_id() -> None:
    assert max(Counter(write.message_id for write in plan(7, 50, 60).writes).values()) == 1


def test_about_two_in_a_hundred_are_published_again_in_both_ways() -> None:
    writes = plan(7, 50, 60).writes
    repeats = [write.repeat for write in writes if write.repeat is not None]
    assert 0.01 < len(repeats) / len(writes) < 0.03
    assert {repeat.same_event for repeat in repeats} == {True, False}


def test_some_are_late_and_some_were_sent_before_the_one_published_before_them() -> None:
    writes = plan(7, 50, 60).writes
    last: dict[str, float] = {}
    disordered = 0
    for write in writes:
        sent = write.at - write.before
        disordered += sent < last.get(write.customer, sent)
        last[write.customer] = max(sent, last.get(write.customer, sent))
    assert disordered > 10
    assert any(10 <= write.before <= 600 for write in writes)


def test_the_shortest_run_has_a_repeat_and_a_message_to_the_closed_department() -> None:
    writes = plan(7, 5, 5).writes
    assert any(write.repeat is not None and write.repeat.same_event for write in writes)
    assert any(write.business_address == BILLING_LINE for write in writes)


def test_a_customer_writes_to_one_number() -> None:
    numbers: dict[str, set[str]] = {}
    for write in plan(7, 50, 60).writes:
        numbers.setdefault(write.customer, set()).add(write.business_address)
    assert all(len(found) == 1 for found in numbers.values())
    assert {BILLING_LINE} in numbers.values()


def test_some_were_last_heard_a_minute_less_and_an_hour_more_than_a_day_ago() -> None:
    planned = plan(7, 50, 20)
    before = Counter(write.before for write in planned.writes)
    assert before[STILL_OPEN] == before[LONG_CLOSED] == OLD_CUSTOMERS
    assert {write.customer for write in planned.writes if write.before == LONG_CLOSED} == planned.long_ago


def test_every_agent_signs_in_and_some_vanish_for_good() -> None:
    moves = shifts(7, 20)
    signed_in = {move.agent for move in moves if move.act is SimulatedAgent.sign_in}
    vanished = [move.agent for move in moves if move.act is SimulatedAgent.vanish]
    back = [move.agent for move in moves if move.act is SimulatedAgent.sign_in and move.at > 16]
    assert signed_in == set(AGENTS)
    assert len(AGENTS) == 20
    assert len(vanished) == 3
    assert len(set(vanished) & set(back)) == 1


def test_agents_are_quicker_the_more_is_written() -> None:
    assert pace_for(200) < pace_for(50) < pace_for(20)
