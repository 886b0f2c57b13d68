"""What holds of presence whatever is signalled, in whatever order, in whatever batches."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from math import inf

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


LEASE, GRACE, IDLE = 60, 30, Terms().idle_seconds
Step = tuple[str, str] | tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["in", "beat", "beat", "out", "away"]), session),
        st.tuples(st.sampled_from(["quiet 0", "quiet 600", f"quiet {IDLE}", "quiet 5000"]), session),
        st.tuples(st.just("pass"), st.integers(1, 70)),
        st.tuples(st.sampled_from(["flush", "reconcile"]), st.just(0)),
    ),
    min_size=3,
    max_size=25,
)
_numbers = iter(range(1_000_000))


class Oracle:
    """Knows only when each session was last heard, and when anybody last had input. Seconds."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.heard: dict[str, float] = {}
        self.ended: set[str] = set()
        self.input_at: float | None = None
        """None while no session told of any, or what they told may be lost."""
        self.was_idle = False
        self.flushed_at = -inf

    def hear(self, verb: str, session: str) -> None:
        if verb == "out":
            self.ended.add(session)
            self.heard.pop(session, None)
        elif session not in self.ended:
            self.heard[session] = self.clock
            if (quiet := _quiet(verb)) is not None:
                self.input_at = max(self.clock - quiet, -inf if self.input_at is None else self.input_at)
            elif verb != "beat" and self.input_at is not None:
                self.input_at = self.clock

    def flush(self) -> None:
        self.flushed_at, self.input_at = self.clock, None

    def judge(self, verb: str, session: str, shown: AgentChanged | None) -> None:
        state = shown.state if shown is not None else "offline"
        if any(self.clock - at < LEASE + GRACE for at in self.heard.values()):
            assert state != "offline", "somebody was heard within lease and grace"
        if not self.heard:
            assert state == "offline", "nobody ever came, or everybody signed out"
        if state == "offline":
            self.input_at = None
        was_idle, self.was_idle = self.was_idle, shown is not None and shown.reason == "idle"
        everybody_was_heard = self.clock - self.flushed_at > LEASE + 1
        assert was_idle or not self.was_idle or self.clock - self.flushed_at >= LEASE, "some may be unheard"
        if self.input_at is None:
            return
        had_input = self.clock - self.input_at < IDLE
        assert not (had_input and self.was_idle), "somebody had input"
        if _quiet(verb) is not None and session not in self.ended and everybody_was_heard and not had_input:
            assert state == "away", "everybody could be heard, and nobody had input"


@pytest.mark.servers
@example([("in", "tab"), ("pass", 60), ("out", "phone")])
@example([("in", "tab"), ("quiet 5000", "tab"), ("quiet 0", "tab"), ("quiet 5000", "tab")])
@example([("in", "tab"), ("in", "phone"), ("quiet 0", "tab"), ("flush", 0), ("quiet 5000", "phone")])
@example([("in", "tab"), ("pass", 50), ("quiet 600", "tab"), ("pass", 50), ("quiet 5000", "phone")])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_offline_means_silent_for_lease_and_grace_and_idle_means_no_input(
    world: World, presence: Presence, taken: Sequence[Step]
) -> None:
    """Drive the real SQL and scripts, and hold what is shown against the oracle after every step."""
    agent = f"agent-{next(_numbers)}"
    await presence.hear(desk.an_agent_document(agent))
    await world.pass_time(LEASE + 1)  # or the first to come might have been there before
    oracle = Oracle()
    for verb, what in taken:
        name = f"{agent}-{what}"
        if isinstance(what, str):
            await presence.hear(_signal(verb, name, agent))
            oracle.hear(verb, name)
        elif verb == "pass":
            await world.pass_time(what)
            oracle.clock += what
        elif verb == "flush":
            await world.flush_redis()
            oracle.flush()
        else:
            await presence.reconcile()
        await presence.sweep()
        await presence.fire()
        said = world.changes(agent)
        oracle.judge(verb, name, said[-1] if said else None)
    assert [one.version for one in world.changes(agent)] == list(range(1, len(world.changes(agent)) + 1))

    for _ in range(5):
        await world.pass_time(LEASE + GRACE)
        await presence.sweep()
        await presence.reconcile()
        await presence.fire()
    assert all(one[-1].state == "offline" for one in [world.changes(agent)] if one), "silence ends in offline"


def _quiet(verb: str) -> int | None:
    """Return how many seconds ago a heartbeat says that the last input was; None: it does not say."""
    return int(verb.split()[1]) if verb.startswith("quiet") else None


def _signal(verb: str, name: str, agent: str) -> Model:
    if (quiet := _quiet(verb)) is not None:
        return heartbeat(name, agent, active_at=NOON - timedelta(seconds=quiet))
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
