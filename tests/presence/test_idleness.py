"""Away because no input came: by rule, and on a real PostgreSQL and a real Redis."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from services.presence.decisions.hearing import LONGEST_QUIET
from services.presence.decisions.hearing import heartbeat as hear_heartbeat
from services.presence.decisions.signals import fold, hear
from services.presence.model import (
    Act,
    Announced,
    Beat,
    Declare,
    Declared,
    Noted,
    Standing,
    Terms,
)
from shared.contracts.agent_signals import AgentHeartbeat
from shared.contracts.agents import AgentChanged
from shared.contracts.event import Event, Model
from tests import desk_events as desk
from tests.desk_events import NOON
from tests.presence.builders import (
    ENDED,
    LIVE,
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
)
from tests.presence.harness import Presence, World
from tests.presence.signals import heartbeat, signed_in, signed_out, state_set

TERMS = Terms(lease_seconds=60, grace_seconds=30, idle_seconds=900)
IDLE, LUNCH = 900, "lunch"


def quiet(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def here(last_input: float | None = -899, state: str = "online", **fields: Any) -> Standing:
    """Somebody with a living tab whose last input was so many seconds from noon."""
    return Standing(
        an_agent(state, **fields),
        {"tab": LIVE},
        last_input=None if last_input is None else after(last_input),
    )


def idle(last_input: float | None = None, **fields: Any) -> Standing:
    """Somebody who was declared online and is away for want of input."""
    declared = fields.pop("declared", Declared())
    return here(last_input, "away", reason="idle", idle=True, declared=declared, **fields)


@pytest.mark.parametrize(
    ("before", "act", "said"),
    [
        (here(), beat(quiet=quiet(900)), None),
        (here(-900), beat(quiet=quiet(900)), ("away", "idle", "idle")),
        (here(-900), beat(quiet=quiet(899.999)), None),
        (here(-900), beat(), None),
        (here(None), beat(quiet=quiet(901)), ("away", "idle", "idle")),
        (here(-901, "away", reason=LUNCH), beat(quiet=quiet(901)), None),
        (idle(), beat(quiet=quiet(899)), ("online", None, "active")),
        (idle(), beat(quiet=quiet(900)), None),
        (idle(), beat(), None),
        (idle(declared=Declared(draining=True)), beat(quiet=quiet(1)), ("online", None, "active")),
        (idle(), sign_in("phone"), ("online", None, "signed_in")),
        (idle(), sign_in("phone", quiet=quiet(1000)), None),
        (idle(), Declare(own=True, draining=False), ("online", None, "state_set")),
        (idle(), Declare(own=True, state="online"), ("online", None, "state_set")),
        (idle(), drain(), ("away", "idle", "state_set")),
        (idle(), away(LUNCH), ("away", LUNCH, "state_set")),
        (idle(), sign_out(), ("offline", None, "signed_out")),
        (Standing(an_agent("offline")), beat(quiet=quiet(1000)), ("away", "idle", "returned")),
        (Standing(lost(), last_input=after(-950)), beat(quiet=quiet(950)), ("away", "idle", "idle")),
    ],
    ids=[
        "one session is quiet, another had input a second less long ago",
        "every session is quiet for as long as the tenant allows",
        "a millisecond less",
        "a session that does not tell of input says nothing about it",
        "the first word about input",
        "declared away stays declared away",
        "input ends idleness",
        "still quiet",
        "a session that does not tell of input ends nothing",
        "input ends idleness, not draining",
        "opening a session is input",
        "a session that opens itself tells so",
        "the agent does something",
        "the agent says that they are online",
        "somebody else drains them",
        "declared away hides idleness",
        "signed out",
        "returned without input",
        "back from a loss without input",
    ],
)
def test_what_input_changes(before: Standing, act: Act, said: tuple[str, str | None, str] | None) -> None:
    verdict = hear(before, signal(act), TERMS, NOON)

    assert isinstance(verdict, Announced if said else Noted)
    if isinstance(verdict, Announced):
        changed_to = verdict.event.data
        assert isinstance(changed_to, AgentChanged)
        assert (changed_to.state, changed_to.reason, changed_to.cause) == said


def test_a_late_heartbeat_of_a_signed_out_session_is_no_input() -> None:
    before = Standing(idle().agent, {"tab": ENDED, "phone": LIVE})

    assert fold(before, signals(beat(quiet=quiet(0))), (), TERMS, NOON).events == ()


def test_activity_brings_nobody_back_from_a_declared_away() -> None:
    heard = signals(away(LUNCH), beat(quiet=quiet(1000)), beat(quiet=quiet(0)))
    change = fold(here(), heard, (), TERMS, NOON)

    assert [event.data.reason for event in change.events] == [LUNCH]  # type: ignore[attr-defined]


def test_who_is_set_online_again_after_lunch_has_a_whole_time_to_show_input() -> None:
    lunch = here(None, "away", reason=LUNCH, idle=True)

    verdict = hear(lunch, signal(Declare(state="online")), TERMS, NOON)

    assert isinstance(verdict, Announced)
    assert verdict.standing.last_input == NOON
    assert verdict.standing.agent.state == "online"


def test_nobody_is_idle_before_every_session_could_be_heard() -> None:
    unheard = Standing(an_agent(), {"tab": LIVE}, judged_from=after(1))

    verdict = hear(unheard, signal(beat(quiet=quiet(3600))), TERMS, NOON)

    assert isinstance(verdict, Noted)
    assert verdict.standing.agent.idle is False


@pytest.mark.parametrize(("active", "told"), [(None, None), (-30, 30), (0, 0), (300, 0)])
def test_how_long_a_session_is_quiet_is_told_by_its_own_clock(
    active: float | None, told: float | None
) -> None:
    said = heartbeat(active_at=None if active is None else after(active))
    act = hear_heartbeat(cast(Event[AgentHeartbeat], desk.an_event(said))).act

    assert isinstance(act, Beat)
    assert act.quiet == (None if told is None else quiet(told))


def test_session_that_was_quiet_since_the_year_one_is_only_quiet_for_long() -> None:
    said = heartbeat(active_at=datetime(1, 1, 1, tzinfo=UTC))
    act = hear_heartbeat(cast(Event[AgentHeartbeat], desk.an_event(said))).act

    assert isinstance(act, Beat)
    assert act.quiet == LONGEST_QUIET
    verdict = hear(Standing(an_agent(), {"tab": LIVE}), signal(act), TERMS, NOON.replace(year=2000))
    assert isinstance(verdict, Announced)
    assert verdict.standing.agent.idle


def quiet_beat(seconds: float, session: str = "tab") -> Event[Model]:
    return desk.an_event(heartbeat(session, active_at=NOON - quiet(seconds)))


async def wait(world: World, presence: Presence, seconds: int, **sessions: float) -> None:
    """Let time pass while these sessions beat, quiet for so long at its beginning."""
    for passed in range(30, seconds + 30, 30):
        await world.pass_time(30)
        await presence.hear(*(quiet_beat(since + passed, name) for name, since in sessions.items()))


@pytest.mark.servers
async def test_without_input_for_fifteen_minutes_an_agent_is_away_until_there_is_some(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in(), quiet_beat(0))
    await wait(world, presence, IDLE - 30, tab=0)
    assert world.states() == [("online", "signed_in")]

    await wait(world, presence, 30, tab=IDLE - 30)
    assert world.states()[-1] == ("away", "idle")
    assert world.changes()[-1].reason == "idle"
    assert (await presence.known()).rests

    before = await world.row_versions()
    await wait(world, presence, 300, tab=IDLE)
    assert await world.row_versions() == before, "heartbeats of somebody idle change nothing"

    await presence.hear(quiet_beat(2))
    assert world.states()[-2:] == [("away", "idle"), ("online", "active")]
    assert (await presence.known()).quiet is not None


@pytest.mark.servers
async def test_input_that_changes_nothing_writes_no_row(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), quiet_beat(0))
    before = await world.row_versions()

    await wait(world, presence, 120, tab=-110)

    assert await world.row_versions() == before
    assert (await presence.known()).quiet < quiet(20)  # type: ignore[operator]


@pytest.mark.servers
async def test_input_in_one_session_keeps_the_others_awake(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), signed_in("phone"), quiet_beat(0), quiet_beat(0, "phone"))
    await wait(world, presence, 1200, tab=0, phone=-1190)

    assert world.states() == [("online", "signed_in")]


@pytest.mark.servers
async def test_a_tenant_says_how_long_quiet_may_be(world: World, presence: Presence) -> None:
    await presence.hear(desk.a_tenant(revision=2, idle_seconds=60), signed_in())
    await presence.hear(quiet_beat(61))
    assert world.states()[-1] == ("away", "idle")

    await presence.hear(desk.a_tenant(revision=3, idle_seconds=120))
    await presence.hear(quiet_beat(61))
    assert world.states()[-1] == ("online", "active")


@pytest.mark.servers
async def test_sessions_that_never_tell_of_input_are_never_idle(world: World, presence: Presence) -> None:
    await presence.hear(signed_in())
    for _ in range(40):
        await world.pass_time(50)
        await presence.hear(heartbeat())

    assert world.states() == [("online", "signed_in")]


@pytest.mark.servers
async def test_lunch_without_input_ends_when_the_agent_says_so_and_is_watched_anew(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in(), quiet_beat(0), state_set("away", reason=LUNCH, session_id="tab"))
    await wait(world, presence, IDLE + 300, tab=0)
    await presence.hear(state_set("online"))
    await presence.hear(quiet_beat(IDLE + 300))
    assert world.states()[-1] == ("online", "state_set"), "nobody is idle the moment they are set online"

    await wait(world, presence, IDLE, tab=IDLE + 300)
    assert world.states()[-1] == ("away", "idle")


@pytest.mark.servers
async def test_a_flushed_redis_makes_nobody_idle_whose_other_session_is_awake(
    world: World, presence: Presence
) -> None:
    await presence.hear(signed_in(), signed_in("phone"), quiet_beat(3600), quiet_beat(0, "phone"))
    await world.flush_redis()
    await presence.hear(quiet_beat(3620))
    assert world.states()[-1][0] == "online", "the phone was not heard yet"

    await presence.hear(quiet_beat(5, "phone"))
    await wait(world, presence, 90, tab=3620, phone=-80)
    assert world.states()[-1][0] == "online"


@pytest.mark.servers
async def test_who_is_idle_is_lost_and_leaves_like_anybody(world: World, presence: Presence) -> None:
    await presence.hear(signed_in(), quiet_beat(IDLE))
    await world.pass_time(61)
    await presence.sweep()
    await world.pass_time(31)
    await presence.fire()
    assert world.states()[-2:] == [("away", "idle"), ("offline", "lost")]

    await presence.hear(quiet_beat(3))
    assert world.states()[-1] == ("online", "returned")

    await presence.hear(signed_out())
    known = await presence.known()
    assert (known.quiet, known.rests) == (None, False)


@pytest.mark.servers
@pytest.mark.parametrize("leaves", ["signs out", "is lost"])
async def test_idleness_ends_when_an_agent_is_gone(world: World, presence: Presence, leaves: str) -> None:
    await presence.hear(signed_in(), quiet_beat(IDLE))
    if leaves == "signs out":
        await presence.hear(signed_out())
    await world.pass_time(61)
    await presence.sweep()
    await world.pass_time(31)
    await presence.fire()
    assert world.states()[-1][0] == "offline"

    await presence.hear(heartbeat("another tab"))
    assert world.states()[-1] == ("online", "returned")
