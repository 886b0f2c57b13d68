"""Slots held after a chat's end, for its agent to finish what it left to do (docs/rules.md, 3)."""

from datetime import datetime

from services.routing.model import Agent, Department


def held_until(agent: Agent, department: Department | None, now: datetime) -> datetime | None:
    """Return until when the slot of a chat that ends now stays held; None: it is free at once.

    Who is offline finishes nothing.
    """
    if department is None or not department.wrap_up or agent.state == "offline":
        return None
    return now + department.wrap_up
