"""Each rule of presence as a table: what is known, what is heard, what becomes of the agent."""

import pytest

from services.presence.decisions.hearing import sort_out, state_set
from services.presence.decisions.signals import fold, hear, lease_of, may_signal, only_beats
from services.presence.decisions.word import announcement, changed, hear_echo
from services.presence.model import (
    Act,
    Agent,
    AgentKey,
    AgentRevised,
    Announced,
    Declare,
    Declared,
    Ignored,
    Noted,
    Silent,
    Standing,
    TenantRevised,
    Terms,
)
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentStateSet
from shared.contracts.agents import AgentChanged
from shared.contracts.event import Event
from tests.desk_events import NOON, TENANT
from tests.presence.builders import (
    ANN,
    ENDED,
    LAPSED,
    LIVE,
    LONG_AGO,
    a_stranger,
    after,
    an_agent,
    away,
    beat,
    drain,
    lost,
    sign_in,
    sign_out,
    signal,
    signals,
    standing,
)

TERMS = Terms(lease_seconds=60, grace_seconds=30)
ONLINE_AGAIN = an_agent("offline", declared=Declared(), cause="lost")
ON_LUNCH = an_agent("offline", declared=Declared("away", "lunch", draining=True), cause="lost")


@pytest.mark.parametrize(
    ("before", "act", "said"),
    [
        (standing(a_stranger()), sign_in(), ("online", None, False, "signed_in")),
        (
            standing(an_agent("offline")),
            sign_in(declared=Declared("away", "reading", draining=True)),
            ("away", "reading", True, "signed_in"),
        ),
        (standing(a_stranger()), beat(), ("online", None, False, "returned")),
        (standing(ONLINE_AGAIN), beat(), ("online", None, False, "returned")),
        (standing(ON_LUNCH), beat(), ("away", "lunch", True, "returned")),
        (standing(ON_LUNCH), sign_in(declared=Declared("online")), ("away", "lunch", True, "signed_in")),
        (standing(tab=LIVE), away("lunch"), ("away", "lunch", False, "state_set")),
        (standing(tab=LIVE), drain(), ("online", None, True, "state_set")),
        (
            standing(an_agent("away", reason="lunch"), tab=LIVE),
            Declare(state="online"),
            ("online", None, False, "state_set"),
        ),
        (
            standing(an_agent("away", reason="lunch"), tab=LIVE),
            Declare(reason="dinner"),
            ("away", "dinner", False, "state_set"),
        ),
        (
            standing(an_agent("offline")),
            away("lunch", session_id="tab"),
            ("away", "lunch", False, "state_set"),
        ),
        (standing(tab=LIVE), sign_out(), ("offline", None, False, "signed_out")),
        (
            standing(tab=LIVE, phone=Silent(after(-30))),
            sign_out(reason="shift over"),
            ("offline", "shift over", False, "signed_out"),
        ),
        (standing(tab=LIVE, phone=LIVE), sign_out(None), ("offline", None, False, "signed_out")),
        (standing(lost(), tab=LAPSED), sign_out(), ("offline", None, False, "signed_out")),
        (
            standing(an_agent(declared=Declared(draining=True)), tab=LIVE),
            sign_out(),
            ("offline", None, False, "signed_out"),
        ),
    ],
    ids=[
        "the first sign-in",
        "a sign-in after a sign-out brings what it declares",
        "a heartbeat heard before its sign-in",
        "a heartbeat of an agent who was lost",
        "back from lost to what was declared",
        "a new session after being lost keeps what was declared",
        "away",
        "draining",
        "back from lunch, and no reason stays",
        "another reason for the same state",
        "a state set from a session before its sign-in was heard",
        "the only session signs out",
        "the last session that lives signs out, with a reason",
        "all sessions are signed out",
        "a sign-out while lost needs no grace",
        "a sign-out ends what was declared",
    ],
)
def test_what_a_signal_announces(before: Standing, act: Act, said: tuple[str, str | None, bool, str]) -> None:
    verdict = hear(before, signal(act), TERMS, NOON)

    assert isinstance(verdict, Announced)
    changed_to = verdict.event.data
    assert isinstance(changed_to, AgentChanged)
    assert (changed_to.state, changed_to.reason, changed_to.draining, changed_to.cause) == said
    assert changed_to.version == before.agent.version + 1
    assert not verdict.standing.agent.is_lost


@pytest.mark.parametrize(
    ("before", "act"),
    [
        pytest.param(standing(tab=LIVE), beat(), id="a heartbeat of somebody online"),
        pytest.param(standing(tab=LIVE), sign_in("phone"), id="another session"),
        pytest.param(
            standing(an_agent("away", reason="lunch"), tab=LIVE),
            sign_in("phone", declared=Declared("online")),
            id="another session never changes the declared state",
        ),
        pytest.param(standing(lost(), tab=LAPSED), beat(), id="a return within the grace"),
        pytest.param(standing(lost(), tab=LAPSED), sign_in("phone"), id="a new session within the grace"),
        pytest.param(
            standing(an_agent("away", reason="lunch"), tab=LIVE), away("lunch"), id="the same state"
        ),
        pytest.param(standing(tab=LIVE, phone=LIVE), sign_out(), id="one session of two"),
        pytest.param(standing(tab=LIVE), sign_out("kiosk"), id="a sign-out of a session nobody heard of"),
        pytest.param(standing(an_agent("offline")), sign_out(), id="a sign-out of somebody offline"),
    ],
)
def test_what_changes_nothing_people_see(before: Standing, act: Act) -> None:
    verdict = hear(before, signal(act), TERMS, NOON)

    assert isinstance(verdict, Noted)
    assert verdict.standing.agent.version == before.agent.version
    assert not verdict.standing.agent.is_lost


@pytest.mark.parametrize(
    ("before", "act", "why"),
    [
        (standing(an_agent("offline"), tab=ENDED), beat(), "session_ended"),
        (standing(an_agent("offline"), tab=ENDED), sign_in(), "session_ended"),
        (standing(phone=LIVE, tab=ENDED), away(session_id="tab"), "session_ended"),
        (standing(an_agent("offline")), away(), "agent_offline"),
        (standing(ONLINE_AGAIN), drain(), "agent_offline"),
    ],
    ids=[
        "a late heartbeat of a signed-out session",
        "a late sign-in of a signed-out session",
        "a late state of a signed-out session",
        "a supervisor's word about somebody offline",
        "routing's word about somebody who was lost",
    ],
)
def test_what_is_ignored(before: Standing, act: Act, why: str) -> None:
    assert hear(before, signal(act), TERMS, NOON) == Ignored(why)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "until"),
    [
        (standing(tab=LIVE, phone=Silent(after(-29))), after(1)),
        (standing(tab=LIVE, phone=Silent(after(60)), laptop=LAPSED), after(90)),
        (standing(phone=Silent(after(-29))), after(1)),
        (standing(lost(after(7)), tab=LAPSED, phone=LAPSED), after(7)),
    ],
    ids=[
        "another session lapsed just now",
        "another session could not be heard lately",
        "another session lapsed, and nobody knew the one that left",
        "another session of somebody lost",
    ],
)
def test_a_sign_out_counts_as_a_loss_while_another_session_may_return(
    before: Standing, until: object
) -> None:
    verdict = hear(before, signal(sign_out()), TERMS, NOON)

    assert isinstance(verdict, Noted)
    assert verdict.standing.agent.state == "online"
    assert verdict.standing.agent.grace_until == until


def test_a_lost_agent_may_be_set_away_while_the_grace_runs_on() -> None:
    verdict = hear(standing(lost(after(9))), signal(away()), TERMS, NOON)

    assert isinstance(verdict, Announced)
    assert verdict.standing.agent.state == "away"
    assert verdict.standing.agent.grace_until == after(9)


def test_only_a_new_state_has_a_new_since() -> None:
    draining = hear(standing(tab=LIVE), signal(drain()), TERMS, NOON)
    resting = hear(standing(tab=LIVE), signal(away()), TERMS, NOON)

    assert isinstance(draining, Announced)
    assert isinstance(resting, Announced)
    assert draining.standing.agent.since == LONG_AGO
    assert resting.standing.agent.since == NOON


def test_sessions_and_leases_follow_the_signals_in_order() -> None:
    heard = signals(
        sign_in("tab", lease_seconds=20), beat("tab"), sign_in("phone"), sign_out("tab"), beat("tab")
    )
    change = fold(standing(a_stranger()), heard, (), TERMS, NOON)

    assert change.after.sessions == {"tab": ENDED, "phone": LIVE}
    assert change.after.renewals == {"phone": 60}
    assert change.after.agent.lease_seconds == 60
    assert [event.data.state for event in change.events] == ["online"]  # type: ignore[attr-defined]


def test_the_longest_lease_is_remembered_until_everybody_left() -> None:
    online = fold(standing(a_stranger()), signals(sign_in(lease_seconds=300), beat()), (), TERMS, NOON).after
    assert online.agent.lease_seconds == 300

    gone = fold(online, signals(sign_out(), sign_in("phone")), (), TERMS, NOON).after
    assert gone.agent.lease_seconds == 60


@pytest.mark.parametrize(
    ("wish", "tenant", "granted"),
    [
        (None, 60, 60),
        (None, 3, 3),
        (None, 900, 900),
        (5, 60, 10),
        (10, 60, 10),
        (300, 60, 300),
        (301, 60, 300),
        (1, 3, 3),
        (1, 1, 1),
        (5, 3, 5),
        (3600, 900, 900),
    ],
)
def test_a_lease_is_what_was_asked_for_within_bounds(wish: int | None, tenant: int, granted: int) -> None:
    assert lease_of(wish, Terms(lease_seconds=tenant)) == granted


@pytest.mark.parametrize(
    ("agent", "retired", "may"),
    [
        (a_stranger(), False, True),
        (an_agent(), True, True),
        (lost(), True, True),
        (an_agent("offline"), True, False),
    ],
)
def test_who_is_retired_may_signal_until_they_are_gone(agent: Agent, retired: bool, may: bool) -> None:
    assert may_signal(agent, retired=retired) is may


def test_only_heartbeats_are_settled_by_leases_alone() -> None:
    assert only_beats(signals(beat(), beat("phone")))
    assert not only_beats(signals(beat(), sign_in()))


@pytest.mark.parametrize(
    ("versions", "echoed", "stale"),
    [
        ([], 3, False),
        ([3], 3, False),
        ([2], 3, True),
        ([2, 3], 3, False),
        ([3, 1], 3, True),
        ([4], 4, False),
    ],
)
def test_an_older_state_that_came_last_is_stale(versions: list[int], echoed: int, stale: bool) -> None:
    agent, is_stale = hear_echo(an_agent(), versions)

    assert (agent.echoed_version, is_stale) == (echoed, stale)


def test_an_older_state_is_no_trouble_while_a_newer_one_is_on_its_way() -> None:
    assert hear_echo(an_agent(version=4), [2])[1] is False


def test_the_current_state_is_said_again_as_the_very_same_event() -> None:
    said = changed(standing(), hear(standing(), signal(away()), TERMS, NOON))
    agent = said.after.agent

    again = fold(Standing(agent, said.after.sessions), (), [agent.version, 1], TERMS, after(100))

    assert again.events == said.events
    assert again.after.agent.version == agent.version


def test_a_new_state_makes_the_stale_one_good_by_itself() -> None:
    change = fold(standing(tab=LIVE), signals(away(), Declare(state="online")), [2], TERMS, NOON)

    assert [event.data.state for event in change.events] == ["away", "online"]  # type: ignore[attr-defined]


def test_versions_go_on_after_those_read_back() -> None:
    change = fold(standing(tab=LIVE), signals(away()), [8], TERMS, NOON)

    assert [event.data.version for event in change.events] == [9]  # type: ignore[attr-defined]


def test_nothing_is_announced_of_somebody_nothing_was_said_about() -> None:
    with pytest.raises(ValueError, match="nothing was ever said"):
        announcement(a_stranger())


@pytest.mark.parametrize(
    ("by", "session"),
    [
        (None, "tab"),
        (Actor(role="agent", id="ann"), "tab"),
        (Actor(role="supervisor", id="sue"), None),
        (Actor(role="system"), None),
    ],
)
def test_only_the_agents_own_word_shows_that_their_session_lives(
    by: Actor | None, session: str | None
) -> None:
    said = AgentStateSet(agent_id="ann", session_id="tab", by=by, state="away")
    event = Event("1", "test", "chatdesk.agent.state_set.v1", "ann", NOON, TENANT, data=said)

    act = state_set(event).act

    assert isinstance(act, Declare)
    assert act.session_id == session


def test_of_each_document_the_newest_counts_whatever_the_order() -> None:
    ben = AgentKey(TENANT, "ben")
    sorted_out = sort_out(
        [
            TenantRevised(TENANT, 2, Terms(20, 20)),
            TenantRevised(TENANT, 1, Terms(10, 10)),
            AgentRevised(ANN, 1, retired=False),
            AgentRevised(ANN, 4, retired=True),
            AgentRevised(ben, 1, retired=False),
        ]
    )

    assert sorted_out.tenants[TENANT].revision == 2
    assert {key: one.retired for key, one in sorted_out.agents.items()} == {ANN: True, ben: False}


def test_causes_are_carried_on() -> None:
    said = signal(sign_in())
    verdict = hear(standing(a_stranger()), said, TERMS, NOON)

    assert isinstance(verdict, Announced)
    assert verdict.event.causation_id == said.event.id
    assert verdict.standing.agent.because == said.event.as_cause()
