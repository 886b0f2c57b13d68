"""``directory.v1``: the documents people edit about a tenant, whole, with a ``revision``."""

import datetime as dt
from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field

from shared.contracts.event import Model
from shared.contracts.fields import (
    WALL_TIME,
    Address,
    Channel,
    Count,
    Flag,
    Id,
    Line,
    Name,
    Seconds,
    Skill,
    Url,
    Word,
)


class DirectoryDocument(Model):
    """What every document carries. A retired one is going; ``move_to`` takes over what it held."""

    id: Id
    revision: Count
    retired: Flag = False
    move_to: Id | None = None


class TenantDocument(DirectoryDocument):
    """A tenant's settings. ``calendar`` is for departments that name none.

    Without input for ``idle_seconds`` an agent is away, ``idle``. Where ``away_reasons`` are listed, people
    give one of them or none.
    """

    name: Name
    first_line_department: Id
    calendar: Id | None = None
    lease_seconds: Annotated[int, Field(strict=True, ge=1, le=3600)] = 60
    grace_seconds: Annotated[int, Field(strict=True, ge=1, le=600)] = 60
    idle_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 900
    away_reasons: Annotated[tuple[Word, ...], Field(max_length=100)] = ()


class DepartmentDocument(DirectoryDocument):
    """A named group of agents. ``max_wait_seconds`` counts from each entry into its queue.

    ``answer_timeout_seconds`` is how long an agent may leave a customer without an answer.
    ``inactivity_timeout_seconds`` counts from our last word; a customer silent for so long loses the chat.
    ``pending_timeout_seconds`` is how long a chat stays parked whose agent names no end.
    Whoever writes again within ``last_agent_seconds`` of a chat's end goes to the same agent if they are
    available; 0 leaves that to the 15 minutes of a continuation.
    In ``mode`` ``offer`` members are asked, each for ``offer_seconds``, before they get a chat. An agent's
    transfer into the department returns after ``transfer_seconds`` without an answer.
    Where it is ``take_allowed``, they may take any chat that waits.
    The slot of a chat that ends stays held for its agent for ``wrap_up_seconds``.
    For ``relax_skills_seconds`` from each entry into its queue a chat waits for somebody with its skills.
    """

    name: Name
    calendar: Id | None = None
    strategy: Literal["least_loaded", "round_robin", "longest_idle"] = "least_loaded"
    max_wait_seconds: Seconds = 900
    answer_timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=31_622_400)] = 600
    inactivity_timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=31_622_400)] = 14_400
    pending_timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=2_592_000)] = 86_400
    when_full: Literal["queue", "ticket"] = "queue"
    fallback: Id | None = None
    last_agent_seconds: Seconds = 86400
    mode: Literal["push", "offer"] = "push"
    offer_seconds: Annotated[int, Field(strict=True, ge=1, le=3600)] = 60
    transfer_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 1200
    take_allowed: Flag = False
    wrap_up_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = 0
    relax_skills_seconds: Seconds = 60


class AgentDocument(DirectoryDocument):
    """A person: their departments, roles, skills, and how many chats they may hold at once."""

    name: Name
    departments: tuple[Id, ...] = ()
    capacity: Annotated[int, Field(strict=True, ge=1, le=100)]
    roles: tuple[Literal["agent", "supervisor", "admin"], ...] = ("agent",)
    skills: Annotated[tuple[Skill, ...], Field(max_length=100)] = ()


WallTime: TypeAlias = Annotated[str, Field(pattern=WALL_TIME)]
"""``HH:MM`` on the clock of the calendar's time zone."""


class Interval(Model):
    """Open from ``from`` to ``to``; an end not after the start is on the next day."""

    model_config = ConfigDict(populate_by_name=True)

    from_: WallTime = Field(alias="from")
    to: WallTime


class Week(Model):
    """The ordinary hours of each weekday; none is closed."""

    mon: tuple[Interval, ...] = ()
    tue: tuple[Interval, ...] = ()
    wed: tuple[Interval, ...] = ()
    thu: tuple[Interval, ...] = ()
    fri: tuple[Interval, ...] = ()
    sat: tuple[Interval, ...] = ()
    sun: tuple[Interval, ...] = ()


class CalendarException(Model):
    """The hours of one date instead of the week's; none is closed all day."""

    date: dt.date
    intervals: tuple[Interval, ...] = ()


class CalendarDocument(DirectoryDocument):
    """Business hours in an IANA time zone."""

    time_zone: Name
    week: Week
    exceptions: tuple[CalendarException, ...] = ()


class ChannelDocument(DirectoryDocument):
    """One business address at one provider. ``secret_ref`` names the secret, it never is the secret."""

    channel: Channel
    provider: Word
    business_address: Address
    base_url: Url | None = None
    provider_account: Id | None = None
    secret_ref: Name


class TemplateDocument(DirectoryDocument):
    """A template as the provider approved it. ``parameters`` is how many its body takes."""

    name: Name
    language: Word
    category: Word
    state: Word
    parameters: Count = 0


class RoutingRule(Model):
    """Messages that match every field given go to ``department``; their chats ask for ``skills``."""

    department: Id
    channel: Channel | None = None
    business_address: Address | None = None
    keyword: Line | None = None
    language: Word | None = None
    hint: Id | None = None
    skills: Annotated[tuple[Skill, ...], Field(max_length=20)] = ()


class RoutingRulesDocument(DirectoryDocument):
    """The tenant's rules in order; the first that matches decides."""

    rules: tuple[RoutingRule, ...] = ()
