"""The centre at one moment, frozen: computed from the scene alone, to be drawn or told in a line."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from ops.demo.figures import Latency, latency_of
from ops.demo.scene import Scene
from shared.contracts.chats import ChatFact
from shared.contracts.directory import AgentDocument, DepartmentDocument
from shared.platform.log import mask

Counts: TypeAlias = tuple[tuple[str, int], ...]
"""How many of each word, in the order in which they are shown."""

LATENCY_WINDOW = timedelta(seconds=10)
RATE_SECONDS = 40
"""Of how many seconds the messages are kept apart."""
CHAT_STATES = ("queued", "assigned", "pending", "diverted")
_DELIVERY_STATES = (
    *("accepted", "sent", "delivered", "read", "played"),
    *("failed", "refused", "held", "in_doubt", "unknown"),
)
_LONGEST_KEPT = 20
_HOLDING = frozenset({"assigned"})


@dataclass(frozen=True, slots=True)
class Moment:
    """What the topics do not tell: the time, the phase, what was written in each second, the lag in seconds.

    The lag of a service is how long ago all that was there for it had been read; None: not all of it yet.
    """

    now: datetime
    seconds: float
    duration: float
    phase: str
    written: Mapping[int, int]
    lags: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Department:
    """A department: who waits, for how long (seconds), and what its people have in hand."""

    name: str
    queued: int
    oldest_wait: float | None
    online: int
    people: int
    load: int
    capacity: int
    """Of those who are online and take more."""
    tickets: int
    opens_at: datetime | None
    """When it opens, if it is known to be closed."""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent. ``state`` is ``online``, ``draining``, ``away`` or ``offline``."""

    name: str
    departments: tuple[str, ...]
    state: str
    load: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A chat in a queue; its customer's address is masked."""

    customer: str
    department: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is shown."""

    moment: Moment
    messages: int
    rates: tuple[int, ...]
    """Messages in each of the last whole seconds, oldest first."""
    departments: tuple[Department, ...]
    agents: tuple[Agent, ...]
    chats: Counts
    open_tickets: Counts
    """By why their chats were diverted."""
    closed_tickets: Counts
    """By why they were closed."""
    deliveries: Counts
    refusals: tuple[tuple[str, str, int], ...]
    """What was refused, why, how often; the most frequent first."""
    latency: Latency | None
    """Of the last seconds, for chats that found an agent at once."""
    longest: tuple[Waiting, ...]
    """Who waits longest, longest first."""

    def chats_in(self, state: str) -> int:
        """Return how many chats are in a state."""
        return dict(self.chats)[state]

    @property
    def rate(self) -> int:
        """Messages in the last whole second."""
        return self.rates[-1] if self.rates else 0

    @property
    def lag(self) -> float | None:
        """The largest lag of all services; None while one has not read everything yet, or none was seen."""
        lags = [lag for lag in self.moment.lags.values() if lag is not None]
        return max(lags) if lags and len(lags) == len(self.moment.lags) else None


def paint(scene: Scene, moment: Moment) -> Picture:
    """Return the picture of a scene. The same scene and moment make the same picture."""
    queues = _queues(scene)
    loads = Counter(chat.agent_id for chat in scene.chats.values() if chat.state in _HOLDING)
    loads.update(scene.slots.values())
    agents = tuple(_agent(scene, person, loads[person.id]) for person in _floor(scene))
    since = moment.now - LATENCY_WINDOW
    return Picture(
        moment=moment,
        messages=sum(moment.written.values()),
        rates=_rates(moment),
        departments=tuple(
            _department(scene, one, queues.get(one.id, ()), agents, moment.now)
            for one in sorted(scene.departments.values(), key=lambda one: one.id)
        ),
        agents=agents,
        chats=(*((state, scene.of_state(state)) for state in CHAT_STATES), ("closed", scene.closed_chats)),
        open_tickets=_most_first(Counter(ticket.reason for ticket in scene.tickets.values())),
        closed_tickets=_most_first(scene.closed_tickets),
        deliveries=_in_order(_DELIVERY_STATES, Counter(scene.deliveries.values())),
        refusals=tuple(
            (one.of, one.reason, count)
            for one, count in sorted(
                scene.refusals.items(), key=lambda item: (-item[1], item[0].of, item[0].reason)
            )
        ),
        latency=latency_of([wait.seconds * 1000 for wait in scene.waits if wait.at > since]),
        longest=_longest(scene, queues, moment.now),
    )


def _queues(scene: Scene) -> dict[str, list[ChatFact]]:
    queues: dict[str, list[ChatFact]] = {}
    for chat in scene.chats.values():
        if chat.state == "queued":
            queues.setdefault(chat.department_id or "", []).append(chat)
    return queues


def _floor(scene: Scene) -> list[AgentDocument]:
    """Return those who may hold chats, by name."""
    people = (person for person in scene.people.values() if person.departments and not person.retired)
    return sorted(people, key=lambda person: person.id)


def _agent(scene: Scene, person: AgentDocument, load: int) -> Agent:
    known = scene.agents.get(person.id)
    state: str = "offline" if known is None else known.state
    if known is not None and state == "online" and known.draining:
        state = "draining"
    return Agent(person.name, person.departments, state, load, person.capacity)


def _department(
    scene: Scene, one: DepartmentDocument, queue: Iterable[ChatFact], agents: Iterable[Agent], now: datetime
) -> Department:
    people = [agent for agent in agents if one.id in agent.departments]
    present = [agent for agent in people if agent.state == "online"]
    waits = [_waited(chat, now) for chat in queue]
    opens_at = scene.opens_at.get(one.id)
    return Department(
        name=one.name,
        queued=len(waits),
        oldest_wait=max(waits, default=None),
        online=len(present),
        people=len(people),
        load=sum(agent.load for agent in present),
        capacity=sum(agent.capacity for agent in present),
        tickets=sum(ticket.department_id == one.id for ticket in scene.tickets.values()),
        opens_at=opens_at if opens_at is not None and opens_at > now else None,
    )


def _longest(scene: Scene, queues: Mapping[str, list[ChatFact]], now: datetime) -> tuple[Waiting, ...]:
    found = [
        Waiting(
            mask(chat.pair.customer_address),
            scene.departments[name].name if name in scene.departments else name,
            _waited(chat, now),
        )
        for name, queue in queues.items()
        for chat in queue
    ]
    return tuple(sorted(found, key=lambda one: (-one.seconds, one.customer))[:_LONGEST_KEPT])


def _waited(chat: ChatFact, now: datetime) -> float:
    return max(0.0, (now - (chat.waiting_since or now)).total_seconds())


def _rates(moment: Moment) -> tuple[int, ...]:
    """Return the messages of whole seconds, while customers write."""
    last = int(min(moment.seconds, moment.duration))
    return tuple(moment.written.get(second, 0) for second in range(max(0, last - RATE_SECONDS), last))


def _most_first(counted: Mapping[str, int]) -> Counts:
    return tuple(
        sorted(((word, count) for word, count in counted.items()), key=lambda one: (-one[1], one[0]))
    )


def _in_order(words: Iterable[str], counted: Mapping[str, int]) -> Counts:
    return tuple((word, counted[word]) for word in words if counted[word])
