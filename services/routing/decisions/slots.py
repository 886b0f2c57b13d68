"""Slots held after a chat's end, for its agent to finish what it left to do (docs/rules.md, 3)."""

from datetime import datetime

from services.routing.decisions.calendars import is_open
from services.routing.decisions.choice import Verdict, verdict
from services.routing.decisions.placement import CONTINUES_WITHIN
from services.routing.model import Agent, Calendar, Closing, Department


def held_until(agent: Agent, department: Department | None, now: datetime) -> datetime | None:
    """Return until when the slot of a chat that ends now stays held; None: it is free at once.

    Who is offline finishes nothing.
    """
    if department is None or not department.wrap_up or agent.state == "offline":
        return None
    return now + department.wrap_up


def may_go_on(
    agent: Agent, closing: Closing, department: Department, calendar: Calendar | None, now: datetime
) -> bool:
    """Say whether a customer's next chat may have the slot that is held for ``agent`` after their last one.

    It may if they would be preferred, had they that slot back. It was nobody else's to have, so the chat
    overtakes none of those who wait.
    """
    if verdict(agent.but(load=agent.load - 1)) is not Verdict.AVAILABLE:
        return False
    if department.calendar_id is not None and (calendar is None or not is_open(calendar, now)):
        return False
    within = max(department.last_agent_within, CONTINUES_WITHIN)
    return agent.takes_chats_of(department.key) and now - closing.at <= within
