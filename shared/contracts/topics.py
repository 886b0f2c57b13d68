"""Every topic: who says it, who hears it, how it is keyed and kept, and its types, written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from shared.contracts import (
    agent_signals,
    agents,
    chat_commands,
    chats,
    customers,
    deliveries,
    directory,
    inbound_messages,
    outbound_messages,
    pairs,
    provider_events,
    sender_commands,
    senders,
    ticket_commands,
    tickets,
)
from shared.contracts.dead_letters import DeadLetter, DeadLetterDropped, DeadLetterReplayed
from shared.contracts.event import Model

SERVICES = ("presence", "routing", "tickets", "outbound", "gateway", "desk")
RETENTION_DAYS = 30
"""How long records are kept where an installation says nothing else (docs/contracts.md, 4)."""
DEAD_LETTER_TYPES: Mapping[str, type[Model]] = {
    "chatdesk.dead_letter.parked.v1": DeadLetter,
    "chatdesk.dead_letter.replayed.v1": DeadLetterReplayed,
    "chatdesk.dead_letter.dropped.v1": DeadLetterDropped,
}


class Key(Enum):
    """What a topic's records are keyed by. Keys place, they don't prove (docs/contracts.md, 2)."""

    PAIR = auto()
    AGENT = auto()
    SENDER = auto()
    TICKET = auto()
    DOCUMENT = auto()
    RECORD = auto()


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic.

    ``says`` and ``hears`` name services. Other systems may hear every topic, and say what an ``open``
    one carries. A compacted topic keeps the last record of each key, any other its records for
    ``retention_days``. A versioned one carries versions without gaps for each chat or ticket.
    """

    name: str
    says: tuple[str, ...]
    hears: tuple[str, ...]
    key: Key
    types: Mapping[str, type[Model]] = field(hash=False)
    partitions: int = 12
    compacted: bool = False
    versioned: bool = False
    open: bool = False
    retention_days: int = RETENTION_DAYS


TOPICS = (
    Topic(
        "inbound-messages.v1",
        says=("gateway",),
        hears=("routing", "outbound", "gateway", "desk"),
        key=Key.PAIR,
        types={
            "chatdesk.message.received.v1": inbound_messages.MessageReceived,
            "chatdesk.message.edited.v1": inbound_messages.MessageEdited,
            "chatdesk.message.revoked.v1": inbound_messages.MessageRevoked,
        },
        open=True,
    ),
    Topic(
        "outbound-messages.v1",
        says=("routing",),
        hears=("outbound", "routing", "desk"),
        key=Key.PAIR,
        types={"chatdesk.message.send.v1": outbound_messages.MessageSend},
        open=True,
    ),
    Topic(
        "deliveries.v1",
        says=("outbound",),
        hears=("routing", "desk"),
        key=Key.PAIR,
        types={
            "chatdesk.delivery.accepted.v1": deliveries.DeliveryAccepted,
            "chatdesk.delivery.sent.v1": deliveries.DeliverySent,
            "chatdesk.delivery.delivered.v1": deliveries.DeliveryDelivered,
            "chatdesk.delivery.read.v1": deliveries.DeliveryRead,
            "chatdesk.delivery.played.v1": deliveries.DeliveryPlayed,
            "chatdesk.delivery.failed.v1": deliveries.DeliveryFailed,
            "chatdesk.delivery.refused.v1": deliveries.DeliveryRefused,
            "chatdesk.delivery.held.v1": deliveries.DeliveryHeld,
            "chatdesk.delivery.in_doubt.v1": deliveries.DeliveryInDoubt,
            "chatdesk.delivery.unknown.v1": deliveries.DeliveryUnknown,
        },
    ),
    Topic(
        "pairs.v1",
        says=("outbound",),
        hears=("routing", "outbound", "desk"),
        key=Key.PAIR,
        types={"chatdesk.pair.changed.v1": pairs.PairChanged},
        compacted=True,
    ),
    Topic(
        "provider-events.v1",
        says=("gateway",),
        hears=("routing", "outbound", "desk"),
        key=Key.PAIR,
        types={
            "chatdesk.provider.receipt.v1": provider_events.Receipt,
            "chatdesk.provider.template_changed.v1": provider_events.TemplateChanged,
            "chatdesk.provider.identity_changed.v1": provider_events.IdentityChanged,
            "chatdesk.provider.consent_changed.v1": provider_events.ConsentChanged,
            "chatdesk.provider.sender_changed.v1": provider_events.SenderChanged,
            "chatdesk.provider.call_received.v1": provider_events.CallReceived,
        },
        open=True,
    ),
    Topic(
        "senders.v1",
        says=("outbound",),
        hears=("outbound", "desk"),
        key=Key.SENDER,
        types={"chatdesk.sender.changed.v1": senders.SenderChanged},
        partitions=3,
        compacted=True,
    ),
    Topic(
        "sender-commands.v1",
        says=("desk",),
        hears=("outbound",),
        key=Key.SENDER,
        types={
            "chatdesk.sender.halt.v1": sender_commands.SenderHalt,
            "chatdesk.sender.resume.v1": sender_commands.SenderResume,
        },
        partitions=3,
        open=True,
    ),
    Topic(
        "agent-signals.v1",
        says=("desk", "routing", "presence"),
        hears=("presence",),
        key=Key.AGENT,
        types={
            "chatdesk.agent.signed_in.v1": agent_signals.AgentSignedIn,
            "chatdesk.agent.heartbeat.v1": agent_signals.AgentHeartbeat,
            "chatdesk.agent.state_set.v1": agent_signals.AgentStateSet,
            "chatdesk.agent.signed_out.v1": agent_signals.AgentSignedOut,
            "chatdesk.agent.signal_refused.v1": agent_signals.AgentSignalRefused,
        },
        partitions=6,
        open=True,
    ),
    Topic(
        "agents.v1",
        says=("presence",),
        hears=("presence", "routing", "desk"),
        key=Key.AGENT,
        types={"chatdesk.agent.changed.v1": agents.AgentChanged},
        partitions=6,
        compacted=True,
    ),
    Topic(
        "chat-commands.v1",
        says=("desk",),
        hears=("routing",),
        key=Key.PAIR,
        types={
            "chatdesk.chat.reply.v1": chat_commands.ChatReply,
            "chatdesk.chat.take.v1": chat_commands.ChatTake,
            "chatdesk.chat.end_wrap_up.v1": chat_commands.ChatEndWrapUp,
            "chatdesk.chat.assign.v1": chat_commands.ChatAssign,
            "chatdesk.chat.transfer.v1": chat_commands.ChatTransfer,
            "chatdesk.chat.accept_offer.v1": chat_commands.ChatAcceptOffer,
            "chatdesk.chat.decline_offer.v1": chat_commands.ChatDeclineOffer,
            "chatdesk.chat.cancel_offer.v1": chat_commands.ChatCancelOffer,
            "chatdesk.chat.hand_over.v1": chat_commands.ChatHandOver,
            "chatdesk.chat.close.v1": chat_commands.ChatClose,
            "chatdesk.chat.mark_pending.v1": chat_commands.ChatMarkPending,
            "chatdesk.chat.unmark_pending.v1": chat_commands.ChatUnmarkPending,
            "chatdesk.chat.flag.v1": chat_commands.ChatFlag,
            "chatdesk.chat.unflag.v1": chat_commands.ChatUnflag,
            "chatdesk.chat.comment.v1": chat_commands.ChatComment,
            "chatdesk.chat.note.v1": chat_commands.ChatNote,
            "chatdesk.chat.tag.v1": chat_commands.ChatTag,
            "chatdesk.chat.set_department.v1": chat_commands.ChatSetDepartment,
            "chatdesk.chat.set_priority.v1": chat_commands.ChatSetPriority,
            "chatdesk.chat.reach_out.v1": chat_commands.ChatReachOut,
            "chatdesk.chat.divert.v1": chat_commands.ChatDivert,
        },
        open=True,
    ),
    Topic(
        "chats.v1",
        says=("routing",),
        hears=("tickets", "desk"),
        key=Key.PAIR,
        types={
            "chatdesk.chat.opened.v1": chats.ChatOpened,
            "chatdesk.chat.message_added.v1": chats.ChatMessageAdded,
            "chatdesk.chat.message_changed.v1": chats.ChatMessageChanged,
            "chatdesk.chat.queued.v1": chats.ChatQueued,
            "chatdesk.chat.skills_relaxed.v1": chats.ChatSkillsRelaxed,
            "chatdesk.chat.assigned.v1": chats.ChatAssigned,
            "chatdesk.chat.offered.v1": chats.ChatOffered,
            "chatdesk.chat.offer_ended.v1": chats.ChatOfferEnded,
            "chatdesk.chat.transferred.v1": chats.ChatTransferred,
            "chatdesk.chat.requeued.v1": chats.ChatRequeued,
            "chatdesk.chat.moved.v1": chats.ChatMoved,
            "chatdesk.chat.priority_set.v1": chats.ChatPrioritySet,
            "chatdesk.chat.pending_marked.v1": chats.ChatPendingMarked,
            "chatdesk.chat.pending_unmarked.v1": chats.ChatPendingUnmarked,
            "chatdesk.chat.flagged.v1": chats.ChatFlagged,
            "chatdesk.chat.unflagged.v1": chats.ChatUnflagged,
            "chatdesk.chat.tagged.v1": chats.ChatTagged,
            "chatdesk.chat.noted.v1": chats.ChatNoted,
            "chatdesk.chat.commented.v1": chats.ChatCommented,
            "chatdesk.chat.diverted.v1": chats.ChatDiverted,
            "chatdesk.chat.outreach_started.v1": chats.ChatOutreachStarted,
            "chatdesk.chat.went_live.v1": chats.ChatWentLive,
            "chatdesk.chat.closed.v1": chats.ChatClosed,
            "chatdesk.chat.wrap_up_ended.v1": chats.ChatWrapUpEnded,
            "chatdesk.chat.recorded.v1": chats.ChatRecorded,
            "chatdesk.chat.alerted.v1": chats.ChatAlerted,
            "chatdesk.chat.command_refused.v1": chats.ChatCommandRefused,
        },
        versioned=True,
    ),
    Topic(
        "ticket-commands.v1",
        says=("desk",),
        hears=("tickets",),
        key=Key.TICKET,
        types={
            "chatdesk.ticket.assign.v1": ticket_commands.TicketAssign,
            "chatdesk.ticket.accept.v1": ticket_commands.TicketAccept,
            "chatdesk.ticket.accept_next.v1": ticket_commands.TicketAcceptNext,
            "chatdesk.ticket.hand_over.v1": ticket_commands.TicketHandOver,
            "chatdesk.ticket.release.v1": ticket_commands.TicketRelease,
            "chatdesk.ticket.set_department.v1": ticket_commands.TicketSetDepartment,
            "chatdesk.ticket.note.v1": ticket_commands.TicketNote,
            "chatdesk.ticket.tag.v1": ticket_commands.TicketTag,
            "chatdesk.ticket.close.v1": ticket_commands.TicketClose,
        },
        partitions=6,
        open=True,
    ),
    Topic(
        "tickets.v1",
        says=("tickets",),
        hears=("routing", "desk"),
        key=Key.PAIR,
        types={
            "chatdesk.ticket.opened.v1": tickets.TicketOpened,
            "chatdesk.ticket.assigned.v1": tickets.TicketAssigned,
            "chatdesk.ticket.released.v1": tickets.TicketReleased,
            "chatdesk.ticket.moved.v1": tickets.TicketMoved,
            "chatdesk.ticket.answered.v1": tickets.TicketAnswered,
            "chatdesk.ticket.noted.v1": tickets.TicketNoted,
            "chatdesk.ticket.tagged.v1": tickets.TicketTagged,
            "chatdesk.ticket.closed.v1": tickets.TicketClosed,
            "chatdesk.ticket.command_refused.v1": tickets.TicketCommandRefused,
        },
        versioned=True,
    ),
    Topic(
        "directory.v1",
        says=("desk",),
        hears=("presence", "routing", "tickets", "outbound", "gateway", "desk"),
        key=Key.DOCUMENT,
        types={
            "chatdesk.directory.tenant.v1": directory.TenantDocument,
            "chatdesk.directory.department.v1": directory.DepartmentDocument,
            "chatdesk.directory.agent.v1": directory.AgentDocument,
            "chatdesk.directory.calendar.v1": directory.CalendarDocument,
            "chatdesk.directory.template.v1": directory.TemplateDocument,
            "chatdesk.directory.channel.v1": directory.ChannelDocument,
            "chatdesk.directory.routing_rules.v1": directory.RoutingRulesDocument,
        },
        partitions=3,
        compacted=True,
    ),
    Topic(
        "customers.v1",
        says=("desk",),
        hears=("routing", "tickets", "outbound", "gateway", "desk"),
        key=Key.DOCUMENT,
        types={
            "chatdesk.customer.changed.v1": customers.CustomerChanged,
            "chatdesk.customer.erased.v1": customers.CustomerErased,
        },
        partitions=6,
        compacted=True,
    ),
)

DEAD_LETTER_TOPICS = tuple(
    Topic(
        f"{service}.dead-letters.v1",
        says=(service,),
        hears=(),
        key=Key.RECORD,
        types=DEAD_LETTER_TYPES,
        partitions=1,
    )
    for service in SERVICES
)
