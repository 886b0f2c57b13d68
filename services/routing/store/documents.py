"""Directory documents as routing's own model, translated at the door."""

from collections.abc import Mapping
from datetime import time, timedelta
from zoneinfo import ZoneInfo

from services.routing.model import Calendar, Department, Documents, Hours, Rule, Tenant
from shared.contracts import directory


def documents(bodies: list[directory.DirectoryDocument], tenant_id: str) -> Documents:
    """Read one tenant's stored documents the way routing uses them. Of a retired one only its move counts."""
    moves = _moves([body for body in bodies if isinstance(body, directory.DepartmentDocument)])
    bodies = [body for body in bodies if not body.retired]
    tenants = [body for body in bodies if isinstance(body, directory.TenantDocument)]
    rules = [body for body in bodies if isinstance(body, directory.RoutingRulesDocument)]
    calendar_id = tenants[0].calendar if tenants else None
    return Documents(
        tenant=_tenant(tenants[0], rules, moves) if tenants else None,
        departments={
            body.id: _department(body, tenant_id, calendar_id, moves)
            for body in bodies
            if isinstance(body, directory.DepartmentDocument)
        },
        calendars={
            body.id: calendar_of(body)
            for body in bodies
            if isinstance(body, directory.CalendarDocument) and _is_zone(body.time_zone)
        },
        moves=moves,
    )


def _moves(departments: list[directory.DepartmentDocument]) -> dict[str, str]:
    """Follow each retired department to the one that is left of its chain; a chain without end moves none."""
    known = {department.id: department for department in departments}
    moves = {}
    for department in departments:
        target, steps = department, 0
        while target.retired and target.move_to in known and steps < len(known):
            target, steps = known[target.move_to], steps + 1
        if department.retired and not target.retired:
            moves[department.id] = target.id
    return moves


def _tenant(
    document: directory.TenantDocument,
    rules: list[directory.RoutingRulesDocument],
    moves: Mapping[str, str],
) -> Tenant:
    return Tenant(
        tenant_id=document.id,
        first_line_department=moves.get(document.first_line_department, document.first_line_department),
        calendar_id=document.calendar,
        rules=tuple(
            Rule(
                moves.get(one.department, one.department),
                one.channel,
                one.business_address,
                one.keyword,
                one.language,
                one.hint,
                one.skills,
            )
            for body in rules
            for one in body.rules
        ),
        rules_revisions={body.id: body.revision for body in rules},
        revision=document.revision,
    )


def _department(
    document: directory.DepartmentDocument,
    tenant_id: str,
    tenant_calendar: str | None,
    moves: Mapping[str, str],
) -> Department:
    return Department(
        tenant_id=tenant_id,
        department_id=document.id,
        calendar_id=document.calendar or tenant_calendar,
        max_wait=timedelta(seconds=document.max_wait_seconds),
        when_full=document.when_full,
        answer_timeout=timedelta(seconds=document.answer_timeout_seconds),
        inactivity_timeout=timedelta(seconds=document.inactivity_timeout_seconds),
        pending_timeout=timedelta(seconds=document.pending_timeout_seconds),
        strategy=document.strategy,
        mode=document.mode,
        take_allowed=document.take_allowed,
        offer_timeout=timedelta(seconds=document.offer_seconds),
        transfer_timeout=timedelta(seconds=document.transfer_seconds),
        fallback_id=moves.get(document.fallback, document.fallback) if document.fallback else None,
        last_agent_within=timedelta(seconds=document.last_agent_seconds),
        wrap_up=timedelta(seconds=document.wrap_up_seconds),
        relax_skills_after=timedelta(seconds=document.relax_skills_seconds),
        revision=document.revision,
    )


def calendar_of(document: directory.CalendarDocument) -> Calendar:
    """Read a calendar, whose zone has to be known."""
    week = document.week
    days = (week.mon, week.tue, week.wed, week.thu, week.fri, week.sat, week.sun)
    return Calendar(
        time_zone=document.time_zone,
        week=tuple(_hours(day) for day in days),
        exceptions=tuple((one.date, _hours(one.intervals)) for one in document.exceptions),
        revision=document.revision,
    )


def _is_zone(name: str) -> bool:
    """A calendar in a zone nobody knows counts as missing: its departments hold."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _hours(intervals: tuple[directory.Interval, ...]) -> tuple[Hours, ...]:
    return tuple(Hours(time.fromisoformat(one.from_), time.fromisoformat(one.to)) for one in intervals)
