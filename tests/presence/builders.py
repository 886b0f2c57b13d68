"""Builders of presence's nouns; every default is valid, a test states only what matters to it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.presence.model import (
    Act,
    Agent,
    AgentKey,
    Beat,
    Contact,
    Declare,
    Declared,
    Ended,
    Facts,
    Leased,
    Live,
    Session,
    Signal,
    SignIn,
    SignOut,
    Silent,
    Standing,
)
from shared.contracts.agent_signals import AgentHeartbeat
from shared.contracts.event import Cause
from tests.desk_events import NOON, TENANT, an_event

ANN = AgentKey(TENANT, "ann")
LONG_AGO = NOON - timedelta(days=1)
STEADY = Contact(LONG_AGO, NOON, NOON)


def after(seconds: float) -> datetime:
    """Return the time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def an_agent(state: str = "online", **fields: Any) -> Agent:
    """Somebody who came in yesterday; offline is whoever signed out then."""
    here = state != "offline"
    declared = Declared("away" if state == "away" else "online", fields.get("reason")) if here else None
    return Agent(
        **{
            "key": ANN,
            "state": state,
            "declared": declared,
            "version": 3,
            "echoed_version": 3,
            "cause": "signed_in" if here else "signed_out",
            "since": LONG_AGO,
            "changed_at": LONG_AGO,
            "because": Cause(TENANT, "yesterday"),
            **fields,
        }
    )


def a_stranger() -> Agent:
    """Somebody of whom nothing was ever said."""
    return Agent(ANN)


def lost(until: datetime = NOON, **fields: Any) -> Agent:
    return an_agent(grace_until=until, **fields)


LIVE, ENDED = Live(), Ended()
LAPSED = Silent(LONG_AGO)
"""So long that no grace of theirs is left."""


def standing(agent: Agent | None = None, **sessions: Session) -> Standing:
    """An agent with sessions, whose absence can be judged."""
    return Standing(agent or an_agent(), sessions)


def facts(agent: Agent | None = None, **fields: Any) -> Facts:
    return Facts(**{"agent": agent or an_agent(), "leased": leased(), **fields})


def leased(held_for: float = 3600, **seconds_left: float) -> Leased:
    left = {name: timedelta(seconds=seconds) for name, seconds in seconds_left.items()}
    return Leased(timedelta(seconds=held_for), left)


def signal(act: Act, event_id: str = "signal") -> Signal:
    beaten = AgentHeartbeat(agent_id=ANN.agent_id, session_id="whatever the act says")
    return Signal(ANN, act, an_event(beaten, event_id=event_id))


def signals(*acts: Act) -> Sequence[Signal]:
    return [signal(act, f"signal-{n}") for n, act in enumerate(acts)]


def sign_in(session: str = "tab", **fields: Any) -> SignIn:
    return SignIn(session, **fields)


def beat(session: str = "tab", **fields: Any) -> Beat:
    return Beat(session, **fields)


def sign_out(session: str | None = "tab", **fields: Any) -> SignOut:
    return SignOut(session, **fields)


def away(reason: str | None = "lunch", **fields: Any) -> Declare:
    return Declare(state="away", reason=reason, **fields)


def drain(**fields: Any) -> Declare:
    return Declare(draining=True, **fields)
