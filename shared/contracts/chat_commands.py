"""``chat-commands.v1``: what people ask routing to do with a chat."""

from typing import Literal

from pydantic import ConfigDict, Field

from shared.contracts.actors import Actor
from shared.contracts.content import Content, Template
from shared.contracts.event import Model
from shared.contracts.fields import Body, Count, Flag, Id, Priority, Time, Word
from shared.contracts.pairs import PairRef


class ChatCommand(Model):
    """What every command on a chat carries.

    ``expected_assignment_version`` makes it fail as ``stale_assignment`` when the chat went on meanwhile.
    """

    by: Actor
    chat_id: Id
    pair: PairRef | None = None
    expected_assignment_version: Count | None = None


class ChatReply(ChatCommand):
    """Write to the customer. Only the agent who holds the chat may."""

    request_id: Id
    content: Content
    reply_to: Id | None = None
    fallback_template: Template | None = None
    not_after: Time | None = None


class ChatTake(ChatCommand):
    """Pull this chat out of the queue."""


class ChatAssign(ChatCommand):
    """Give the chat to a department, an agent within it, or an agent regardless of department, at once."""

    department_id: Id | None = None
    agent_id: Id | None = None
    note: Body | None = None


class ChatTransfer(ChatCommand):
    """Offer the chat to an agent or a department."""

    department_id: Id | None = None
    agent_id: Id | None = None
    note: Body | None = None


class ChatAcceptOffer(ChatCommand):
    """Take the chat that was offered."""


class ChatDeclineOffer(ChatCommand):
    """Refuse the chat that was offered."""

    note: Body | None = None


class ChatCancelOffer(ChatCommand):
    """Take one's own offer back."""


class ChatClose(ChatCommand):
    """End the chat. ``survey=False`` closes without a survey."""

    tags: tuple[Word, ...] = ()
    note: Body | None = None
    survey: Flag | None = None


class ChatEndWrapUp(ChatCommand):
    """Free the slot that is held after the chat's end: its agent is done with it."""


class ChatMarkPending(ChatCommand):
    """Park the chat, at most until ``until``."""

    reason: Literal["customer", "internal"]
    until: Time | None = None
    note: Body | None = None


class ChatUnmarkPending(ChatCommand):
    """Go on with a parked chat."""


class ChatFlag(ChatCommand):
    """Exempt the chat from the answer and inactivity timers."""

    note: Body | None = None


class ChatUnflag(ChatCommand):
    """Put the chat under its timers again."""


class ChatComment(ChatCommand):
    """An internal remark on a live chat; ``mentions`` are agents to notify."""

    note: Body
    mentions: tuple[Id, ...] = ()


class ChatNote(ChatCommand):
    """A lasting internal remark."""

    note: Body


class ChatTag(ChatCommand):
    """The tags the chat has from now on."""

    tags: tuple[Word, ...]


class ChatSetDepartment(ChatCommand):
    """Move the chat to a department."""

    department_id: Id
    note: Body | None = None


class ChatSetPriority(ChatCommand):
    """Move the chat up or down its queue."""

    priority: Priority


class ChatHandOver(Model):
    """Move all chats that ``agent_id`` holds, parked or not: to a department, an agent, or as each belongs.

    With a department and an agent both, to the agent within the department.
    """

    by: Actor
    agent_id: Id
    to_department_id: Id | None = None
    to_agent_id: Id | None = None
    note: Body | None = None


class ReachOutFrom(Model):
    """The closed chat or the ticket somebody reaches out from: one of the two."""

    chat_id: Id | None = None
    ticket_id: Id | None = None


class ReplyTo(Model):
    """Whom an answer should reach."""

    department: Id | None = None
    agent: Id | None = None


class ChatReachOut(Model):
    """Message the customer of a closed chat or a ticket."""

    model_config = ConfigDict(populate_by_name=True)

    by: Actor
    from_: ReachOutFrom = Field(alias="from")
    pair: PairRef | None = None
    request_id: Id
    content: Content
    reply_to: ReplyTo | None = None


class ChatDivert(ChatCommand):
    """Turn the chat into a ticket by hand."""

    department_id: Id | None = None
    note: Body | None = None
