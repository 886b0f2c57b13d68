"""The contact centre of the demo: its departments, people, numbers and templates, as directory documents."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from shared.contracts.directory import (
    AgentDocument,
    CalendarDocument,
    ChannelDocument,
    DepartmentDocument,
    DirectoryDocument,
    Interval,
    RoutingRule,
    RoutingRulesDocument,
    TemplateDocument,
    TenantDocument,
    Week,
)

TENANT = "demo"
SALES, SUPPORT, BILLING = "sales", "support", "billing"
FIRST_LINE = "+27870000001"
"""Writes to this number reach sales, or support when they ask for help."""
BILLING_LINE = "+27870000002"
ACCOUNTS: Mapping[str, str] = MappingProxyType({"1001": FIRST_LINE, "1002": BILLING_LINE})
"""The provider's account of each number."""
SECRET_NAME, SECRET = "DEMO_WHATSAPP_TOKEN", "demo-token"
TEMPLATE, PAUSED_TEMPLATE = "still_with_you", "spring_sale"
SUPERVISOR = "grace"
LEASE_SECONDS, GRACE_SECONDS, MAX_WAIT_SECONDS, WRAP_UP_SECONDS = 3, 2, 4, 1
RELAX_SKILLS_SECONDS = 1

_SALES_PEOPLE = ("ada", "alan", "barbara", "bob", "chen", "dana", "edsger")
_SUPPORT_PEOPLE = ("emma", "frances", "guido", "hal", "ines", "jean", "ken")
_IN_BOTH = ("lin", "margaret")
_BILLING_PEOPLE = ("niklaus", "olga", "peter", "radia")
AGENTS = (*_SALES_PEOPLE, *_SUPPORT_PEOPLE, *_IN_BOTH, *_BILLING_PEOPLE)
_OPENS_ACCOUNTS = frozenset({"emma", "hal", "margaret"})
"""Who can do what some customers of support ask for: too few, at times."""
ON_THE_FLOOR = (*_SALES_PEOPLE, *_SUPPORT_PEOPLE, *_IN_BOTH)
"""Those whose departments are open."""


def capacity_of(agent: str) -> int:
    """Return how many chats an agent may hold: small, so that queues form."""
    return 2 + AGENTS.index(agent) % 2


def departments_of(agent: str) -> tuple[str, ...]:
    """Return an agent's departments."""
    if agent in _IN_BOTH:
        return (SALES, SUPPORT)
    if agent in _SALES_PEOPLE:
        return (SALES,)
    return (SUPPORT,) if agent in _SUPPORT_PEOPLE else (BILLING,)


def documents(provider_url: str, now: datetime) -> list[DirectoryDocument]:
    """Return the whole directory. Billing keeps office hours in a place where it is night now."""
    return [
        TenantDocument(
            id=TENANT,
            revision=0,
            name="Demo Contact Centre",
            first_line_department=SALES,
            lease_seconds=LEASE_SECONDS,
            grace_seconds=GRACE_SECONDS,
        ),
        _department(SALES, None),
        _department(SUPPORT, None),
        _department(BILLING, "office-hours"),
        _closed_calendar(now),
        *(
            AgentDocument(
                id=agent,
                revision=0,
                name=agent.title(),
                departments=departments_of(agent),
                capacity=capacity_of(agent),
                skills=("accounts",) if agent in _OPENS_ACCOUNTS else (),
            )
            for agent in AGENTS
        ),
        AgentDocument(id=SUPERVISOR, revision=0, name="Grace", capacity=1, roles=("supervisor",)),
        *(
            ChannelDocument(
                id=f"whatsapp-{account}",
                revision=0,
                channel="whatsapp",
                provider="whatsapp_cloud",
                business_address=address,
                base_url=provider_url,
                provider_account=account,
                secret_ref=SECRET_NAME,
            )
            for account, address in ACCOUNTS.items()
        ),
        _template(TEMPLATE, "approved"),
        _template(PAUSED_TEMPLATE, "paused"),
        RoutingRulesDocument(
            id="rules",
            revision=0,
            rules=(
                RoutingRule(department=BILLING, business_address=BILLING_LINE),
                RoutingRule(department=SUPPORT, keyword="account", skills=("accounts",)),
                RoutingRule(department=SUPPORT, keyword="help"),
            ),
        ),
    ]


def _department(name: str, calendar: str | None) -> DepartmentDocument:
    return DepartmentDocument(
        id=name,
        revision=0,
        name=name.title(),
        calendar=calendar,
        max_wait_seconds=MAX_WAIT_SECONDS,
        wrap_up_seconds=WRAP_UP_SECONDS if name == SUPPORT else 0,
        relax_skills_seconds=RELAX_SKILLS_SECONDS,
    )


def _template(name: str, state: str) -> TemplateDocument:
    return TemplateDocument(
        id=name, revision=0, name=name, language="en", category="utility", state=state, parameters=0
    )


def _closed_calendar(now: datetime) -> CalendarDocument:
    """Return office hours, nine to five, in a time zone where it is about three in the morning."""
    offset = (3 - now.hour) % 24
    ahead = offset if offset <= 12 else offset - 24  # noqa: PLR2004 - half a day either way
    # POSIX writes zones east of Greenwich with a minus.
    zone = "Etc/GMT" if ahead == 0 else f"Etc/GMT{'-' if ahead > 0 else '+'}{abs(ahead)}"
    hours = (Interval(from_="09:00", to="17:00"),)
    week = Week(mon=hours, tue=hours, wed=hours, thu=hours, fri=hours)
    return CalendarDocument(id="office-hours", revision=0, time_zone=zone, week=week)
