"""When somebody counts as absent, as tables: what is known, and what may be concluded from it."""

from datetime import datetime, timedelta

import pytest

from services.presence.decisions.absence import (
    end_grace,
    find,
    heard_since,
    lapse,
    listen,
    may_judge,
    stand,
)
from services.presence.decisions.outcome import agent_of, outcome_of
from services.presence.decisions.signals import fold
from services.presence.decisions.word import changed
from services.presence.model import (
    Agent,
    Announced,
    Contact,
    Declared,
    Ignored,
    Noted,
    Silent,
    Standing,
    Terms,
)
from shared.contracts.agents import AgentChanged
from shared.platform.outcome import Due
from tests.desk_events import NOON, TENANT
from tests.presence.builders import (
    ANN,
    ENDED,
    LAPSED,
    LIVE,
    LONG_AGO,
    STEADY,
    after,
    an_agent,
    away,
    beat,
    facts,
    leased,
    lost,
    signals,
    standing,
)

TERMS = Terms(lease_seconds=60, grace_seconds=30)
ONLINE_AGAIN = an_agent("offline", declared=Declared(), cause="lost")
ON_LUNCH = an_agent("offline", declared=Declared("away", "lunch", draining=True), cause="lost")


def test_who_has_no_lease_left_is_lost_until_the_grace_after_it_is_over() -> None:
    verdict = lapse(standing(), timedelta(seconds=4), TERMS, NOON)

    assert isinstance(verdict, Noted)
    assert verdict.standing.agent.state == "online"
    assert verdict.standing.agent.grace_until == after(30 - 4)


def test_where_nobody_knows_when_a_lease_ended_one_might_be_running() -> None:
    verdict = lapse(standing(an_agent(lease_seconds=20)), None, TERMS, NOON)

    assert isinstance(verdict, Noted)
    assert verdict.standing.agent.grace_until == after(20 + 30)


@pytest.mark.parametrize(
    ("agent", "why"), [(an_agent("offline"), "agent_offline"), (lost(after(5)), "already_lost")]
)
def test_nobody_is_lost_twice(agent: Agent, why: str) -> None:
    assert lapse(standing(agent), timedelta(), TERMS, NOON) == Ignored(why)  # type: ignore[arg-type]


def test_a_grace_that_is_over_ends_in_offline_and_keeps_what_was_declared() -> None:
    declared = Declared("away", "lunch", draining=True)
    agent = lost(NOON, state="away", reason="lunch", declared=declared)
    verdict = end_grace(standing(agent, tab=LAPSED), NOON)

    assert isinstance(verdict, Announced)
    said = verdict.event.data
    assert isinstance(said, AgentChanged)
    assert (said.state, said.reason, said.draining, said.cause) == ("offline", None, True, "lost")
    assert said.since == NOON
    assert verdict.standing.agent.declared == declared


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (standing(an_agent()), Ignored("not_lost")),
        (standing(lost(NOON), tab=LIVE), None),
        (standing(lost(after(1)), tab=LAPSED), after(1)),
        (Standing(lost(NOON), {"tab": LAPSED}, judged_from=after(7)), after(7)),
    ],
    ids=["returned meanwhile", "a session lives after all", "fired too early", "cannot be judged yet"],
)
def test_a_grace_that_does_not_end_in_offline(before: Standing, expected: object) -> None:
    verdict = end_grace(before, NOON)

    assert isinstance(verdict, Ignored) or (
        isinstance(verdict, Noted) and verdict.standing.agent.state == "online"
    )
    found = verdict if isinstance(verdict, Ignored) else verdict.standing.agent.grace_until
    assert found == expected


def test_who_is_held_to_be_gone_but_lives_is_back() -> None:
    gone, missed = find(standing(ON_LUNCH, tab=LIVE), NOON), find(standing(lost(), tab=LIVE), NOON)

    assert isinstance(gone, Announced)
    assert (gone.standing.agent.state, gone.standing.agent.cause) == ("away", "returned")
    assert isinstance(missed, Noted)
    assert not missed.standing.agent.is_lost


def test_a_session_that_was_signed_out_brings_nobody_back() -> None:
    assert find(standing(an_agent("offline"), tab=ENDED), NOON) == Ignored("agent_offline")


@pytest.mark.parametrize(
    ("contact", "read_up_to", "since"),
    [
        (Contact(), NOON, NOON),
        (Contact(LONG_AGO, after(-1), after(-1)), after(-1), LONG_AGO),
        (Contact(LONG_AGO, after(-3), after(-3)), NOON, NOON),
        (Contact(LONG_AGO, after(-1), after(-1)), after(-3), None),
        (Contact(LONG_AGO, after(-1), after(-1)), after(3), None),
        (Contact(LONG_AGO, after(-1), after(-1)), None, None),
        (Contact(None, after(-1), None), NOON, NOON),
    ],
    ids=[
        "we just began",
        "as ever",
        "we were frozen",
        "we lag behind",
        "the clock was set back",
        "never read",
        "caught up",
    ],
)
def test_since_when_signals_are_heard_as_they_come(
    contact: Contact, read_up_to: object, since: object
) -> None:
    assert listen(contact, NOON, read_up_to).steady_since == since  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("contact", "may"),
    [
        (Contact(after(-60), NOON, NOON), True),
        (Contact(after(-59), NOON, NOON), False),
        (Contact(LONG_AGO, after(-3), after(-3)), False),
        (Contact(None, NOON, None), False),
        (Contact(), False),
    ],
    ids=["a lease long", "not a lease long", "not listened to lately", "lagging", "never"],
)
def test_absence_is_judged_after_a_lease_of_hearing(contact: Contact, may: bool) -> None:
    assert may_judge(an_agent(lease_seconds=60), contact, NOON) is may


def test_signals_that_are_not_heard_are_heard_from_now_on_at_the_earliest() -> None:
    assert heard_since(Contact(LONG_AGO, NOON, NOON), NOON) == LONG_AGO
    assert heard_since(Contact(None, NOON, None), NOON) == NOON


@pytest.mark.parametrize(
    ("contact", "held_for", "judged"),
    [
        (STEADY, 3600, after(60 - 3600)),
        (STEADY, 59, after(1)),
        (Contact(after(-59), NOON, NOON), 3600, after(1)),
        (Contact(), 3600, after(60)),
    ],
    ids=["all is well", "Redis was flushed lately", "we lagged lately", "we just began"],
)
def test_a_silent_session_had_a_lease_to_be_heard(
    contact: Contact, held_for: float, judged: datetime
) -> None:
    known = facts(leased=leased(held_for, tab=5, phone=-5), open={"tab", "laptop"}, ended={"kiosk"})

    found = stand(known, contact, NOON)

    assert found.judged_from == judged
    assert found.sessions == {
        "tab": LIVE,
        "phone": Silent(max(after(-5), judged)),
        "laptop": Silent(judged),
        "kiosk": ENDED,
    }


def test_a_session_that_was_signed_out_stays_ended_even_with_a_lease() -> None:
    known = facts(leased=leased(tab=5), ended={"tab"})

    assert stand(known, STEADY, NOON).sessions == {"tab": ENDED}


def test_a_grace_is_timed_when_it_begins_and_no_longer_when_it_ends() -> None:
    here = standing()
    gone = changed(here, lapse(here, timedelta(), TERMS, NOON))
    begun = outcome_of([gone]).schedule
    back = fold(gone.after, signals(beat()), (), TERMS, NOON)

    assert begun == [Due("grace", "acme/ann", TENANT, after(30))]
    assert agent_of(begun[0]) == ANN
    assert outcome_of([back]).cancel == [("grace", "acme/ann")]
    assert outcome_of([fold(gone.after, signals(away()), (), TERMS, NOON)]).schedule == []


def test_a_decision_taken_twice_says_the_same_event() -> None:
    first, second = (end_grace(standing(lost(), tab=LAPSED), NOON) for _ in range(2))

    assert isinstance(first, Announced)
    assert first == second
