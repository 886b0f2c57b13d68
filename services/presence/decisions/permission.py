"""Who may say what of an agent, and how they are told that they may not (docs/rules.md, 2)."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from services.presence.decisions.word import SOURCE
from services.presence.model import Beat, Declare, Declared, Ignored, Signal, SignIn, SignOut, Terms
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentSignalRefused
from shared.contracts.catalogue import fact
from shared.contracts.event import Event, Model

Reason: TypeAlias = Literal["role_not_allowed", "unknown_reason", "session_ended", "too_old", "agent_offline"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a signal does not count, in a word and in a sentence."""

    reason: Reason
    detail: str
    allowed: tuple[str, ...] = ()


def is_own(by: Actor | None, agent_id: str) -> bool:
    """Say whether an agent speaks of themselves, in whichever of their roles."""
    return by is None or (by.role in {"agent", "supervisor", "admin"} and by.id == agent_id)


def refusal_of(signal: Signal, terms: Terms) -> Refusal | None:
    """Judge by who says it and what: agents speak for themselves, supervisors may set away and sign out."""
    by, agent_id = signal.by, signal.key.agent_id
    if by is not None and not is_own(by, agent_id) and (detail := _beyond(by, signal)) is not None:
        return Refusal("role_not_allowed", detail)
    reason = _away_reason(signal)
    by_people = by is None or by.role != "system"
    if by_people and terms.away_reasons and reason is not None and reason not in terms.away_reasons:
        detail = f"reason {reason!r} is not among the tenant's away_reasons; leave it out or choose one"
        return Refusal("unknown_reason", detail, terms.away_reasons)
    return None


def what_is_left(signal: Signal, refusal: Refusal) -> Signal | None:
    """Return what counts all the same: who signs in with an unknown reason is there, without a reason."""
    match signal.act:
        case SignIn(declared=declared) as act if refusal.reason == "unknown_reason":
            return signal._replace(act=replace(act, declared=replace(declared, reason=None)))
        case _:
            return None


def refusal_of_ignored(signal: Signal, ignored: Ignored) -> Refusal | None:
    """Tell whoever did something that nothing follows; late heartbeats and our own ask for no answer."""
    if isinstance(signal.act, Beat | SignOut) or (signal.by is not None and signal.by.role == "system"):
        return None
    match ignored.why:
        case "session_ended":
            return Refusal(
                "session_ended", "the session was signed out for good: sign in with a new session_id"
            )
        case "too_old":
            return Refusal("too_old", "the signal is more than 8 days old")
        case "agent_offline":
            return Refusal("agent_offline", "the agent is offline: nothing can be declared of them")
        case "not_lost" | "already_lost":
            return None
        case unknown:
            assert_never(unknown)


def refused(signal: Signal, refusal: Refusal, now: datetime) -> Event[Model]:
    """Say that a signal was refused."""
    said = AgentSignalRefused(
        agent_id=signal.key.agent_id,
        signal_id=signal.event.id,
        reason=refusal.reason,
        detail=refusal.detail,
        session_id=getattr(signal.event.data, "session_id", None),
        by=signal.by,
        allowed=refusal.allowed,
    )
    return fact(signal.because, said, source=SOURCE, subject=signal.key.agent_id, time=now)


def _beyond(by: Actor, signal: Signal) -> str | None:
    """Return what an act is beyond the role of who asks for it; None if it is not."""
    match signal.act:
        case _ if by.role in {"customer", "agent"}:
            who = f"{by.role} {by.id!r}" if by.id else f"{by.role} without an id"
            return f"{who} may not speak of agent {signal.key.agent_id!r}: agents speak for themselves"
        case SignIn() | Beat():
            return "only the agent themselves opens a session"
        case Declare(state="online"):
            return "only the agent themselves comes online: others may set them away or sign them out"
        case Declare() | SignOut():
            return None
        case unknown:
            assert_never(unknown)


def _away_reason(signal: Signal) -> str | None:
    match signal.act:
        case SignIn(declared=Declared("away", reason)):
            return reason
        case Declare(state=state, reason=reason) if state != "online":
            return reason
        case _:
            return None
