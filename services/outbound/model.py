"""What outbound knows: sends, the window ledger of each pair, senders, and what a provider answered."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from shared.contracts.content import Content
from shared.contracts.event import Cause
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair


class SendState(StrEnum):
    """Where a send stands. QUEUED and SENDING are ours alone; all others are published."""

    QUEUED = "queued"
    SENDING = "sending"
    HELD = "held"
    IN_DOUBT = "in_doubt"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Rules:
    """The times and limits that decisions go by; wiring fills them from the settings."""

    window_margin: timedelta = timedelta(seconds=10)
    """The window counts as closed this long before its 24 hours are over (docs/channels.md, 3)."""
    hearing_patience: timedelta = timedelta(seconds=30)
    """How long a send may wait for inbound to be read before it is refused."""
    in_doubt_hold: timedelta = timedelta(seconds=30)
    """How long a message in doubt holds back the later ones of its pair."""
    in_doubt_settle: timedelta = timedelta(minutes=3)
    """After this long without a receipt a message in doubt becomes unknown."""
    lease: timedelta = timedelta(seconds=30)
    """How long one process may take from the claim to the stored outcome."""
    call_deadline: timedelta = timedelta(seconds=10)
    """The longest a provider call may take, connecting included."""
    rate_per_second: float = 80.0
    """The most messages one sender may send in any second (docs/channels.md, 1)."""
    restored_at: datetime | None = None
    """Nothing requested before this is sent any more: the database was restored, and may not know of it."""
    calls_per_sender: int = 100
    """The most calls one process has open at one sender, so that a hanging one starves nobody else."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What we know of a pair's contact window.

    ``last_inbound_at`` (T) is the greatest time at which the customer wrote or called; it never goes
    down. ``disproved_at`` is the T up to which a provider told us that the window is closed after all.
    """

    last_inbound_at: datetime | None = None
    disproved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PairState:
    """One pair's row: its ledger, what readers were told of it, and when its next turn is.

    ``told_expires_at`` None means that readers hold the window closed. ``next_turn_at`` None means
    that nothing waits; a time means that somebody looks at the pair then, and nobody before.
    """

    pair: Pair
    ledger: Ledger = Ledger()
    told_expires_at: datetime | None = None
    version: int = 0
    echoed_version: int = 0
    next_turn_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """One send request and what became of it so far."""

    pair: Pair
    request: MessageSend
    cause: Cause
    arrived_at: datetime
    state: SendState = SendState.QUEUED
    attempt: int = 0
    not_before: datetime | None = None
    lease_until: datetime | None = None
    judged_by: datetime | None = None
    """T of the ledger by which the running attempt was allowed."""
    in_doubt_since: datetime | None = None
    provider: str | None = None
    provider_message_id: str | None = None
    reason: str | None = None
    provider_code: str | None = None
    provider_detail: str | None = None
    retry_not_before: datetime | None = None
    fallback: bool = False
    """The running or last attempt was made with the request's fallback template."""

    @property
    def ref(self) -> "SendRef":
        """What identifies the request."""
        return SendRef(self.pair.tenant_id, self.request.request_id)


@dataclass(frozen=True, slots=True, order=True)
class SendRef:
    """A request id is unique within its tenant."""

    tenant_id: str
    request_id: str

    @property
    def correlation_id(self) -> str:
        """What a provider gives back with its receipts: ``tenant|request_id``."""
        return f"{self.tenant_id}|{self.request_id}"


@dataclass(frozen=True, slots=True, order=True)
class SenderKey:
    """A business address of a tenant on a channel."""

    tenant_id: str
    channel: str
    business_address: str

    @classmethod
    def of(cls, pair: Pair) -> "SenderKey":
        """Name the sender of a pair."""
        return cls(pair.tenant_id, pair.channel, pair.business_address)


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender's pace and standing. ``next_slot_at`` is when its next message is in the rate."""

    key: SenderKey
    next_slot_at: datetime | None = None
    slowed_until: datetime | None = None
    halted_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The channel document of a business address: which provider carries it, under which account."""

    key: SenderKey
    provider: str
    base_url: str | None
    provider_account: str | None
    secret_ref: str


@dataclass(frozen=True, slots=True)
class ChannelFact:
    """A channel document: its line, and whether it is retired."""

    id: str
    line: Line
    retired: bool = False


@dataclass(frozen=True, slots=True)
class TemplateFact:
    """A template document; ``provider_state`` is what its provider said since its last revision."""

    name: str
    language: str
    state: str
    parameters: int
    provider_state: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of what others say the ledger and our copies of documents know.

    Every word of customers up to ``read_up_to`` was read (None: nobody knows), and nothing received
    since ``complete_since`` is missing (None: nothing ever was). Documents, and providers' words on
    them, were read up to ``documents_up_to``. ``listening_since`` is when this process began, or could
    go on, to read: nobody's patience runs out while nobody reads.
    """

    read_up_to: datetime | None = None
    complete_since: datetime | None = None
    listening_since: datetime | None = None
    documents_up_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What is put before a provider: ``content`` is the request's or its fallback template."""

    send: Send
    line: Line
    content: Content


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the message and gave it an id."""

    provider_message_id: str


class DeclineClass(StrEnum):
    """What follows from a provider's no (docs/channels.md, 4)."""

    RETRY = "retry"
    RETRY_PAIR = "retry_pair"
    SLOW_SENDER = "slow_sender"
    HALT_SENDER = "halt_sender"
    PERMANENT = "permanent"
    NOT_BEFORE_A_DAY = "not_before_a_day"
    TEMPLATE = "template"
    WINDOW_CLOSED = "window_closed"


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider said no, or could not be reached at all: the message surely is not on its way."""

    decline: DeclineClass
    reason: str
    code: str | None = None
    detail: str | None = None
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The request may have reached the provider; no answer says whether."""

    cause: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing was written: a last look before the call found that it may not go now."""

    cause: str


CallOutcome: TypeAlias = Accepted | Declined | InDoubt | NotSent
