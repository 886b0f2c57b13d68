"""The one decision point for every inbound message (docs/rules.md, 3)."""

from typing import Any, cast

from services.routing.decisions.floor import AGENT_LOST, Floor
from services.routing.decisions.keywords import ends_chat
from services.routing.decisions.pending import wake
from services.routing.decisions.rules import department_for, rule_for, why_there
from services.routing.decisions.settling import settle
from services.routing.decisions.skills import asked_for
from services.routing.model import LIVE, Agent, Chat, State
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.content import Reaction
from shared.contracts.event import Cause, derived_id
from shared.contracts.inbound_messages import InboundMessage, MessageReceived
from shared.contracts.pair import Pair
from shared.contracts.pairs import PairRef
from shared.platform.outcome import Received

CUSTOMER = Actor(role="customer")


def message_received(floor: Floor, received: Received) -> None:
    """Append to the pair's open chat, or open one and place it. One burst makes one chat."""
    message = cast(MessageReceived, received.event.data)
    tenant = floor.directory(received.event.tenant_id).tenant
    if tenant is None:
        floor.reject(received, "unknown_tenant", f"no tenant {received.event.tenant_id!r} in the directory")
        return
    if isinstance(message.content, Reaction):
        _record(floor, received, "reaction")
        return
    cause = received.event.as_cause()
    pair = Pair.of(
        received.event.tenant_id, message.channel, message.business_address, message.customer_address
    )
    chat = floor.open_chat(pair.key)
    if ends_chat(message):
        _end(floor, received, chat, message)
        return
    if chat is not None:
        _append(floor, cause, chat, message)
        return
    place = rule_for(tenant, message)
    department_id = department_for(tenant, place)
    if floor.department((tenant.tenant_id, department_id)) is None:
        floor.reject(
            received, "unknown_department", f"messages go to {department_id!r}, which is not in the directory"
        )
        return
    new = _new_chat(floor, cause, pair, message, department_id)
    if skills := asked_for(tenant, place, message):
        new = new.but(skills=skills)
    chat = floor.open(cause, new, why_there(tenant, place))
    chat = _add(floor, cause, chat, message)
    settle(floor, cause, chat)


def message_changed(floor: Floor, received: Received) -> None:
    """Edits and deletions belong to their message: they go on the record and start nothing."""
    word = "revoked" if received.event.type.endswith("revoked.v1") else "edited"
    _record(floor, received, word)


def _append(floor: Floor, cause: Cause, chat: Chat, message: MessageReceived) -> None:
    chat = _add(floor, cause, chat, message)
    if chat.state is State.DIVERTED:
        _go_on(floor, cause, chat)
    elif chat.agent is not None:
        _bring_to_agent(floor, cause, chat, floor.agents[chat.agent])


def _bring_to_agent(floor: Floor, cause: Cause, chat: Chat, agent: Agent) -> None:
    """Wake the chat if it is parked; if its agent is gone it is routed afresh, here or after the commit."""
    if agent.state == "offline" and floor.can_place(chat.department):
        settle(floor, cause, chat, reason="agent_lost")
    elif chat.state is State.PENDING:
        wake(floor, cause, chat, "customer_wrote")
    elif agent.state == "offline":
        floor.sweep(AGENT_LOST, agent.key)


def _end(floor: Floor, received: Received, chat: Chat | None, message: MessageReceived) -> None:
    """Close the pair's open chat, a ticket's too; where there is none, nothing is opened for it."""
    if chat is None:
        _record(floor, received, "end_keyword")
        return
    cause = received.event.as_cause()
    floor.close(cause, _add(floor, cause, chat, message), by=CUSTOMER, reason="ended_by_customer")


def _go_on(floor: Floor, cause: Cause, chat: Chat) -> None:
    """A diverted chat goes on when somebody can take it; else the message only moves the ticket up."""
    if floor.can_place(chat.department):
        settle(floor, cause, chat)


def _add(floor: Floor, cause: Cause, chat: Chat, message: MessageReceived) -> Chat:
    if chat.last_word == "business":
        floor.expect_nothing(chat)
    heard = max(chat.last_inbound_at, message.sent_at) if chat.last_inbound_at else message.sent_at
    heard_now: dict[str, Any] = {"last_inbound_at": heard, "customer_address": message.customer_address}
    if chat.last_word != "customer":
        heard_now |= {"last_word": "customer", "owes_since": floor.now, "said": ()}
    added = floor.tell(
        cause,
        chat.after(**heard_now),
        chats.ChatMessageAdded,
        message_id=message.provider_message_id,
        direction="inbound",
        author=CUSTOMER,
        content=message.content,
        sent_at=message.sent_at,
        received_at=message.received_at,
    )
    if chat.last_word != "customer":
        floor.expect_answer(added)
    return added


def _new_chat(floor: Floor, cause: Cause, pair: Pair, message: MessageReceived, department_id: str) -> Chat:
    priority = message.hints.priority if message.hints and message.hints.priority is not None else 0
    return Chat(
        tenant_id=pair.tenant_id,
        chat_id=derived_id(cause.id, "chat"),
        pair=pair,
        business_address=message.business_address,
        customer_address=message.customer_address,
        customer_id=customer_id(pair),
        state=State.QUEUED,
        department_id=department_id,
        priority=priority,
        opened_at=floor.now,
        waiting_since=floor.now,
    )


def _record(floor: Floor, received: Received, why: str) -> None:
    """Put what is no conversation on the record: in the pair's live chat, else on its timeline."""
    event = received.event
    message = cast(InboundMessage, event.data)
    pair = Pair.of(event.tenant_id, message.channel, message.business_address, message.customer_address)
    chat = floor.open_chat(pair.key)
    chat = floor.keep(chat.after()) if chat is not None and chat.state in LIVE else None
    floor.say(
        event.as_cause(),
        chats.ChatRecorded(
            pair=PairRef(
                channel=message.channel,
                business_address=message.business_address,
                customer_address=message.customer_address,
            ),
            customer_id=chat.customer_id if chat else customer_id(pair),
            chat_id=chat.chat_id if chat else None,
            version=chat.version if chat else None,
            message_id=message.provider_message_id,
            content=getattr(message, "content", None),
            why=why,
            sent_at=message.sent_at,
            received_at=message.received_at,
        ),
        subject=chat.chat_id if chat else pair.key,
        pair_key=pair.key,
    )


def customer_id(pair: Pair) -> str:
    """Return the customer of a pair that no customer document names (docs/rules.md, 9)."""
    return derived_id("customer", pair.key)
