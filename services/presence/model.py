"""The nouns of presence: an agent, their sessions, what a signal asks, what was decided."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

from shared.contracts.actors import Actor
from shared.contracts.agents import AgentState
from shared.contracts.event import Cause, Event, Model

DeclaredState: TypeAlias = Literal["online", "away"]
ALWAYS = datetime.min.replace(tzinfo=UTC)
ChangeCause: TypeAlias = Literal["signed_in", "returned", "state_set", "signed_out", "lost", "idle", "active"]
IDLE = "idle"
"""The reason shown for whoever is away because no input came from them."""


REMEMBERED = timedelta(days=8)
"""How long a signed-out session is remembered after it was last heard of: as long as repeats are recognised
at all. A signal that is older says nothing any more."""


class AgentKey(NamedTuple):
    """One agent of one tenant; a tuple, for thousands are sorted and looked up in every batch."""

    tenant_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tenant's document says about presence. Without ``away_reasons`` any reason may be given."""

    lease_seconds: int = 60
    grace_seconds: int = 60
    idle_seconds: int = 900
    away_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What an agent said of themselves, or a supervisor of them. It lasts until they sign out."""

    state: DeclaredState = "online"
    reason: str | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Agent:
    """What we hold of an agent. Version 0 means that nothing was ever said about them."""

    key: AgentKey
    state: AgentState = "offline"
    reason: str | None = None
    declared: Declared | None = None
    """None for whoever signed out: the next session starts afresh."""
    idle: bool = False
    """Whether no input came for as long as the tenant allows; shown while they are declared online."""
    grace_until: datetime | None = None
    """Set while the agent is lost: no session has a lease, and offline is not said yet."""
    lease_seconds: int = 60
    """The longest lease that was granted when a session came in."""
    version: int = 0
    echoed_version: int = 0
    """The greatest version read back from our own topic."""
    cause: ChangeCause | None = None
    by: Actor | None = None
    """Who changed the state, where somebody did."""
    since: datetime | None = None
    changed_at: datetime | None = None
    because: Cause | None = None
    """With ``changed_at``, all it takes to say the current state again as the very same event."""

    @property
    def is_lost(self) -> bool:
        """Whether a grace is running."""
        return self.grace_until is not None

    @property
    def draining(self) -> bool:
        """Whether the agent finishes their work and takes no more."""
        return self.declared is not None and self.declared.draining


@dataclass(frozen=True, slots=True)
class Live:
    """A session with an unexpired lease."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A session without one, that may return."""

    over_at: datetime
    """When its last lease was over, or will be where that cannot be told yet."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that was signed out, for good."""


Session: TypeAlias = Live | Silent | Ended


@dataclass(frozen=True, slots=True)
class Leased:
    """What Redis knows of one agent's sessions."""

    age: timedelta
    """How long leases have been held there without having been lost."""
    left: Mapping[str, timedelta] = field(default_factory=dict)
    """What is left of each session's lease; negative for one that is over."""
    quiet: timedelta | None = None
    """How long ago the newest input was, of any session; None where none is known."""
    rests: bool = False
    """Whether only new input is worth asking the agent's row for: it is idle there."""

    @property
    def anybody_lives(self) -> bool:
        """Whether a lease still runs."""
        return any(left > timedelta() for left in self.left.values())

    def ended_within(self, span: timedelta) -> bool:
        """Say whether the longest lease is over, but not for longer than this."""
        return bool(self.left) and timedelta() >= max(self.left.values()) > -span


@dataclass(frozen=True, slots=True)
class Facts:
    """What PostgreSQL and Redis hold of an agent, read under the agent's lock."""

    agent: Agent
    leased: Leased
    open: AbstractSet[str] = frozenset()
    ended: AbstractSet[str] = frozenset()
    """Of the sessions that matter now, those that were signed out."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An agent with their sessions, as far as they can be judged."""

    agent: Agent
    sessions: Mapping[str, Session] = field(default_factory=dict)
    renewals: Mapping[str, int] = field(default_factory=dict)
    """Leases to grant, in seconds, by session."""
    judged_from: datetime = ALWAYS
    """When absence may be judged: not before everybody had a lease's time to be heard."""
    last_input: datetime | None = None
    """The newest input of any session, as far as it is known."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session opens. What it declares counts only if the agent had signed out before."""

    session_id: str
    declared: Declared = Declared()
    lease_seconds: int | None = None
    quiet: timedelta | None = None


class Beat(NamedTuple):
    """A session lives. ``quiet`` is how long before it the last input was, if the session tells."""

    session_id: str
    lease_seconds: int | None = None
    quiet: timedelta | None = None


class Renewal(NamedTuple):
    """What a heartbeat asks for: a lease, in seconds, and to be watched for input, if the session tells."""

    key: AgentKey
    session_id: str
    lease_seconds: int
    idle_seconds: int = 900
    quiet: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Declare:
    """A state is declared; None leaves as it is.

    ``session_id`` is the agent's own session, and a sign that it lives.
    """

    session_id: str | None = None
    state: DeclaredState | None = None
    reason: str | None = None
    draining: bool | None = None
    own: bool = False
    """Whether the agent says it of themselves: then they are not idle."""


@dataclass(frozen=True, slots=True)
class SignOut:
    """A session ends for good; without ``session_id`` all that are open."""

    session_id: str | None = None
    reason: str | None = None


Act: TypeAlias = SignIn | Beat | Declare | SignOut


class Signal(NamedTuple):
    """One thing said about an agent, and the event that said it."""

    key: AgentKey
    act: Act
    event: Event[Model]
    by: Actor | None = None
    """None is the agent's own word."""

    @property
    def because(self) -> Cause:
        """Name the event as a cause; most heartbeats cause nothing, so it is made when asked for."""
        return self.event.as_cause()


@dataclass(frozen=True, slots=True)
class TenantRevised:
    """A tenant's document."""

    tenant_id: str
    revision: int
    terms: Terms


@dataclass(frozen=True, slots=True)
class AgentRevised:
    """An agent's document: they are in the directory, if only until they are gone."""

    key: AgentKey
    revision: int
    retired: bool


@dataclass(frozen=True, slots=True)
class Echo:
    """A state of an agent that we read back from our own topic."""

    key: AgentKey
    version: int


Heard: TypeAlias = Signal | TenantRevised | AgentRevised | Echo


@dataclass(frozen=True, slots=True)
class Announced:
    """The agent's state changed: people are told."""

    standing: Standing
    event: Event[Model]


@dataclass(frozen=True, slots=True)
class Noted:
    """Something changed that nobody needs to hear."""

    standing: Standing


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing follows."""

    why: Literal["session_ended", "too_old", "agent_offline", "not_lost", "already_lost"]


Verdict: TypeAlias = Announced | Noted | Ignored


@dataclass(frozen=True, slots=True)
class Change:
    """An agent before and after what was heard, with the events on the way."""

    before: Standing
    after: Standing
    events: tuple[Event[Model], ...] = ()


@dataclass(frozen=True, slots=True)
class Contact:
    """Since when signals have been read as they came, and when that was last looked at."""

    steady_since: datetime | None = None
    listened_at: datetime | None = None
    read_up_to: datetime | None = None
