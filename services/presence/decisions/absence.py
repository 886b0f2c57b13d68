"""When somebody counts as absent: never because of lag, never because Redis lost its leases."""

from dataclasses import replace
from datetime import datetime, timedelta

from services.presence.decisions.word import own_cause, settle
from services.presence.model import (
    IDLE,
    Agent,
    Contact,
    Declared,
    Ended,
    Facts,
    Ignored,
    Leased,
    Live,
    Noted,
    Session,
    Silent,
    Standing,
    Terms,
    Verdict,
)

TOLERANCE = timedelta(seconds=2)
"""How far behind the reading of signals may be and still count as hearing them when they come."""


def listen(contact: Contact, now: datetime, read_up_to: datetime | None) -> Contact:
    """Note that every signal had been read up to a time; a lag or a pause of ours breaks the contact."""
    if read_up_to is None or abs(now - read_up_to) > TOLERANCE:
        return Contact(listened_at=now)
    unbroken = contact.listened_at is not None and now - contact.listened_at <= TOLERANCE
    steady_since = contact.steady_since if unbroken else None
    return Contact(steady_since or now, now, read_up_to)


def heard_since(contact: Contact, now: datetime) -> datetime:
    """Return since when signals have been heard as they came; now, if they are not."""
    heard = contact.listened_at is not None and now - contact.listened_at <= TOLERANCE
    return contact.steady_since if heard and contact.steady_since is not None else now


def may_judge(agent: Agent, contact: Contact, now: datetime) -> bool:
    """Say whether signals were heard for long enough to call somebody absent.

    After a lag every session gets a whole lease to be heard again.
    """
    return heard_since(contact, now) + timedelta(seconds=agent.lease_seconds) <= now


def stand(facts: Facts, contact: Contact, now: datetime) -> Standing:
    """Tell which of an agent's sessions live, and since when the others are silent.

    Neither lag nor a loss of Redis may look like absence: after either, the lease of a silent session
    is not over before it had a whole one to be heard again.
    """
    agent, left = facts.agent, facts.leased.left
    since = max(heard_since(contact, now), now - facts.leased.age)
    judged = since + timedelta(seconds=agent.lease_seconds)
    sessions: dict[str, Session] = dict.fromkeys(facts.open, Silent(judged))
    for name, rest in left.items():
        sessions[name] = Live() if rest > timedelta() else Silent(max(now + rest, judged))
    quiet = facts.leased.quiet
    return Standing(
        agent,
        sessions | dict.fromkeys(facts.ended, Ended()),
        judged_from=judged,
        last_input=None if quiet is None else now - quiet,
    )


def lapse(standing: Standing, ended_ago: timedelta | None, terms: Terms, now: datetime) -> Noted | Ignored:
    """An agent whose last lease ended is lost; nobody is told until the grace after that is over.

    Where it is not known when a lease ended, one might be running from now on.
    """
    agent = standing.agent
    if agent.state == "offline":
        return Ignored("agent_offline")
    if agent.is_lost:
        return Ignored("already_lost")
    ended = now + timedelta(seconds=agent.lease_seconds) if ended_ago is None else now - ended_ago
    until = ended + timedelta(seconds=terms.grace_seconds)
    return Noted(replace(standing, agent=replace(agent, grace_until=until)))


def end_grace(standing: Standing, now: datetime) -> Verdict:
    """A grace that is over ends in offline; it lasts longer while absence cannot be judged."""
    agent = standing.agent
    if agent.grace_until is None:
        return Ignored("not_lost")
    if Live() in standing.sessions.values():
        return Noted(replace(standing, agent=replace(agent, grace_until=None)))
    if (judged := max(standing.judged_from, agent.grace_until)) > now:
        return Noted(replace(standing, agent=replace(agent, grace_until=judged)))
    because = own_cause(agent, "grace", agent.grace_until.isoformat())
    gone = replace(agent, state="offline", reason=None, grace_until=None, idle=False)
    return settle(standing, replace(standing, agent=gone), "lost", because, now)


def find(standing: Standing, now: datetime) -> Verdict:
    """An agent held to be gone, or lost, who has a living session is back."""
    if Live() not in standing.sessions.values():
        return Ignored("agent_offline")
    arrived = replace(standing, agent=arrived_as(standing.agent, Declared()))
    because = own_cause(standing.agent, "found", str(standing.agent.version))
    return settle(standing, arrived, "returned", because, now)


def differs_in_idleness(idle: bool, leased: Leased) -> bool:  # noqa: FBT001 - it is what is compared
    """Say whether Redis takes an agent for idle and the row does not, or the reverse; it may know nothing."""
    return leased.rests if not idle else leased.quiet is not None


def arrived_as(agent: Agent, afresh: Declared) -> Agent:
    """Who was lost, or gone without signing out, is what they declared; who signed out starts afresh."""
    if agent.state != "offline" and not agent.is_lost:
        return agent
    return as_declared(replace(agent, grace_until=None), agent.declared or afresh)


def as_declared(agent: Agent, declared: Declared) -> Agent:
    """Show an agent as they, or a supervisor, declared them; declared online they may still be idle."""
    if agent.idle and declared.state == "online":
        return replace(agent, state="away", reason=IDLE, declared=declared)
    return replace(agent, state=declared.state, reason=declared.reason, declared=declared)
