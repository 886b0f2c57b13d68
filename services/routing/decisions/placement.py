"""Assign, queue or divert: what becomes of a chat that nobody holds (docs/rules.md, 3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.routing.decisions.calendars import is_open, next_close_at, next_open_at
from services.routing.decisions.choice import Choice, Verdict, candidate, verdict
from services.routing.decisions.skills import held_to
from services.routing.model import Agent, Calendar, Closing, Department

Why = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Assign:
    """Give the chat to this agent."""

    agent: Agent
    why: Why


@dataclass(frozen=True, slots=True)
class Queue:
    """Let it wait; when the department closes at ``closes_at`` it becomes a ticket."""

    closes_at: datetime | None
    why: Why


@dataclass(frozen=True, slots=True)
class Divert:
    """Make it a ticket. ``next_open_at`` tells the customer when to expect somebody."""

    reason: str
    next_open_at: datetime | None
    why: Why


@dataclass(frozen=True, slots=True)
class Hold:
    """Let it wait without a limit: the department names a calendar that has not arrived yet."""

    why: Why


CONTINUES_WITHIN = timedelta(minutes=15)
"""Whoever writes this soon after a chat's end goes on with it, and with its agent."""

NOBODY_THERE = frozenset({"outside_business_hours", "no_agents_online"})
"""Why a department diverts what its fallback is asked for first."""

Placement = Assign | Queue | Divert | Hold


def place(
    department: Department,
    calendar: Calendar | None,
    choice: Choice,
    *,
    ahead: int,
    now: datetime,
    turn: str = "",
) -> Placement:
    """Place one chat in a department, where ``ahead`` chats wait that it must not overtake.

    ``turn`` is whom the department's ``round_robin`` chose last.

    Closed, or nobody online and not draining: divert at once. Somebody online but all full: queue,
    or divert where the department says so. Whoever has room but lacks a skill counts as somebody to wait
    for: the chat may be theirs in a while. Hours are judged at ``now``, the moment of decision.
    """
    opened = None if calendar is None else is_open(calendar, now)
    why = rested_on(department, calendar, choice, opened=opened, ahead=ahead, turn=turn)
    if department.calendar_id is not None and calendar is None:
        return Hold({**why, "verdict": "calendar_missing"})
    if calendar is not None and not opened:
        return Divert("outside_business_hours", next_open_at(calendar, now), why)
    if not choice.anybody_working:
        return Divert("no_agents_online", None, why)
    if choice.agent is not None and not ahead:
        return Assign(choice.agent, why)
    all_full = choice.agent is None and not choice.counts.get(Verdict.LACKS_SKILL)
    if department.when_full == "ticket" and all_full:
        return Divert("all_full", None, why)
    return Queue(next_close_at(calendar, now) if calendar else None, why)


def prefer(
    found: Assign, before: Agent | None, closing: Closing, department: Department, now: datetime
) -> Assign:
    """Return ``found``, or give the chat to who had the pair's last one (``before``), if they may have it.

    Either way it is recorded what they were.
    """
    if before is None or not before.takes_chats_of(department.key):
        return found
    within, skills = max(department.last_agent_within, CONTINUES_WITHIN), held_to(found.why)
    preferred = now - closing.at <= within and verdict(before, skills) is Verdict.AVAILABLE
    last_agent = {
        "candidate": candidate(before, skills),
        "closed_at": closing.at.isoformat(),
        "within_seconds": within.total_seconds(),
        "preferred": preferred,
    }
    return Assign(before if preferred else found.agent, {**found.why, "last_agent": last_agent})


def refused(found: Placement) -> Why:
    """Record a fallback that was asked and takes nobody."""
    return {"verdict": getattr(found, "reason", "held"), **found.why}


def rested_on(
    department: Department,
    calendar: Calendar | None,
    choice: Choice,
    *,
    opened: bool | None,
    ahead: int = 0,
    turn: str = "",
) -> dict[str, Any]:
    """Record what a decision rested on, so that it can be explained and taken again (`replay`).

    ``opened`` is what the calendar said, None where there is none to ask.
    """
    why: dict[str, Any] = {
        "strategy": department.strategy,
        "department": {"id": department.department_id, "revision": department.revision},
        "calendar": department.calendar_id
        and {
            "id": department.calendar_id,
            "revision": calendar.revision if calendar else None,
            "open": opened,
        },
        "when_full": department.when_full,
        "ahead": ahead,
        "shortlist": choice.shortlist,
        "counts": choice.counts,
    }
    if department.mode != "push":
        why["mode"] = department.mode
    if department.strategy == "round_robin":
        why["last_turn"] = turn
    if choice.skills is not None:
        why["skills"] = choice.skills
    return why
