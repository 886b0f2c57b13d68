"""Everything an agent holds, moved on request: to a department, to an agent, or back to where it belongs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from services.tickets.model import Assigned, Moved, Reason, Released, Ticket
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.contracts.ticket_commands import TicketHandOver

_SUPERVISING = frozenset({"supervisor", "admin"})


def judge(
    command: TicketHandOver,
    agent: AgentDocument | None,
    receiver: AgentDocument | None,
    department: DepartmentDocument | None,
) -> Reason | None:
    """Supervisors and admins hand over; who receives takes tickets whether online or not."""
    if command.by.role not in _SUPERVISING:
        return Reason.ROLE_NOT_ALLOWED
    if agent is None:
        return Reason.UNKNOWN_AGENT
    if command.to_department_id is not None and (department is None or department.retired):
        return Reason.UNKNOWN_DEPARTMENT
    if command.to_agent_id == command.agent_id:
        return Reason.SAME_AGENT
    takes_tickets = receiver is not None and not receiver.retired and "agent" in receiver.roles
    return None if command.to_agent_id is None or takes_tickets else Reason.UNKNOWN_AGENT


def hand_over(command: TicketHandOver, tickets: Iterable[Ticket]) -> Iterator[Moved | Assigned | Released]:
    """Move each ticket that the agent holds, the one whose customer wrote last at the end."""
    held = [one for one in tickets if one.state == "assigned" and one.agent_id == command.agent_id]
    for ticket in sorted(held, key=lambda one: (one.last_message_at, one.key)):
        name, now = command.to_department_id, ticket
        if name is not None and name != ticket.department_id:
            now = replace(ticket, version=ticket.version + 1, department_id=name)
            yield Moved(now, command.by, previous_department_id=ticket.department_id)
        if command.to_agent_id is not None:
            given = replace(now, version=now.version + 1, agent_id=command.to_agent_id)
            yield Assigned(given, command.by, previous_agent_id=ticket.agent_id, note=command.note)
        else:
            freed = replace(now, version=now.version + 1, state="unassigned", agent_id=None)
            yield Released(freed, command.by, previous_agent_id=ticket.agent_id, note=command.note)
