"""Tells of slots that nobody chats in yet, or any more: offers, how they ended, and wrap-ups."""

from ops.why.marks import by
from ops.why.naming import words
from shared.contracts import chats
from shared.contracts.event import Model


def of_slots(fact: Model) -> str | None:
    """Return the line of such a fact, None for any other."""
    match fact:
        case chats.ChatOffered() as offered:
            place = f" in {offered.to_department_id}" if offered.to_department_id else ""
            until = f" until {offered.expires_at:%H:%M:%S} UTC"
            return f"offered to {offered.to}{place}{by(offered.by)}{until}{_load(offered.to, offered)}"
        case chats.ChatOfferEnded() as ended:
            return f"the offer to {ended.to} ended: {words(ended.outcome)}{_load(ended.to, ended)}"
        case chats.ChatTransferred() as given:
            went = f"went from {given.previous_agent_id} to {given.agent_id}{by(given.by)}"
            return went + _load(given.agent_id, given)
        case chats.ChatWrapUpEnded() as ended:
            agent = ended.previous_agent_id
            return f"the wrap-up of {agent} ended{by(ended.by)}: {words(ended.reason)}{_load(agent, ended)}"
        case _:
            return None


def wrap_up(closed: chats.ChatClosed) -> str:
    """Return what to add to the end of a chat whose slot stays held."""
    until = closed.wrap_up_until
    return "" if until is None else f"; {closed.previous_agent_id} wraps up until {until:%H:%M:%S} UTC"


def _load(agent_id: str | None, fact: chats.ChatFact) -> str:
    return f"; the load of {agent_id} is {fact.agent_load}" if fact.agent_load is not None else ""
