"""What a signal changes (docs/rules.md, 2)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from services.presence.decisions.absence import arrived_as, as_declared
from services.presence.decisions.idleness import felt, notice, rouse
from services.presence.decisions.permission import refusal_of, refusal_of_ignored, refused, what_is_left
from services.presence.decisions.word import announcement, changed, hear_echo, settle
from services.presence.model import (
    REMEMBERED,
    Agent,
    Beat,
    Change,
    ChangeCause,
    Declare,
    Declared,
    Ended,
    Ignored,
    Live,
    Renewal,
    Signal,
    SignIn,
    SignOut,
    Silent,
    Standing,
    Terms,
    Verdict,
)
from shared.contracts.event import Event, Model

SHORTEST_LEASE, LONGEST_LEASE = 10, 300
"""Seconds a signal may ask for. A tenant whose own lease lies outside moves the bound that far."""


def lease_of(wish: int | None, terms: Terms) -> int:
    """A session gets the lease it asks for within bounds, else its tenant's. Seconds."""
    if wish is None:
        return terms.lease_seconds
    shortest, longest = min(SHORTEST_LEASE, terms.lease_seconds), max(LONGEST_LEASE, terms.lease_seconds)
    return min(max(wish, shortest), longest)


def only_beats(signals: Iterable[Signal]) -> bool:
    """Heartbeats alone may be settled by their leases; anything else asks for the agent's row."""
    return all(isinstance(signal.act, Beat) for signal in signals)


def beats(signals: Iterable[Signal], terms: Terms) -> list[Renewal]:
    """Return what heartbeats ask for."""
    return [
        Renewal(
            signal.key,
            signal.act.session_id,
            lease_of(signal.act.lease_seconds, terms),
            terms.idle_seconds,
            signal.act.quiet,
        )
        for signal in signals
        if isinstance(signal.act, Beat)
    ]


def sessions_named(signals: Iterable[Signal]) -> set[str]:
    """Return the sessions that signals are about: of these it matters whether they were signed out."""
    return {signal.act.session_id for signal in signals if signal.act.session_id is not None}


def may_signal(agent: Agent, *, retired: bool) -> bool:
    """Anybody in the directory may, but who is retired only until they are gone."""
    return not retired or agent.state != "offline"


def fold(
    before: Standing, signals: Sequence[Signal], echoes: Sequence[int], terms: Terms, now: datetime
) -> Change:
    """Hear an agent's signals in order. A stale state that came last on our topic is made good."""
    agent, stale = hear_echo(before.agent, echoes)
    standing = replace(before, agent=agent)
    events: tuple[Event[Model], ...] = ()
    for signal in signals:
        step = _admit(standing, signal, terms, now)
        standing, events = step.after, events + step.events
    if stale and standing.agent.version == agent.version:
        events += (announcement(standing.agent),)
    return Change(before, standing, events)


def _admit(standing: Standing, signal: Signal, terms: Terms, now: datetime) -> Change:
    """Hear a signal, as far as it may be said; what is refused is answered."""
    admitted: Signal | None = signal
    refusal = refusal_of(signal, terms)
    if refusal is not None:
        admitted = what_is_left(signal, refusal)
    change = Change(standing, standing)
    if admitted is not None:
        verdict = hear(standing, admitted, terms, now)
        change = changed(standing, verdict)
        if isinstance(verdict, Ignored):
            refusal = refusal or refusal_of_ignored(signal, verdict)
    if refusal is None:
        return change
    return replace(change, events=(*change.events, refused(signal, refusal, now)))


def hear(standing: Standing, signal: Signal, terms: Terms, now: datetime) -> Verdict:
    """Decide what one signal changes (docs/rules.md, 2)."""
    if signal.event.time + REMEMBERED < now and not isinstance(signal.act, SignOut):
        return Ignored("too_old")
    match signal.act:
        case SignIn() as act:
            attending = _attend(standing, act.session_id, lease_of(act.lease_seconds, terms), act.declared)
            if not isinstance(attending, Ignored):
                felt_at = felt(act.quiet, now)
                attending = notice(attending, felt_at, terms, now) if felt_at else rouse(attending, now)
            cause: ChangeCause = "signed_in"
        case Beat() as act:
            attending = _attend(standing, act.session_id, lease_of(act.lease_seconds, terms), Declared())
            if not isinstance(attending, Ignored):
                attending = notice(attending, felt(act.quiet, now), terms, now)
            cause = _why_a_beat_changes(standing, attending)
        case Declare() as act:
            attending = _declare(standing, act, terms, now)
            cause = "state_set"
        case SignOut() as act:
            attending = _leave(standing, act, terms, now)
            cause = "signed_out"
        case unknown:
            assert_never(unknown)
    if isinstance(attending, Ignored):
        return attending
    return settle(standing, attending, cause, signal.because, now, by=signal.by)


def _attend(standing: Standing, session_id: str, lease_seconds: int, afresh: Declared) -> Standing | Ignored:
    """Give a session its lease, unless it was signed out: a late heartbeat revives nothing."""
    if standing.sessions.get(session_id) == Ended():
        return Ignored("session_ended")
    agent = standing.agent
    known = agent.lease_seconds if agent.state != "offline" else 0
    return replace(
        standing,
        agent=replace(arrived_as(agent, afresh), lease_seconds=max(known, lease_seconds)),
        sessions={**standing.sessions, session_id: Live()},
        renewals={**standing.renewals, session_id: lease_seconds},
    )


def _why_a_beat_changes(before: Standing, after: Standing | Ignored) -> ChangeCause:
    if before.agent.state == "offline" or isinstance(after, Ignored):
        return "returned"
    return "idle" if after.agent.idle else "active"


def _declare(standing: Standing, act: Declare, terms: Terms, now: datetime) -> Standing | Ignored:
    """Declare a state of somebody who is there; speaking from their own session they are."""
    attending: Standing | Ignored = standing
    if act.session_id is not None:
        attending = _attend(standing, act.session_id, lease_of(None, terms), Declared())
    if isinstance(attending, Ignored):
        return attending
    if attending.agent.state == "offline":
        return Ignored("agent_offline")
    if act.own or act.state is not None:
        attending = rouse(attending, now)
    agent = attending.agent
    return replace(attending, agent=as_declared(agent, _spoken(agent.declared or Declared(), act)))


def _spoken(current: Declared, act: Declare) -> Declared:
    """A named state brings its own reason or none; a reason alone replaces the one before."""
    return Declared(
        state=act.state or current.state,
        reason=act.reason if act.state is not None else act.reason or current.reason,
        draining=current.draining if act.draining is None else act.draining,
    )


def _leave(standing: Standing, act: SignOut, terms: Terms, now: datetime) -> Standing:
    """End sessions for good. Who has no other is offline at once; where one may return, lost."""
    names = (act.session_id,) if act.session_id is not None else tuple(standing.sessions)
    left = replace(
        standing,
        sessions={**standing.sessions, **dict.fromkeys(names, Ended())},
        renewals={name: lease for name, lease in standing.renewals.items() if name not in names},
    )
    if standing.agent.state == "offline" or Live() in left.sessions.values():
        return left
    until = _last_return(left, terms)
    if until is not None and until > now:
        return replace(left, agent=replace(standing.agent, grace_until=until))
    gone = replace(
        standing.agent, state="offline", reason=act.reason, declared=None, grace_until=None, idle=False
    )
    return replace(left, agent=gone)


def _last_return(standing: Standing, terms: Terms) -> datetime | None:
    """Return until when a silent session may return within its grace; None where there is none."""
    ends = [session.over_at for session in standing.sessions.values() if isinstance(session, Silent)]
    if not ends:
        return None
    until = max(ends) + timedelta(seconds=terms.grace_seconds)
    return max(until, standing.agent.grace_until or until)
