"""What presence, the directory and tickets tell routing, and what follows for those who wait."""

from typing import cast

from services.routing.decisions.floor import AGENT_LOST, DEPARTMENT_RETIRED, RECEIVER_LEFT, SERVE_QUEUE, Floor
from services.routing.decisions.limits import look_at_limits
from services.routing.model import Agent, State
from shared.contracts import directory
from shared.contracts.agents import AgentChanged
from shared.contracts.tickets import TicketClosed
from shared.platform.outcome import Received


def agent_changed(floor: Floor, received: Received) -> None:
    """Take over an agent's state; their chats and the queues they serve are looked at after the commit."""
    data = cast(AgentChanged, received.event.data)
    key = (received.event.tenant_id, data.agent_id)
    agent = floor.agents.get(key, Agent(*key))
    if data.version <= agent.presence_version:
        return
    floor.agent_state(agent.but(state=data.state, draining=data.draining, presence_version=data.version))
    if data.state == "offline":
        floor.sweep(AGENT_LOST, key)
    if agent.load and not floor.agents[key].working:
        floor.sweep(RECEIVER_LEFT, key)
    for department_id in sorted(agent.departments):
        floor.sweep(SERVE_QUEUE, (key[0], department_id))


def ticket_closed(floor: Floor, received: Received) -> None:
    """Close the chat of a ticket a person closed, unless the customer wrote after they last looked.

    A chat that has gone on and waits keeps on waiting; should it be diverted again, that is a new ticket.
    """
    ticket = cast(TicketClosed, received.event.data)
    chat = floor.chats.get((received.event.tenant_id, ticket.chat_id))
    if chat is None or chat.ticket_id != ticket.ticket_id:
        return
    if chat.state is not State.DIVERTED:
        floor.forget_ticket(chat)
        return
    cause = received.event.as_cause()
    if chat.version == ticket.chat_version:
        floor.close(cause, chat, by=ticket.by, reason="ticket_closed", note=ticket.note, tags=ticket.tags)
    else:
        why = {"ticket_saw_version": ticket.chat_version, "chat_version": chat.version}
        floor.next_ticket(cause, chat, "written_after_close", why=why)


def agent_document(floor: Floor, received: Received) -> None:
    """Take over an agent's capacity and departments. A capacity below the load cuts nothing.

    Somebody retired belongs to no department and has no role any more: they keep what they hold until
    they are offline, get nothing new, and cannot be given a chat by hand.
    """
    document = cast(directory.AgentDocument, received.event.data)
    key = (received.event.tenant_id, document.id)
    agent = floor.agents.get(key, Agent(*key))
    if document.revision <= agent.revision:
        return
    departments = frozenset() if document.retired else frozenset(document.departments)
    roles = frozenset() if document.retired else frozenset(document.roles)
    skills = frozenset() if document.retired else frozenset(document.skills)
    floor.agent_state(
        agent.but(
            capacity=document.capacity,
            departments=departments,
            roles=roles,
            skills=skills,
            revision=document.revision,
        )
    )
    if agent.load and (departments, roles) != (agent.departments, agent.roles):
        floor.sweep(RECEIVER_LEFT, key)
    for department_id in sorted(agent.departments | departments):
        floor.sweep(SERVE_QUEUE, (key[0], department_id))


def directory_document(floor: Floor, received: Received) -> None:
    """Documents are saved as they come (`store.directory`); whoever waits may be affected."""
    document = cast(directory.DirectoryDocument, received.event.data)
    tenant_id = received.event.tenant_id
    match document:
        case directory.DepartmentDocument():
            affected = [document.id]
            look_at_limits(floor, (tenant_id, document.id))
            moves = floor.directory(tenant_id).moves
            heir = moves.get(document.id, document.id)
            for retired in (one for one, target in moves.items() if target == heir):
                floor.sweep(DEPARTMENT_RETIRED, (tenant_id, retired))
        case directory.CalendarDocument() | directory.TenantDocument():
            affected = sorted(floor.directory(tenant_id).departments)
        case _:
            affected = []
    for department_id in affected:
        floor.sweep(SERVE_QUEUE, (tenant_id, department_id))
