"""What would become of each chat and ticket, in a line for each that goes the same way."""

from collections import Counter
from collections.abc import Iterable, Sequence

from shared.contracts.chats import ChatCommandRefused, ChatFact
from shared.contracts.event import Event, Model
from shared.contracts.tickets import TicketCommandRefused, TicketFact


def refusals(events: Iterable[Event[Model]]) -> list[str]:
    """Return why a command would be refused, with who is available instead."""
    found = []
    for event in events:
        match event.data:
            case ChatCommandRefused(reason=reason, detail=detail, available=available):
                told = f"{reason}: {detail}" if detail else reason
                agents = ", ".join(available.agents) or "nobody" if available else None
                found.append(f"chats: {told}" + (f"; available now: {agents}" if agents else ""))
            case TicketCommandRefused(reason=reason):
                found.append(f"tickets: {reason}")
            case _:
                pass
    return found


def destinations(events: Iterable[Event[Model]]) -> dict[str, str]:
    """Return where each chat and each ticket would be in the end."""
    found: dict[str, str] = {}
    for event in events:
        match event.data:
            case ChatFact() as chat:
                found[f"chat {chat.chat_id}"] = _of_chat(chat)
            case TicketFact() as ticket:
                found[f"ticket {ticket.ticket_id}"] = _of_ticket(ticket)
            case _:
                pass
    return found


def summary(found: dict[str, str]) -> Sequence[str]:
    """Count what goes where, the most first."""
    kinds = Counter((name.split(" ", 1)[0], where) for name, where in found.items())
    return [
        f"{count:6} {kind if count == 1 else kind + 's'} {where}"
        for (kind, where), count in sorted(kinds.items(), key=lambda one: (one[0][0], -one[1], one[0][1]))
    ]


def _of_chat(chat: ChatFact) -> str:
    if chat.state == "assigned":
        return f"to {chat.agent_id}, in {chat.department_id}"
    if chat.state == "queued":
        return f"no room: to the queue of {chat.department_id}"
    return f"nobody there: to a ticket of {chat.department_id}, {getattr(chat, 'reason', chat.state)}"


def _of_ticket(ticket: TicketFact) -> str:
    if ticket.state == "assigned":
        return f"to {ticket.agent_id}, in {ticket.department_id}"
    return f"to the unassigned ones of {ticket.department_id}"
