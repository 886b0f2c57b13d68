"""Tells what people and timers did to a chat beside giving it away."""

from ops.why.naming import because, who, words
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.event import Model

_WAITS_FOR = {"customer": "for the customer", "internal": "for something of our own"}


def of_marks(fact: Model) -> str | None:
    """Return the line of such a fact, None for any other."""
    match fact:
        case chats.ChatPendingMarked() as parked:
            until = f" until {parked.until:%Y-%m-%d %H:%M} UTC" if parked.until is not None else ""
            line = f"parked by {who(parked.by)}{until}, to wait {_WAITS_FOR[parked.reason]}{_held(parked)}"
        case chats.ChatPendingUnmarked() as woken:
            line = f"goes on with {woken.agent_id}{by(woken.by)}{because(woken.reason)}{_held(woken)}"
        case chats.ChatFlagged() as flagged:
            line = f"flagged by {who(flagged.by)}: no timer moves or closes it"
        case chats.ChatUnflagged() as unflagged:
            line = f"no longer flagged{by(unflagged.by)}: its timers count again"
        case chats.ChatPrioritySet() as ranked:
            line = f"priority {ranked.priority}{by(ranked.by)}"
        case chats.ChatMoved() as moved:
            places = f"moved from {moved.previous_department_id} to {moved.department_id}"
            line = places + by(moved.by) + because(moved.reason)
        case chats.ChatMessageChanged(change="failed"):
            waits = ": they wait for an answer again" if fact.last_word == "customer" else ""
            line = f"a message of ours did not reach the customer{waits}"
        case chats.ChatSkillsRelaxed() as relaxed:
            line = f"nobody with {', '.join(relaxed.skills)} was free for long enough: anybody may have it"
        case chats.ChatAlerted() as alert:
            line = f"supervisors were alerted: {words(alert.kind)} since {alert.due_at:%H:%M:%S} UTC"
        case _:
            return None
    return line


def by(actor: Actor | None) -> str:
    """Name who did it, behind what was done."""
    return f", by {who(actor)}" if actor is not None else ""


def _held(fact: chats.ChatFact) -> str:
    return f"; {fact.agent_id} holds {fact.agent_load}" if fact.agent_load is not None else ""
