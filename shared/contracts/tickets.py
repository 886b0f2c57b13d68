"""``tickets.v1``: what happened to each ticket, told by tickets."""

from typing import Literal, TypeAlias

from shared.contracts.actors import Actor
from shared.contracts.chats import Availability
from shared.contracts.event import Model
from shared.contracts.fields import Body, Count, Id, Time, Word
from shared.contracts.pairs import PairRef

TicketState: TypeAlias = Literal["unassigned", "assigned", "closed"]


class TicketFact(Model):
    """The ticket after this change. ``version`` has no gaps; ``reason`` is why the chat was diverted."""

    ticket_id: Id
    chat_id: Id
    version: Count
    state: TicketState
    reason: Word
    pair: PairRef
    customer_id: Id
    department_id: Id | None = None
    agent_id: Id | None = None
    previous_agent_id: Id | None = None
    opened_at: Time
    next_open_at: Time | None = None
    last_message_at: Time
    answered_at: Time | None = None


class TicketOpened(TicketFact):
    """A diverted chat became work."""


class TicketAssigned(TicketFact):
    """The ticket is ``agent_id``'s."""

    by: Actor
    note: Body | None = None


class TicketReleased(TicketFact):
    """The ticket waits again."""

    by: Actor
    note: Body | None = None


class TicketMoved(TicketFact):
    """The ticket changed its department."""

    by: Actor
    previous_department_id: Id | None = None
    note: Body | None = None


class TicketAnswered(TicketFact):
    """Somebody wrote to the ticket's customer."""

    by: Actor | None = None


class TicketNoted(TicketFact):
    """Somebody left a note."""

    by: Actor
    note: Body


class TicketTagged(TicketFact):
    """The ticket has these tags."""

    by: Actor
    tags: tuple[Word, ...]


class TicketClosed(TicketFact):
    """The work is done. ``chat_version`` is the chat's that it had seen: a later message is a new ticket."""

    by: Actor
    close_reason: Word
    chat_version: Count
    note: Body | None = None
    tags: tuple[Word, ...] = ()


class TicketCommandRefused(Model):
    """Tickets will not do what a command asked. It changes no ticket, so it takes no version."""

    command_id: Id
    reason: Word
    by: Actor | None = None
    ticket_id: Id | None = None
    chat_id: Id | None = None
    version: Count | None = None
    available: Availability | None = None
