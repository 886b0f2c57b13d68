"""Tells what set a chat's timers going or held them up."""

from ops.why.naming import because, who
from shared.contracts import chats
from shared.contracts.event import Model

_WAITS_FOR = {"customer": "for the customer", "internal": "for something of our own"}


def of_timers(fact: Model) -> str | None:
    """Return the line of a fact about timers, None for any other."""
    match fact:
        case chats.ChatPendingMarked() as parked:
            until = f" until {parked.until:%Y-%m-%d %H:%M} UTC" if parked.until is not None else ""
            line = f"parked by {who(parked.by)}{until}, to wait {_WAITS_FOR[parked.reason]}"
            return line + _held(parked)
        case chats.ChatPendingUnmarked() as woken:
            by = f", by {who(woken.by)}" if woken.by is not None else ""
            return f"goes on with {woken.agent_id}{by}{because(woken.reason)}{_held(woken)}"
        case _:
            return None


def _held(fact: chats.ChatFact) -> str:
    return f"; {fact.agent_id} holds {fact.agent_load}" if fact.agent_load is not None else ""
