"""Facts for routing's decisions; every default is valid, a test states only what matters to it."""

from datetime import datetime, time, timedelta
from typing import Any

from services.routing.model import (
    Agent,
    Calendar,
    Chat,
    Department,
    Documents,
    Facts,
    Hours,
    Offer,
    State,
    Tenant,
)
from shared.contracts.actors import Actor
from shared.contracts.pair import Pair
from tests.desk_events import BUSINESS, NOON, TENANT

ANN, BOB = Actor(role="agent", id="ann"), Actor(role="agent", id="bob")
SUE, ADA = Actor(role="supervisor", id="sue"), Actor(role="admin", id="ada")

CUSTOMER = "+27820000001"


def an_agent(name: str = "ann", **fields: Any) -> Agent:
    return Agent(
        **{
            "tenant_id": TENANT,
            "agent_id": name,
            "capacity": 3,
            "departments": frozenset({"sales"}),
            "state": "online",
            "presence_version": 1,
            **fields,
        }
    )


def a_chat(customer: str = CUSTOMER, *, since: datetime = NOON, **fields: Any) -> Chat:
    return Chat(
        **{
            "tenant_id": TENANT,
            "chat_id": f"chat-{customer}",
            "pair": Pair.of(TENANT, "whatsapp", BUSINESS, customer),
            "business_address": BUSINESS,
            "customer_address": customer,
            "customer_id": f"customer-{customer}",
            "state": State.QUEUED,
            "opened_at": since,
            "waiting_since": since,
            "queued_at": since,
            "version": 3,
            "department_id": "sales",
            "last_word": "customer",
            **fields,
        }
    )


def an_assigned_chat(agent: str = "ann", customer: str = CUSTOMER, **fields: Any) -> Chat:
    return a_chat(
        customer,
        **{"state": State.ASSIGNED, "agent_id": agent, "queued_at": None, "assignment_version": 1, **fields},
    )


def a_pending_chat(agent: str = "ann", customer: str = CUSTOMER, **fields: Any) -> Chat:
    until = NOON + timedelta(hours=24)
    return an_assigned_chat(agent, customer, **{"state": State.PENDING, "pending_until": until, **fields})


def a_diverted_chat(customer: str = CUSTOMER, **fields: Any) -> Chat:
    return a_chat(customer, **{"state": State.DIVERTED, "queued_at": None, "ticket_id": "ticket-1", **fields})


def an_offer(to: str = "bob", **fields: Any) -> Offer:
    return Offer(
        **{"kind": "transfer", "to": to, "by": ANN, "expires_at": NOON + timedelta(minutes=20), **fields}
    )


def a_department(name: str = "sales", **fields: Any) -> Department:
    return Department(**{"tenant_id": TENANT, "department_id": name, **fields})


def a_calendar(start: str = "09:00", end: str = "17:00", zone: str = "UTC", **fields: Any) -> Calendar:
    hours = Hours(time.fromisoformat(start), time.fromisoformat(end))
    return Calendar(**{"time_zone": zone, "week": ((hours,),) * 7, **fields})


def facts(
    *,
    agents: tuple[Agent, ...] = (),
    chats: tuple[Chat, ...] = (),
    departments: tuple[Department, ...] | None = None,
    calendars: dict[str, Calendar] | None = None,
    waiting: int = 0,
    **fields: Any,
) -> Facts:
    """One department, `sales`, is the first line unless others are given; all are locked."""
    known = departments or (a_department(),)
    return Facts(
        **{
            "directory": {
                TENANT: Documents(
                    tenant=Tenant(TENANT, known[0].department_id),
                    departments={one.department_id: one for one in known},
                    calendars=calendars or {},
                )
            },
            "chats": {chat.key: chat for chat in chats},
            "agents": {agent.key: agent for agent in agents},
            "locked": frozenset(one.key for one in known),
            "queue_lengths": {known[0].key: waiting},
            **fields,
        }
    )


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
