"""Offers: an agent's of a chat they hold, a department's of one that waits; each takes a slot meanwhile.

The chat stays where it is until then. An offer stands until its end was told, however late that is.
"""

from typing import Any, cast

from services.routing.decisions.asking import MISSES, NOT_ANSWERING
from services.routing.decisions.commands import (
    SUPERVISING,
    holds,
    judge_named,
    judge_own_chat,
    not_live_or_stale,
)
from services.routing.decisions.floor import DEPARTMENT_RETIRED, RECEIVER_LEFT, SYSTEM, Floor
from services.routing.decisions.receivers import named_receiver, receiver
from services.routing.decisions.refusals import permitted, refuse
from services.routing.decisions.silence import await_customer
from services.routing.model import LOOK_AT, PARTED, Agent, Chat, Department, Key, Offer, State
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentStateSet
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatCancelOffer,
    ChatCommand,
    ChatDeclineOffer,
    ChatTransfer,
)
from shared.contracts.event import Cause, derived_id
from shared.platform.outcome import Due, Received


def transfer(floor: Floor, received: Received) -> None:
    """Offer a chat to an agent, an agent within a department, or a department's next available member."""
    command = cast(ChatTransfer, received.event.data)
    if (chat := permitted(floor, received, command, _judge_transfer)) is None:
        return
    found = receiver(floor, chat, command)
    if isinstance(found, str):
        refuse(floor, received, command, chat, found)
        return
    to, into = found.agent.agent_id, command.department_id
    key = (chat.tenant_id, into) if into else chat.department
    department = (floor.department(key) if key else None) or Department(chat.tenant_id, "")
    expires_at = floor.now + department.transfer_timeout
    offer = Offer("transfer", to, command.by, expires_at, into, command.note)
    floor.hold_out(received.event.as_cause(), chat, offer, found.why)


def accept(floor: Floor, received: Received) -> None:
    """Make the offered chat the receiver's; its slot is the one that was held."""
    command = cast(ChatAcceptOffer, received.event.data)
    chat = permitted(floor, received, command, _judge_answer)
    if chat is None or (offer := chat.offer) is None:
        return
    if (refusal := unfit(floor, chat.tenant_id, offer)) is not None:
        refuse(floor, received, command, chat, refusal)
        return
    take_up(floor, received.event.as_cause(), chat, command.by)


def take_up(floor: Floor, cause: Cause, chat: Chat, by: Actor) -> None:
    """Give a chat to whom it is offered to. Raises LookupError for one that is offered to nobody."""
    if (offer := chat.offer) is None:
        raise LookupError(f"chat {chat.chat_id} is offered to nobody")
    held = _answered(floor, chat, offer)
    chat = floor.end_offer(cause, chat, "accepted", accepted=True)
    if chat.state is State.PENDING:
        chat = chat.but(silent_since=floor.now)
    why = named_receiver(held, slot=True).why
    told: dict[str, Any] = {"by": offer.by, "note": offer.note, "why": why}
    kind: type[chats.ChatAssigned | chats.ChatTransferred] = chats.ChatTransferred
    if offer.kind == "assign":
        kind, told = chats.ChatAssigned, {"by": by, "reason": "accepted", "why": why}
    chat = floor.give(cause, chat, held, kind, into=offer.department_id, slots=0, told=told)
    if chat.last_word == "business":
        await_customer(floor, chat)


def decline(floor: Floor, received: Received) -> None:
    """Let the receiver turn an offer down: the chat stays with its agent, or the next is asked."""
    command = cast(ChatDeclineOffer, received.event.data)
    chat = permitted(floor, received, command, _judge_answer)
    if chat is None or (offer := chat.offer) is None:
        return
    _answered(floor, chat, offer)
    floor.end_offer(received.event.as_cause(), _passed(chat, offer), "declined", note=command.note)


def cancel(floor: Floor, received: Received) -> None:
    """Take an offer back: whoever made it may, whoever holds the chat, and supervisors."""
    command = cast(ChatCancelOffer, received.event.data)
    chat = permitted(floor, received, command, _judge_cancel)
    if chat is not None and (offer := chat.offer) is not None:
        floor.end_offer(received.event.as_cause(), _passed(chat, offer), "cancelled")


def offer_over(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """End an offer that nobody answered in time; a later one has its own end."""
    if (offer := chat.offer) is None or offer.expires_at > row.at:
        return
    if offer.kind == "assign":
        _missed(floor, cause, floor.agents[chat.tenant_id, offer.to])
    floor.end_offer(cause, _passed(chat, offer), "timed_out")


def _passed(chat: Chat, offer: Offer) -> Chat:
    """Note that somebody did not take a chat that waits: others are asked before them."""
    if offer.kind != "assign":
        return chat
    return chat.but(passed_by=PARTED.join(filter(None, (chat.passed_by, offer.to))))


def _answered(floor: Floor, chat: Chat, offer: Offer) -> Agent:
    agent = floor.agents[chat.tenant_id, offer.to]
    if offer.kind == "assign" and agent.misses:
        floor.agent_state(agent.but(misses=0))
    return floor.agents[agent.key]


def _missed(floor: Floor, cause: Cause, agent: Agent) -> None:
    """Count a miss; who leaves as many unanswered in a row as `MISSES` is away until they say otherwise."""
    away = agent.misses + 1 >= MISSES
    floor.agent_state(agent.but(misses=0 if away else agent.misses + 1))
    if away and agent.state == "online":
        said = AgentStateSet(agent_id=agent.agent_id, by=SYSTEM, state="away", reason=NOT_ANSWERING)
        floor.say(cause, said, subject=agent.agent_id, pair_key=None)


def receiver_left(floor: Floor, row: Due, key: Key) -> None:
    """End what is offered to somebody who takes no new chats any more, or is not where it was to go."""
    listed = floor.facts.offered.get(key, ())
    for chat_key in listed:
        chat = floor.chats.get(chat_key)
        if chat is None or chat.offer is None or chat.receiver != key:
            continue
        if unfit(floor, chat.tenant_id, chat.offer) is not None:
            floor.end_offer(_cause(row, chat), chat, "receiver_left")
    if len(listed) == LOOK_AT:
        floor.sweep(RECEIVER_LEFT, key)


def end_those_into(floor: Floor, row: Due, department: Key) -> None:
    """End what is offered into a department that is retired: where it would go is for its agent to say."""
    listed = floor.facts.offered_into.get(department, ())
    for chat_key in listed:
        chat = floor.chats.get(chat_key)
        if chat is not None and chat.offer is not None and chat.offer.department_id == department[1]:
            floor.end_offer(_cause(row, chat), chat, DEPARTMENT_RETIRED)
    if len(listed) == LOOK_AT:
        floor.sweep(DEPARTMENT_RETIRED, department)


def unfit(floor: Floor, tenant_id: str, offer: Offer) -> str | None:
    """Say why somebody may no longer have what they are offered. They have the slot, however full."""
    if offer.department_id is not None and floor.department((tenant_id, offer.department_id)) is None:
        return "unknown_department"
    refusal = judge_named(floor.agents.get((tenant_id, offer.to)), offer.department_id)
    return None if refusal == "agent_full" else refusal


def _judge_transfer(chat: Chat, command: ChatTransfer) -> str | None:
    if refusal := judge_own_chat(chat, command):
        return refusal
    if chat.offer is not None:
        return "already_offered"
    if command.agent_id is None and command.department_id is None:
        return "unknown_agent"
    return "same_agent" if command.agent_id == chat.agent_id else None


def _judge_answer(chat: Chat, command: ChatCommand) -> str | None:
    if refusal := _judge_offered(chat, command):
        return refusal
    return None if chat.offer is not None and command.by.id == chat.offer.to else "not_your_offer"


def _judge_cancel(chat: Chat, command: ChatCancelOffer) -> str | None:
    if refusal := _judge_offered(chat, command):
        return refusal
    made_it = chat.offer is not None and command.by.id == chat.offer.by.id
    return None if made_it or command.by.role in SUPERVISING or holds(chat, command.by) else "not_your_offer"


def _judge_offered(chat: Chat, command: ChatCommand) -> str | None:
    if refusal := not_live_or_stale(chat, command):
        return refusal
    if command.by.role in {"customer", "system"}:
        return "role_not_allowed"
    return "not_offered" if chat.offer is None else None


def _cause(row: Due, chat: Chat) -> Cause:
    return Cause(row.tenant_id, derived_id("due", row.kind, row.key, str(row.generation), chat.chat_id))
