"""Where an event belongs: its pair, and the key that places it on its topic and parks it."""

import re
from functools import cache
from urllib.parse import quote

from shared.contracts import provider_events
from shared.contracts.agent_signals import (
    AgentHeartbeat,
    AgentSignalRefused,
    AgentSignedIn,
    AgentSignedOut,
    AgentStateSet,
)
from shared.contracts.agents import AgentChanged
from shared.contracts.chat_commands import ChatCommand, ChatHandOver, ChatReachOut
from shared.contracts.chats import ChatCommandRefused, ChatFact, ChatRecorded
from shared.contracts.customers import CustomerChanged, CustomerErased
from shared.contracts.dead_letters import DeadLetter, DeadLetterEnd
from shared.contracts.deliveries import Delivery
from shared.contracts.directory import DirectoryDocument
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import InboundMessage
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import canonical_address, pair_key
from shared.contracts.pairs import PairChanged
from shared.contracts.provider_events import CallReceived, ConsentChanged, IdentityChanged, Receipt
from shared.contracts.sender_commands import SenderHalt, SenderResume
from shared.contracts.senders import SenderChanged
from shared.contracts.ticket_commands import TicketAcceptNext, TicketCommand, TicketHandOver
from shared.contracts.tickets import TicketCommandRefused, TicketFact

_PAIRED = (
    InboundMessage,
    MessageSend,
    Delivery,
    PairChanged,
    CallReceived,
    ChatFact,
    TicketFact,
    ChatRecorded,
    ChatCommandRefused,
    ChatCommand,
    ChatReachOut,
    IdentityChanged,
    Receipt,
    ConsentChanged,
)
_PLAIN = re.compile(r"[\w+@.-]*", re.ASCII).fullmatch
"""What percent-encoding leaves as it is; asking first is cheaper than encoding."""


def joined(*parts: str) -> str:
    """Join percent-encoded parts with colons, so that no part can pretend to be two."""
    return ":".join([part if _PLAIN(part) else quote(part, safe="+@.-_") for part in parts])


@cache
def _may_name_pair(model: type[Model]) -> bool:
    """Say whether data of this model may name a pair: a look here spares the others a dozen comparisons."""
    return issubclass(model, _PAIRED)


def pair_key_of(tenant_id: str, data: Model) -> str | None:
    """Return the key of the pair that the addresses in ``data`` name, None when they name none.

    Aliases are not resolved here: whoever knows them writes the pair's key on the event.
    """
    if not _may_name_pair(type(data)):
        return None
    match data:
        case InboundMessage() | MessageSend() | Delivery() | PairChanged() | CallReceived():
            return pair_key(tenant_id, data.channel, data.business_address, data.customer_address)
        case (
            ChatFact() | TicketFact() | ChatRecorded() | ChatCommandRefused() | ChatCommand() | ChatReachOut()
        ):
            if (pair := data.pair) is not None:
                return pair_key(tenant_id, pair.channel, pair.business_address, pair.customer_address)
        case IdentityChanged():
            return pair_key(tenant_id, data.channel, data.business_address, data.old)
        case Receipt() | ConsentChanged():
            if data.channel and data.business_address and data.customer_address:
                return pair_key(tenant_id, data.channel, data.business_address, data.customer_address)
        case _:
            pass
    return None


def key_of_pairless(event: Event[Model]) -> str:
    """Return the key of an event of which no pair is known."""
    return joined(event.tenant_id, *_place(event))


def _place(event: Event[Model]) -> tuple[str, ...]:
    place: tuple[str, ...]
    match event.data:
        case (
            AgentSignedIn()
            | AgentHeartbeat()
            | AgentStateSet()
            | AgentSignedOut()
            | AgentSignalRefused()
            | AgentChanged() as said
        ):
            place = (said.agent_id,)
        case ChatHandOver(agent_id=agent_id) | TicketHandOver(agent_id=agent_id):
            place = (agent_id,)
        case SenderChanged() | SenderHalt() | SenderResume() as sender:
            place = (sender.provider, canonical_address(sender.business_address))
        case DirectoryDocument() as document:
            place = (event.type.split(".")[2], document.id)
        case CustomerChanged() | CustomerErased() as customer:
            place = ("customer", customer.id)
        case TicketAcceptNext(by=by):
            place = (by.id or by.role,)
        case TicketCommand() as command:
            place = ("ticket", command.ticket_id)
        case DeadLetter() | DeadLetterEnd() as letter:
            place = ("record", letter.parked_key or f"{letter.topic}/{letter.partition}")
        case data:
            place = _place_of_pairless_conversation(event.id, data)
    return place


def _place_of_pairless_conversation(event_id: str, data: Model) -> tuple[str, str]:
    place: tuple[str, str]
    match data:
        case ChatCommand():
            place = ("chat", data.chat_id)
        case ChatReachOut(from_=source):
            place = ("chat", source.chat_id) if source.chat_id else ("ticket", source.ticket_id or event_id)
        case ChatCommandRefused():
            place = ("chat", data.chat_id) if data.chat_id else ("command", data.command_id)
        case TicketCommandRefused():
            place = ("ticket", data.ticket_id) if data.ticket_id else ("command", data.command_id)
        case Receipt():
            place = ("receipt", data.provider_message_id or data.correlation_id or event_id)
        case ConsentChanged():
            place = ("consent", canonical_address(data.customer_address))
        case provider_events.TemplateChanged():
            place = ("template", data.name)
        case provider_events.SenderChanged():
            place = ("sender", canonical_address(data.business_address))
        case _:
            raise TypeError(f"{type(data).__name__} has no key")
    return place
