"""``ticket-commands.v1``: what people ask tickets to do."""

from typing import Annotated

from pydantic import Field

from shared.contracts.actors import Actor
from shared.contracts.event import Model
from shared.contracts.fields import Body, Count, Id, Word


class TicketCommand(Model):
    """What every command on a ticket carries; ``expected_version`` refuses it when the ticket went on."""

    by: Actor
    ticket_id: Id
    expected_version: Count | None = None


class TicketAssign(TicketCommand):
    """Give the ticket to an agent, online or not."""

    agent_id: Id
    note: Body | None = None


class TicketAccept(TicketCommand):
    """Take this ticket."""


class TicketAcceptNext(Model):
    """Take the ``count`` oldest tickets of one's departments, or of one."""

    by: Actor
    department_id: Id | None = None
    count: Annotated[int, Field(strict=True, ge=1, le=100)] = 1


class TicketHandOver(Model):
    """Move all tickets that ``agent_id`` holds to a department, to an agent, or back to where they belong."""

    by: Actor
    agent_id: Id
    to_department_id: Id | None = None
    to_agent_id: Id | None = None
    note: Body | None = None


class TicketRelease(TicketCommand):
    """Give the ticket back."""

    note: Body | None = None


class TicketSetDepartment(TicketCommand):
    """Move the ticket to a department."""

    department_id: Id
    note: Body | None = None


class TicketNote(TicketCommand):
    """Leave a note."""

    note: Body


class TicketTag(TicketCommand):
    """The tags the ticket has from now on."""

    tags: tuple[Word, ...]


class TicketClose(TicketCommand):
    """Say that the work is done."""

    note: Body | None = None
    tags: tuple[Word, ...] = ()
