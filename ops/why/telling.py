"""Tells what happened to a chat, line by line, from its facts and the reasons they carry. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ops.printable import printable
from ops.why.choosing import placement, rule
from ops.why.marks import of_marks
from ops.why.naming import because, plain, who, words
from ops.why.slots import of_slots, wrap_up
from shared.contracts import chats
from shared.contracts.event import Event, Model

_PREFIX, _SUFFIX = "chatdesk.chat.", ".v1"
_TOLD_BESIDE = frozenset({*chats.ChatFact.model_fields, "content", "received_at", "sent_at", "message_id"})
"""Fields that every fact repeats, or that nobody asks a decision for: customers' words above all."""
_READ_AS = frozenset(
    {"strategy", "department", "calendar", "when_full", "ahead", "shortlist", "counts", "last_turn"}
    | {
        "last_agent",
        "receiver",
        "skills",
        "fallbacks",
        "rule",
        "rules",
        "tenant_revision",
        "wrap_up_of",
        "mode",
    }
)


@dataclass(frozen=True, slots=True)
class Told:
    """One line of the story, and below it why."""

    at: datetime
    line: str
    reasons: tuple[str, ...] = ()


def told(events: Sequence[Event[Model]]) -> list[Told]:
    """Tell these events of one chat, in their order. Every string in them may be foreign."""
    return [
        Told(event.time, printable(_line(event)), tuple(map(printable, _reasons(event.data))))
        for event in events
    ]


def missing_versions(events: Sequence[Event[Model]]) -> list[int]:
    """Return the versions of the chat that are not among its events: retention took them, or somebody."""
    found = {
        event.data.version
        for event in events
        if isinstance(event.data, chats.ChatFact | chats.ChatRecorded) and event.data.version is not None
    }
    return sorted(set(range(1, max(found, default=0) + 1)) - found)


def _line(event: Event[Model]) -> str:
    match event.data:
        case chats.ChatMessageAdded() as added:
            line = "the customer wrote" if added.direction == "inbound" else f"{who(added.author)} answered"
        case chats.ChatAssigned() as assigned:
            given = f", by {who(assigned.by)}" if assigned.by is not None else ""
            holds = f", who now holds {assigned.agent_load}" if assigned.agent_load is not None else ""
            line = f"assigned to {assigned.agent_id}{given}{holds}{because(assigned.reason)}"
        case chats.ChatQueued() as queued:
            line = f"waits in {queued.department_id}{because(queued.reason)}"
        case chats.ChatRequeued() as queued:
            line = f"waits again in {queued.department_id}{because(queued.reason)}"
        case chats.ChatDiverted() as diverted:
            opens = diverted.next_open_at
            again = f"; open again at {opens:%Y-%m-%d %H:%M} UTC" if opens is not None else ""
            line = f"became ticket {diverted.ticket_id}{because(diverted.reason)}{again}"
        case chats.ChatClosed() as closed:
            line = f"closed by {who(closed.by)}{because(closed.reason)}{wrap_up(closed)}"
        case chats.ChatOpened() as opened:
            asks = f", asks for {', '.join(opened.skills)}" if opened.skills else ""
            line = f"opened for {opened.department_id}{asks}"
        case chats.ChatCommandRefused() as refused:
            line = _refusal(refused)
        case _:
            line = _otherwise(event)
    return line


def _refusal(refused: chats.ChatCommandRefused) -> str:
    asked = f"what {who(refused.by)} asked" if refused.by is not None else "a command"
    line = f"{asked} was refused: {words(refused.reason)}"
    if refused.detail is not None:
        line += f" ({refused.detail})"
    if refused.available is None:
        return line
    agents = ", ".join(refused.available.agents) or "nobody"
    return f"{line}; available then: {agents}"


def _otherwise(event: Event[Model]) -> str:
    """Tell any other fact by its name and what only it carries."""
    if (line := of_marks(event.data) or of_slots(event.data)) is not None:
        return line
    name = words(event.type.removeprefix(_PREFIX).removesuffix(_SUFFIX))
    beside = _TOLD_BESIDE if isinstance(event.data, chats.ChatFact) else _TOLD_BESIDE - {"why"}
    carried = event.data.model_dump(mode="json", exclude_none=True, exclude=set(beside))
    return name + "".join(f", {words(key)}: {plain(value)}" for key, value in carried.items())


def _reasons(data: Model) -> Iterator[str]:
    why = getattr(data, "why", None)
    if not isinstance(why, Mapping):
        return
    yield from rule(why)
    yield from placement(why)
    for key in sorted(set(why) - _READ_AS):
        yield f"{words(key)}: {plain(why[key])}"
