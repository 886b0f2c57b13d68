"""What routing knows: chats, agents, departments, calendars and rules, as they are at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal, Self
from urllib.parse import quote, unquote

from shared.contracts.actors import Actor
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.pair import Pair, canonical_address
from shared.platform.outcome import Outcome

LOOK_AT = 200
"""Chats one sweep looks at; it stays due while any are left."""

EVERYBODY = 1_000_000
"""More candidates than a department has."""

Key = tuple[str, str]
"""(tenant id, id): how agents, departments, calendars and chats are named within routing."""


Strategy = Literal["least_loaded", "round_robin", "longest_idle"]
"""How a department chooses among its available members."""


def due_name(key: Key) -> str:
    """Return the name of a due row about a key; a tenant's id may hold a colon itself."""
    return f"{quote(key[0], safe='')}:{key[1]}"


def due_key(name: str) -> Key:
    """Read a due row's name back."""
    tenant_id, _, rest = name.partition(":")
    return (unquote(tenant_id), rest)


class State(StrEnum):
    """The states of a chat (docs/rules.md, 1)."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    PENDING = "pending"
    DIVERTED = "diverted"
    CLOSED = "closed"


PARTED = "\x1f"
"""Parts ids in one text; no id holds it."""
KEPT = 50
"""Messages of ours since the customer's last that a chat remembers, in case they fail."""
LIVE = frozenset({State.QUEUED, State.ASSIGNED, State.PENDING})


class Changeable:
    """A frozen value of which a batch makes several a message, for which `dataclasses.replace` is slow."""

    def but(self, **changes: Any) -> Self:
        """Return the same with these fields changed. Raises TypeError for a field that is none."""
        values = self.__dict__ | changes
        if len(values) != len(self.__dict__):
            raise TypeError(f"{type(self).__name__} has no {sorted(changes.keys() - self.__dict__.keys())}")
        other = object.__new__(type(self))
        object.__setattr__(other, "__dict__", values)
        return other


@dataclass(frozen=True, slots=True)
class Offer:
    """A chat held out to an agent, who has a slot taken for it; ``department_id`` is where it is to go.

    ``assign`` is a department's own to a member, ``transfer`` an agent's to another.
    """

    kind: Literal["assign", "transfer"]
    to: str
    by: Actor
    expires_at: datetime
    department_id: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A message of ours that is on its way or there, as far as we know."""

    request_id: str
    at: datetime


@dataclass(frozen=True)
class Chat(Changeable):
    """One conversation. ``customer_address`` is raw, the one that is replied to."""

    tenant_id: str
    chat_id: str
    pair: Pair
    business_address: str
    customer_address: str
    customer_id: str
    state: State
    opened_at: datetime
    version: int = 0
    assignment_version: int = 0
    department_id: str | None = None
    agent_id: str | None = None
    previous_agent_id: str | None = None
    ticket_id: str | None = None
    priority: int = 0
    opened_by: str = "customer"
    last_inbound_at: datetime | None = None
    waiting_since: datetime | None = None
    """Arrival: it orders the queue, and a chat keeps it for when it has to wait again."""
    queued_at: datetime | None = None
    """Entry into the queue: ``max_wait`` counts from it."""
    last_word: str = "none"
    owes_since: datetime | None = None
    """From when the agent owes an answer while the last word is the customer's: their first message since
    ours, or when the agent got the chat, or the end of what had exempted it."""
    were_silent: str = ""
    """Ids of agents who let the customer wait too long since our last word, parted by `PARTED`."""
    silent_since: datetime | None = None
    """From when the customer's silence counts while the last word is ours: our last reply, or the end of
    what had exempted the chat."""
    said: tuple[Said, ...] = ()
    """Our messages since the customer's last, the newest `KEPT` of them, without those that failed."""
    flagged: bool = False
    """No timer moves or closes it."""
    pending_until: datetime | None = None
    """When a parked chat goes on by itself; its agent holds no slot for it until then."""
    offer: Offer | None = None
    """To whom it is held out: by its agent, whose it is until that is accepted, or out of the queue."""
    passed_by: str = ""
    """Ids of members who did not accept it since it began to wait, parted by `PARTED`."""
    wrap_up_until: datetime | None = None
    """How long the slot of a chat that ended is held for who had it last; None when it is free."""
    skills: str = ""
    """Those it asks for, sorted, parted by `PARTED`."""
    skills_relaxed: bool = False
    """Whether it waits for anybody by now; of a chat that does not wait this says nothing."""

    def after(self, **changes: Any) -> Self:
        """Return the chat's next version, with these fields changed."""
        return self.but(version=self.version + 1, **changes)

    @property
    def key(self) -> Key:
        """The chat's key."""
        return (self.tenant_id, self.chat_id)

    @property
    def department(self) -> Key | None:
        """The key of the chat's department."""
        return None if self.department_id is None else (self.tenant_id, self.department_id)

    @property
    def agent(self) -> Key | None:
        """The key of the agent who holds the chat."""
        return None if self.agent_id is None else (self.tenant_id, self.agent_id)

    @property
    def receiver(self) -> Key | None:
        """The key of the agent whom the chat is offered to."""
        return None if self.offer is None else (self.tenant_id, self.offer.to)

    @property
    def wrapped_up_by(self) -> Key | None:
        """The key of the agent who has a slot held after the chat's end."""
        agent_id = self.previous_agent_id
        return None if self.wrap_up_until is None or agent_id is None else (self.tenant_id, agent_id)


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a pair's last chat, and who had it last, if anybody; they may be ``wrapping_up``."""

    chat_id: str
    agent_id: str | None
    at: datetime
    wrapping_up: bool = False


@dataclass(frozen=True)
class Agent(Changeable):
    """A person who takes chats: what the directory says, what presence says, and their load here."""

    tenant_id: str
    agent_id: str
    capacity: int = 0
    departments: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset({"agent"})
    """None for somebody who is retired: they keep what they hold and get nothing new."""
    skills: frozenset[str] = frozenset()
    state: str = "offline"
    draining: bool = False
    presence_version: int = 0
    revision: int = 0
    load: int = 0
    misses: int = 0
    """Offers of departments in a row that they left unanswered."""
    last_assigned_at: datetime | None = None

    @property
    def key(self) -> Key:
        """The agent's key."""
        return (self.tenant_id, self.agent_id)

    def takes_chats_of(self, department: Key) -> bool:
        """Whether the agent is a member of the department who takes chats; a supervisor alone does not."""
        return self.tenant_id == department[0] and department[1] in self.departments and "agent" in self.roles

    @property
    def working(self) -> bool:
        """Online and not finishing up: somebody a customer may wait for."""
        return self.state == "online" and not self.draining


@dataclass(frozen=True, slots=True)
class Others:
    """A department's members whom a batch did not read, as they were just before the others were locked."""

    counts: Mapping[str, int] = field(default_factory=dict)
    """How many there are of each verdict."""
    best: Agent | None = None
    """Who of them would get a chat first, if anybody could: no more than what ranks them."""
    last_assigned_at: datetime | None = None
    """When one of them got a chat last."""
    skilled: Mapping[str, "Others"] = field(default_factory=dict)
    """The same of them for chats that ask for skills (parted by `PARTED`), by those."""


@dataclass(frozen=True, slots=True)
class Department:
    """A named group of agents; ``calendar_id`` is its own or the tenant's, None is always open."""

    tenant_id: str
    department_id: str
    calendar_id: str | None = None
    max_wait: timedelta = timedelta(minutes=15)
    when_full: str = "queue"
    answer_timeout: timedelta = timedelta(minutes=10)
    inactivity_timeout: timedelta = timedelta(hours=4)
    pending_timeout: timedelta = timedelta(hours=24)
    strategy: Strategy = "least_loaded"
    mode: Literal["push", "offer"] = "push"
    offer_timeout: timedelta = timedelta(seconds=60)
    transfer_timeout: timedelta = timedelta(minutes=20)
    take_allowed: bool = False
    fallback_id: str | None = None
    last_agent_within: timedelta = timedelta(hours=24)
    wrap_up: timedelta = timedelta(0)
    relax_skills_after: timedelta = timedelta(seconds=60)
    revision: int = 0

    @property
    def key(self) -> Key:
        """The department's key."""
        return (self.tenant_id, self.department_id)


@dataclass(frozen=True, slots=True)
class Hours:
    """Open from ``start`` to ``end`` by the wall clock; an end not after the start is on the next day."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Calendar:
    """Business hours: a week (Monday first) and the dates that differ from it."""

    time_zone: str
    week: tuple[tuple[Hours, ...], ...]
    exceptions: tuple[tuple[date, tuple[Hours, ...]], ...] = ()
    revision: int = 0
    by_date: Mapping[date, tuple[Hours, ...]] = field(init=False, repr=False, compare=False)
    """The exceptions, in the order of their dates."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_date", dict(sorted(self.exceptions, key=itemgetter(0))))


@dataclass(frozen=True, slots=True)
class Rule:
    """Messages that match every field given go to ``department_id``, and ask for ``skills``."""

    department_id: str
    channel: str | None = None
    business_address: str | None = None
    keyword: str | None = None
    language: str | None = None
    hint: str | None = None
    skills: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tenant:
    """Where a tenant's messages go unless a rule says otherwise."""

    tenant_id: str
    first_line_department: str
    calendar_id: str | None = None
    rules: tuple[Rule, ...] = ()
    rules_revisions: Mapping[str, int] = field(default_factory=dict)
    """By document that the rules are from."""
    revision: int = 0

    @cached_property
    def rules_by_values(self) -> Mapping[tuple[str | None, ...], Sequence[tuple[int, Rule]]]:
        """The rules with their places, by channel, canonical address, language and hint (None: not named)."""
        found: dict[tuple[str | None, ...], list[tuple[int, Rule]]] = {}
        for place, rule in enumerate(self.rules):
            address = canonical_address(rule.business_address) if rule.business_address else None
            values = (rule.channel, address, rule.language, rule.hint)
            found.setdefault(values, []).append((place, rule))
        return found

    @cached_property
    def named_by_rules(self) -> Sequence[tuple[bool, ...]]:
        """Which of the values rules name together, each combination once."""
        return sorted({tuple(value is not None for value in values) for values in self.rules_by_values})


@dataclass(frozen=True, slots=True)
class Documents:
    """One tenant's directory as routing keeps it; a document that was named but never heard is absent."""

    tenant: Tenant | None = None
    departments: dict[str, Department] = field(default_factory=dict)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)
    """Retired departments, each with the department that takes over what it held."""

    def current(self, department: Key | None) -> Key | None:
        """Return the department that a department's chats belong to now: itself, unless it is retired."""
        if department is None or not self.moves:
            return department
        return (department[0], self.moves.get(department[1], department[1]))


NOTHING_KNOWN = Documents()
"""Of a tenant whose directory never came."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Somebody asked that what an agent holds goes to others."""

    tenant_id: str
    hand_over_id: str
    command_id: str
    """The id of the event that asked for it; another publisher's may have the same."""
    agent_id: str
    by: Actor
    to_department_id: str | None = None
    to_agent_id: str | None = None
    note: str | None = None

    @property
    def key(self) -> Key:
        """The hand-over's key."""
        return (self.tenant_id, self.hand_over_id)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a batch decides on, read under its locks.

    Chats are the open ones of the locked pairs, and those that were asked for by id. ``locked`` names
    the departments that chats may be placed into: their members' rows are locked and in ``agents``, all
    or as many of the best as may be chosen; of the rest ``others`` tells.
    ``queues`` and ``held`` are what sweeps found to look at, in the order to look at it.
    """

    directory: dict[str, Documents] = field(default_factory=dict)
    chats: dict[Key, Chat] = field(default_factory=dict)
    agents: dict[Key, Agent] = field(default_factory=dict)
    locked: frozenset[Key] = frozenset()
    others: Mapping[Key, Others] = field(default_factory=dict)
    queue_lengths: dict[Key, int] = field(default_factory=dict)
    turns: dict[Key, str] = field(default_factory=dict)
    """Per locked department whom ``round_robin`` chose last."""
    closings: dict[str, Closing] = field(default_factory=dict)
    """Per locked pair the end of its last chat."""
    queues: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    takeable: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """What waits in departments and somebody could take, but for those who ask for skills in vain."""
    held: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    left: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """What waits in retired departments, queued or as a ticket."""
    offered: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """What is offered to agents who may no longer take it."""
    offered_into: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """What is offered into retired departments."""
    entered: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """What waits in departments whose limit changed, who entered the queue first before the others."""
    hand_overs: dict[Key, HandOver] = field(default_factory=dict)
    handed_over: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """Per hand-over what it has yet to move."""


@dataclass(slots=True)
class Needs:
    """What to lock and read. ``states_change`` asks for the strongest lock on agents' rows."""

    tenants: set[str] = field(default_factory=set)
    pairs: set[str] = field(default_factory=set)
    chats: set[Key] = field(default_factory=set)
    agents: set[Key] = field(default_factory=set)
    introduced: set[Key] = field(default_factory=set)
    """Agents that presence or the directory speak of: these get rows, whoever else is named does not."""
    assigned_by_hand: set[Key] = field(default_factory=set)
    asked_for: set[Key] = field(default_factory=set)
    """Chats that agents want for themselves: taken, or accepted."""
    going_on: set[Key] = field(default_factory=set)
    """Chats that a timer may bring back: placed afresh if their agent is gone."""
    departments: set[Key] = field(default_factory=set)
    named_departments: set[Key] = field(default_factory=set)
    """Departments that people name: a refusal lists who is available there."""
    messages: list[tuple[str, str, MessageReceived]] = field(default_factory=list)
    ending: set[Key] = field(default_factory=set)
    ending_pairs: set[str] = field(default_factory=set)
    """Chats that may end in this batch, and pairs whose chat may: their next message opens another."""
    queues: set[Key] = field(default_factory=set)
    takeable: set[Key] = field(default_factory=set)
    skilled: dict[Key, dict[str, int]] = field(default_factory=dict)
    """By department and the skills that chats ask for there, how many candidates to read who have them."""
    held: set[Key] = field(default_factory=set)
    left: set[Key] = field(default_factory=set)
    receivers: set[Key] = field(default_factory=set)
    entered: set[Key] = field(default_factory=set)
    hand_overs: set[Key] = field(default_factory=set)
    states_change: bool = False
    loads_change: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What a fold changed, to be saved, and what it wants done."""

    chats: tuple[Chat, ...]
    agents: tuple[Agent, ...]
    outcome: Outcome
    opened: frozenset[Key] = frozenset()
    """Those of the chats that have no row yet."""
    turns: Mapping[Key, str] = field(default_factory=dict)
    hand_overs: Sequence[HandOver] = ()
    """What was asked to be handed over."""
    handed_over: Mapping[Key, tuple[Key, ...]] = field(default_factory=dict)
    """Per hand-over the chats that were looked at."""
    closings: Mapping[str, Closing] = field(default_factory=dict)
