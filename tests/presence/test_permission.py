"""Who may say what of an agent, what reasons there are, and how people are told that something is refused."""

from datetime import timedelta

import pytest

from services.presence.decisions.permission import is_own, refusal_of
from services.presence.decisions.signals import fold
from services.presence.model import Act, Declare, Declared, Signal, Standing, Terms
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentSignalRefused
from shared.contracts.agents import AgentChanged
from tests import desk_events as desk
from tests.desk_events import NOON
from tests.presence.builders import (
    ENDED,
    LIVE,
    a_stranger,
    an_agent,
    away,
    beat,
    drain,
    sign_in,
    sign_out,
    signal,
    standing,
)
from tests.presence.harness import Presence, World, key
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set

TERMS = Terms(away_reasons=("lunch", "training"))
ONESELF = Actor(role="agent", id="ann")
COLLEAGUE = Actor(role="agent", id="ben")
SOMEBODY = Actor(role="agent")
SUPERVISOR = Actor(role="supervisor", id="sue")
SUPERVISING_ANN = Actor(role="supervisor", id="ann")
ADMIN = Actor(role="admin", id="ada")
SYSTEM = Actor(role="system")
CUSTOMER = Actor(role="customer")
ONLINE = Declare(state="online")
BY_OTHERS = (SUPERVISOR, ADMIN, SYSTEM)
DAY = timedelta(days=1)


def by(actor: Actor | None, act: Act) -> Signal:
    said = signal(act)
    return Signal(said.key, act, said.event, actor)


@pytest.mark.parametrize(
    "actor", [None, ONESELF, SUPERVISING_ANN], ids=["no word", "agent", "in another role"]
)
@pytest.mark.parametrize("act", [sign_in(), away(), ONLINE, drain(), sign_out(), sign_out(None)])
def test_agents_say_anything_of_themselves(actor: Actor | None, act: Act) -> None:
    assert is_own(actor, "ann")
    assert refusal_of(by(actor, act), TERMS) is None


@pytest.mark.parametrize("actor", BY_OTHERS, ids=lambda actor: actor.role)
@pytest.mark.parametrize("act", [away(), drain(), Declare(draining=False), sign_out(), sign_out(None)])
def test_supervisors_and_the_system_set_away_drain_and_sign_out(actor: Actor, act: Act) -> None:
    assert not is_own(actor, "ann")
    assert refusal_of(by(actor, act), TERMS) is None


@pytest.mark.parametrize(
    ("actor", "act", "told"),
    [
        *((actor, sign_in(), "only the agent themselves opens a session") for actor in BY_OTHERS),
        *((actor, ONLINE, "only the agent themselves comes online") for actor in BY_OTHERS),
        *(
            (COLLEAGUE, act, "agent 'ben' may not speak of")
            for act in (sign_in(), away(), drain(), sign_out())
        ),
        *((SOMEBODY, act, "agent without an id may not") for act in (sign_in(), away(), sign_out())),
        *((CUSTOMER, act, "customer without an id may not") for act in (sign_in(), away(), sign_out())),
    ],
)
def test_who_speaks_beyond_their_role_is_refused(actor: Actor, act: Act, told: str) -> None:
    before = standing(tab=LIVE)

    change = fold(before, [by(actor, act)], (), TERMS, NOON)

    assert change.after == before
    (event,) = change.events
    said = event.data
    assert isinstance(said, AgentSignalRefused)
    assert (said.reason, said.signal_id, said.by) == ("role_not_allowed", signal(act).event.id, actor)
    assert told in said.detail


@pytest.mark.parametrize(
    ("actor", "act", "listed", "refused"),
    [
        (None, away("lunch"), ("lunch", "training"), False),
        (None, away(None), ("lunch", "training"), False),
        (None, away("gone fishing"), (), False),
        (None, away("gone fishing"), ("lunch", "training"), True),
        (SUPERVISOR, away("gone fishing"), ("lunch", "training"), True),
        (SYSTEM, away("not answering"), ("lunch", "training"), False),
        (None, Declare(reason="gone fishing"), ("lunch",), True),
        (None, Declare(state="online", reason="gone fishing"), ("lunch",), False),
    ],
    ids=[
        "one of the list",
        "none",
        "no list, any reason",
        "not on the list",
        "not on the list, by a supervisor",
        "the system has reasons of its own",
        "another reason, not on the list",
        "being online needs no reason",
    ],
)
def test_reasons_for_being_away_are_the_tenants(
    actor: Actor | None, act: Act, listed: tuple[str, ...], refused: bool
) -> None:
    refusal = refusal_of(by(actor, act), Terms(away_reasons=listed))

    assert (refusal is not None) is refused
    if refusal is not None:
        assert (refusal.reason, refusal.allowed) == ("unknown_reason", listed)
        assert "'gone fishing' is not among the tenant's away_reasons" in refusal.detail


def test_who_signs_in_with_an_unknown_reason_is_away_without_one_and_told() -> None:
    said = sign_in(declared=Declared("away", "gone fishing"))

    first, second = (
        event.data for event in fold(Standing(a_stranger()), [signal(said)], (), TERMS, NOON).events
    )

    assert isinstance(first, AgentChanged)
    assert (first.state, first.reason) == ("away", None)
    assert isinstance(second, AgentSignalRefused)
    assert second.allowed == ("lunch", "training")


@pytest.mark.parametrize(
    ("before", "act", "reason"),
    [
        (standing(an_agent("offline"), tab=ENDED), sign_in(), "session_ended"),
        (standing(phone=LIVE, tab=ENDED), away(session_id="tab"), "session_ended"),
        (standing(an_agent("offline")), away(), "agent_offline"),
        (standing(an_agent("offline"), tab=ENDED), beat(), None),
        (standing(an_agent("offline"), tab=ENDED), sign_out(), None),
    ],
    ids=[
        "a sign-in with a session that was signed out",
        "a state from one",
        "a state of somebody offline",
        "a late heartbeat asks for no answer",
        "nor does a second sign-out",
    ],
)
def test_people_are_told_what_does_not_count_any_more(before: Standing, act: Act, reason: str | None) -> None:
    change = fold(before, [by(None, act)], (), TERMS, NOON)

    told = [event.data.reason for event in change.events if isinstance(event.data, AgentSignalRefused)]
    assert told == ([reason] if reason else [])
    assert change.after.agent == before.agent


def test_the_system_is_not_told_that_somebody_is_offline() -> None:
    assert fold(standing(an_agent("offline")), [by(SYSTEM, away())], (), TERMS, NOON).events == ()


def test_a_refusal_does_not_stand_for_the_state_that_must_be_said_again() -> None:
    change = fold(standing(tab=LIVE), [by(CUSTOMER, away())], [2], TERMS, NOON)

    assert [type(event.data) for event in change.events] == [AgentSignalRefused, AgentChanged]


@pytest.mark.parametrize("act", [sign_in("new"), beat("new"), away(session_id="new")])
def test_a_signal_that_is_older_than_any_sign_out_is_remembered_says_nothing(act: Act) -> None:
    gone = standing(an_agent("offline"))

    assert fold(gone, [signal(act)], (), TERMS, NOON + 8 * DAY).after.agent.state != "offline"
    assert fold(gone, [signal(act)], (), TERMS, NOON + 8 * DAY + timedelta(seconds=1)).after == gone


@pytest.mark.servers
async def test_a_change_tells_who_made_it_also_when_it_is_said_again(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in(by=ONESELF), state_set("away", by=SUPERVISOR, reason="meeting"))
    first, second = world.said
    await presence.hear(first, second)
    await presence.hear(first)
    await presence.hear(signed_out(None, by=ADMIN, reason="forgot to leave"))

    told = [(change.state, change.reason, change.by) for change in world.changes()]
    assert told == [
        ("online", None, ONESELF),
        ("away", "meeting", SUPERVISOR),
        ("away", "meeting", SUPERVISOR),
        ("offline", "forgot to leave", ADMIN),
    ]
    assert world.said[2] == second


@pytest.mark.servers
async def test_a_tenant_lists_the_reasons_for_being_away(world: World, presence: Presence) -> None:
    await presence.hear(desk.a_tenant(revision=2, away_reasons=["lunch", "training"]), signed_in())
    rejected = await presence.hear(state_set("away", reason="fishing"), state_set("away", reason="lunch"))

    assert rejected == []
    assert [(one.reason, one.allowed) for one in world.refusals()] == [
        ("unknown_reason", ("lunch", "training"))
    ]
    assert world.changes()[-1].reason == "lunch"


@pytest.mark.servers
async def test_a_tab_that_beats_on_for_weeks_after_its_sign_out_never_signs_its_agent_in(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in(), signed_out())
    for _ in range(5):
        await world.freeze(3 * DAY.total_seconds())
        await presence.reconcile()
        await presence.forget()
        await presence.hear(desk.an_event(heartbeat(), at=world.clock.now()))

    assert world.states() == [("online", "signed_in"), ("offline", "signed_out")]
    await presence.hear(desk.an_event(signed_in(), at=world.clock.now()))
    assert world.states()[-1] == ("offline", "signed_out")
    assert world.refusals()[-1].reason == "session_ended"


@pytest.mark.servers
async def test_a_late_heartbeat_after_everything_was_forgotten_revives_nothing(
    world: World, presence: Presence
) -> None:
    late = desk.an_event(heartbeat(), at=NOON)
    await presence.hear(signed_in(), signed_out())
    await world.freeze(9 * DAY.total_seconds())
    await presence.forget()
    assert await world.rows("select * from sessions") == []

    await presence.hear(late)

    assert world.states()[-1] == ("offline", "signed_out")
    assert (await presence.leases.look([key()]))[key()].left == {}
