"""``agent-signals.v1``: what sessions, supervisors and routing say of an agent, and what of it is refused."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from shared.contracts.actors import Actor
from shared.contracts.event import Model
from shared.contracts.fields import Body, Flag, Id, Time, Word

LeaseSeconds: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=86_400)]


class AgentSignedIn(Model):
    """A session opened. ``lease_seconds`` is a wish, capped by the tenant's settings."""

    agent_id: Id
    session_id: Id
    by: Actor | None = None
    state: Literal["online", "away"] | None = None
    reason: Word | None = None
    draining: Flag | None = None
    active_at: Time | None = None
    lease_seconds: LeaseSeconds | None = None


class AgentHeartbeat(Model):
    """A session lives. ``active_at`` is the person's last input."""

    agent_id: Id
    session_id: Id
    active_at: Time | None = None
    lease_seconds: LeaseSeconds | None = None


class AgentStateSet(Model):
    """The agent, a supervisor or routing declares a state; absent fields stay as they are."""

    agent_id: Id
    session_id: Id | None = None
    by: Actor | None = None
    state: Literal["online", "away"] | None = None
    reason: Word | None = None
    draining: Flag | None = None


class AgentSignedOut(Model):
    """A session ended for good; without ``session_id`` all sessions of the agent."""

    agent_id: Id
    session_id: Id | None = None
    by: Actor | None = None
    reason: Word | None = None


class AgentSignalRefused(Model):
    """Presence did not do what a signal asked. ``signal_id`` is the signal's event id.

    ``allowed`` lists what might have been said instead, where there is a list.
    """

    agent_id: Id
    signal_id: Id
    reason: Word
    detail: Body
    session_id: Id | None = None
    by: Actor | None = None
    allowed: tuple[Word, ...] = ()
