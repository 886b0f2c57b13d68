"""``chats.v1``: what happened to each chat, told by routing."""

from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ReachOutFrom, ReplyTo
from shared.contracts.content import Content
from shared.contracts.event import Model
from shared.contracts.fields import Body, Count, Id, JsonObject, Priority, Time, Word
from shared.contracts.pairs import PairRef

ChatState: TypeAlias = Literal["queued", "assigned", "pending", "diverted", "closed"]
LastWord: TypeAlias = Literal["customer", "business", "none"]


class ChatFact(Model):
    """The chat after this change. ``version`` has no gaps; ``agent_load`` is the agent's after it.

    ``why`` is the record of a decision, from which it can be replayed (docs/rules.md, 3).
    """

    chat_id: Id
    version: Count
    assignment_version: Count
    state: ChatState
    pair: PairRef
    customer_id: Id
    department_id: Id | None = None
    agent_id: Id | None = None
    previous_agent_id: Id | None = None
    ticket_id: Id | None = None
    priority: Priority = 0
    opened_at: Time
    opened_by: Literal["customer", "outreach"]
    last_inbound_at: Time | None = None
    waiting_since: Time | None = None
    last_word: LastWord
    agent_load: Count | None = None
    why: JsonObject | None = None


class ChatOpened(ChatFact):
    """A new chat. It ``continues`` one of the pair that was closed up to 15 minutes before.

    ``skills`` are those it asks for, if any.
    """

    continues: Id | None = None
    skills: tuple[Word, ...] | None = None


class ChatMessageAdded(ChatFact):
    """A message is the chat's next. ``message_id`` is the provider's for inbound, ``request_id``'s else."""

    message_id: Id
    direction: Literal["inbound", "outbound"]
    author: Actor
    request_id: Id | None = None
    content: Content
    sent_at: Time
    received_at: Time


class ChatMessageChanged(ChatFact):
    """A message of the chat was edited (``content``), revoked, or its standing changed (``change``).

    ``failed``: ours did not arrive, so it is no word of ours; ``last_word`` is as if it had not been said.
    """

    message_id: Id
    change: Literal["edited", "revoked", "reacted", "failed"]
    content: Content | None = None


class ChatQueued(ChatFact):
    """The chat waits for an agent."""

    reason: Word | None = None


class ChatSkillsRelaxed(ChatFact):
    """Nobody with all the ``skills`` was free for long enough: while it waits now, anybody may have it."""

    skills: tuple[Word, ...]


class ChatAssigned(ChatFact):
    """The chat is ``agent_id``'s."""

    by: Actor | None = None
    reason: Word | None = None
    note: Body | None = None


class ChatOffered(ChatFact):
    """The chat is held out to an agent until ``expires_at``; ``agent_load`` is that agent's with its slot.

    With a ``to_department_id`` it goes there when it is accepted.
    """

    kind: Literal["assign", "transfer"]
    to: Id
    to_department_id: Id | None = None
    by: Actor | None = None
    note: Body | None = None
    expires_at: Time


class ChatOfferEnded(ChatFact):
    """An offer is over; ``agent_load`` is that of ``to``, from whom the slot went, or who accepted."""

    outcome: Word
    to: Id | None = None
    note: Body | None = None


class ChatTransferred(ChatFact):
    """The chat went from ``previous_agent_id`` to ``agent_id`` or a department."""

    by: Actor
    note: Body | None = None


class ChatRequeued(ChatFact):
    """The chat waits again, by its original arrival."""

    reason: Word


class ChatMoved(ChatFact):
    """The chat changed its department."""

    by: Actor | None = None
    previous_department_id: Id | None = None
    reason: Word | None = None
    note: Body | None = None


class ChatPrioritySet(ChatFact):
    """The chat's priority changed."""

    by: Actor


class ChatPendingMarked(ChatFact):
    """The agent parked the chat."""

    by: Actor
    reason: Literal["customer", "internal"]
    until: Time | None = None
    note: Body | None = None


class ChatPendingUnmarked(ChatFact):
    """The chat goes on."""

    by: Actor | None = None
    reason: Word


class ChatFlagged(ChatFact):
    """The chat is exempt from its timers."""

    by: Actor
    note: Body | None = None


class ChatUnflagged(ChatFact):
    """The chat is under its timers again."""

    by: Actor


class ChatTagged(ChatFact):
    """The chat has these tags."""

    by: Actor
    tags: tuple[Word, ...]


class ChatNoted(ChatFact):
    """Somebody left a note on the chat."""

    by: Actor
    note: Body


class ChatCommented(ChatFact):
    """Somebody commented on the chat."""

    by: Actor
    note: Body
    mentions: tuple[Id, ...] = ()


class ChatDiverted(ChatFact):
    """The chat became the ticket ``ticket_id``. ``next_open_at`` is when its department opens next."""

    reason: Word
    by: Actor | None = None
    next_open_at: Time | None = None
    note: Body | None = None


class ChatOutreachStarted(ChatFact):
    """The business wrote first: a closed chat that awaits an answer."""

    model_config = ConfigDict(populate_by_name=True)

    from_: ReachOutFrom | None = Field(default=None, alias="from")
    by: Actor | None = None
    request_id: Id
    content: Content
    reply_to: ReplyTo | None = None


class ChatWentLive(ChatFact):
    """The customer answered an outreach, or a diverted chat goes on."""

    reason: Word | None = None


class ChatClosed(ChatFact):
    """The chat ended. ``by`` tells customer, agent, supervisor and system apart.

    With a ``wrap_up_until`` the slot of ``previous_agent_id`` stays held for them until `ChatWrapUpEnded`,
    which comes then or earlier.
    """

    by: Actor
    reason: Word
    tags: tuple[Word, ...] = ()
    note: Body | None = None
    wrap_up_until: Time | None = None


class ChatWrapUpEnded(ChatFact):
    """The slot that was held after the chat's end is free; ``agent_load`` is that of ``previous_agent_id``.

    ``reason`` is ``over``, its time was; ``done``, somebody said so; or ``continued``, the customer wrote
    and goes on in it.
    """

    by: Actor | None = None
    reason: Word


class ChatAlerted(ChatFact):
    """Supervisors should look at this chat."""

    kind: Literal["answer_overdue", "sla_warned", "sla_breached"]
    due_at: Time


class ChatRecorded(Model):
    """A customer's message that is no conversation: stop word, HELP, reaction, edit, blocked, survey answer.

    Within a chat it carries the chat's id and next version; outside one neither.
    """

    pair: PairRef
    customer_id: Id
    chat_id: Id | None = None
    version: Count | None = None
    message_id: Id
    content: Content | None = None
    why: Word
    sent_at: Time | None = None
    received_at: Time | None = None


class Availability(Model):
    """Who could take a chat now."""

    departments: tuple[Id, ...] = ()
    agents: tuple[Id, ...] = ()


class ChatCommandRefused(Model):
    """Routing will not do what a command asked. It changes no chat, so it takes no version.

    ``command_id`` is the command's event id; ``version`` is the chat's at that moment. ``detail`` names the
    field at fault and what it may be, where that is not all in the reason. ``why`` records who was named and
    is full, away or offline.
    """

    command_id: Id
    reason: Word
    detail: Body | None = None
    why: JsonObject | None = None
    by: Actor | None = None
    chat_id: Id | None = None
    version: Count | None = None
    pair: PairRef | None = None
    request_id: Id | None = None
    available: Availability | None = None
