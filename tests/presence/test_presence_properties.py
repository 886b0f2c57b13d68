"""What holds of presence whatever is signalled, in whatever order, in whatever batches."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.presence.decisions.absence import end_grace, lapse
from services.presence.decisions.hearing import LONGEST_QUIET
from services.presence.decisions.signals import fold
from services.presence.decisions.word import changed
from services.presence.model import Agent, Beat, Declare, Declared, Session, SignIn, SignOut, Standing, Terms
from shared.contracts.agents import AgentChanged
from shared.contracts.event import Model
from tests import desk_events as desk
from tests.desk_events import NOON
from tests.presence.builders import ENDED, LAPSED, LIVE, a_stranger, signals
from tests.presence.harness import Presence, World
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set

TERMS = Terms(lease_seconds=60, grace_seconds=30)
SESSIONS = ("tab", "phone", "laptop")
session = st.sampled_from(SESSIONS)
reason = st.sampled_from([None, "lunch", "meeting"])
state = st.sampled_from(["online", "away"])
acts = st.one_of(
    st.builds(
        SignIn, session, st.builds(Declared, state, reason, st.booleans()), st.none() | st.integers(1, 600)
    ),
    st.builds(
        Beat, session, st.none() | st.integers(1, 600), st.none() | st.timedeltas(timedelta(), LONGEST_QUIET)
    ),
    st.builds(Declare, st.none() | session, st.none() | state, reason, st.none() | st.booleans()),
    st.builds(SignOut, st.none() | session, reason),
)


@given(st.lists(acts, max_size=12), st.integers(0, 12))
def test_it_does_not_matter_where_batches_are_cut(heard: list[object], cut: int) -> None:
    said = signals(*heard)  # type: ignore[arg-type]
    whole = fold(Standing(a_stranger()), said, (), TERMS, NOON)
    first = fold(Standing(a_stranger()), said[:cut], (), TERMS, NOON)
    second = fold(first.after, said[cut:], (), TERMS, NOON)

    assert second.after == whole.after
    assert first.events + second.events == whole.events


@given(st.lists(acts, max_size=12))
def test_versions_have_no_gaps_and_every_one_shows_something_new(heard: list[object]) -> None:
    change = fold(Standing(a_stranger()), signals(*heard), (), TERMS, NOON)  # type: ignore[arg-type]
    said = [event.data for event in change.events if isinstance(event.data, AgentChanged)]

    assert [one.version for one in said] == list(range(1, len(said) + 1))
    shown = [("offline", None, False), *((one.state, one.reason, one.draining) for one in said)]
    assert all(before != after for before, after in pairwise(shown))
    assert shown[-1] == _shown(change.after.agent)


@given(st.lists(acts, max_size=12))
def test_nobody_is_offline_with_a_living_session_nor_online_without_any(heard: list[object]) -> None:
    after = fold(Standing(a_stranger()), signals(*heard), (), TERMS, NOON).after  # type: ignore[arg-type]

    assert (after.agent.state != "offline") is (LIVE in after.sessions.values())
    assert set(after.renewals) == {name for name, life in after.sessions.items() if life == LIVE}


@given(st.lists(acts, max_size=12), session)
def test_what_was_signed_out_never_lives_again(heard: list[object], gone: str) -> None:
    before = Standing(a_stranger(), {gone: ENDED})
    after = fold(before, signals(*heard), (), TERMS, NOON).after  # type: ignore[arg-type]

    assert after.sessions[gone] == ENDED
    assert gone not in after.renewals


@given(st.lists(acts, max_size=8), st.integers(0, 29))
def test_a_return_within_the_grace_changes_nothing(heard: list[object], seconds: int) -> None:
    here = fold(Standing(a_stranger()), [*signals(*heard), *signals(Beat("kiosk"))], (), TERMS, NOON).after  # type: ignore[arg-type]
    lost = changed(here, lapse(here, timedelta(), TERMS, NOON)).after
    lost = Standing(lost.agent, dict.fromkeys(lost.sessions, LAPSED) | _ended(lost))
    later = NOON + timedelta(seconds=seconds)
    waiting = changed(lost, end_grace(lost, later))
    back = fold(waiting.after, signals(Beat("kiosk")), (), TERMS, later)

    assert waiting.events + back.events == ()
    assert _shown(back.after.agent) == _shown(here.agent)
    assert not back.after.agent.is_lost


Step = tuple[str, str] | tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["in", "beat", "beat", "out", "away"]), session),
        st.tuples(st.just("pass"), st.integers(1, 70)),
        st.tuples(st.sampled_from(["flush", "reconcile"]), st.just(0)),
    ),
    min_size=3,
    max_size=25,
)
LEASE, GRACE = 60, 30
_numbers = iter(range(1_000_000))


@pytest.mark.servers
@example([("in", "tab"), ("pass", 60), ("out", "phone")])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_offline_means_signed_out_or_silent_for_lease_and_grace(
    world: World, presence: Presence, taken: Sequence[Step]
) -> None:
    """Drive the real SQL and scripts; the oracle knows only when each session was last heard."""
    agent = f"agent-{next(_numbers)}"
    await presence.hear(desk.an_agent_document(agent))
    heard: dict[str, float] = {}
    ended: set[str] = set()
    clock = 0.0
    for verb, what in taken:
        if isinstance(what, str):
            name = f"{agent}-{what}"
            await presence.hear(_signal(verb, name, agent))
            if verb == "out":
                ended.add(name)
                heard.pop(name, None)
            elif name not in ended:
                heard[name] = clock
        elif verb == "pass":
            await world.pass_time(what)
            clock += what
        elif verb == "flush":
            await world.flush_redis()
        else:
            await presence.reconcile()
        await presence.sweep()
        await presence.fire()
        said = world.changes(agent)
        shown = said[-1].state if said else "offline"
        if any(clock - at < LEASE + GRACE for at in heard.values()):
            assert shown != "offline", "somebody was heard within lease and grace"
        if not heard:
            assert shown == "offline", "nobody ever came, or everybody signed out"
    assert [one.version for one in world.changes(agent)] == list(range(1, len(world.changes(agent)) + 1))

    for _ in range(5):
        await world.pass_time(LEASE + GRACE)
        await presence.sweep()
        await presence.reconcile()
        await presence.fire()
    assert all(one[-1].state == "offline" for one in [world.changes(agent)] if one), "silence ends in offline"


def _signal(verb: str, name: str, agent: str) -> Model:
    match verb:
        case "in":
            return signed_in(name, agent)
        case "beat":
            return heartbeat(name, agent)
        case "out":
            return signed_out(name, agent)
        case _:
            return state_set("away", agent, session_id=name)


def _shown(agent: Agent) -> tuple[str, str | None, bool]:
    return agent.state, agent.reason, agent.draining


def _ended(standing: Standing) -> dict[str, Session]:
    return {name: life for name, life in standing.sessions.items() if life == ENDED}
