"""Transfers: an agent's offer of a chat they hold, which takes a slot of the receiver until it is answered.

The chat stays with its agent until then. An offer stands until its end was told, however late that is.
"""

from datetime import timedelta
from typing import cast

from services.routing.decisions.commands import (
    SUPERVISING,
    holds,
    judge_named,
    judge_own_chat,
    not_live_or_stale,
)
from services.routing.decisions.floor import OFFER_OVER, RECEIVER_LEFT, Floor
from services.routing.decisions.receivers import receiver
from services.routing.decisions.refusals import permitted, refuse
from services.routing.decisions.silence import await_customer
from services.routing.model import LOOK_AT, Chat, Key, Offer, State, due_name
from shared.contracts import chats
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatCancelOffer,
    ChatCommand,
    ChatDeclineOffer,
    ChatTransfer,
)
from shared.contracts.event import Cause, derived_id
from shared.platform.outcome import Due, Received

STANDS = timedelta(minutes=20)
"""How long an unanswered transfer stands."""


def transfer(floor: Floor, received: Received) -> None:
    """Offer a chat to an agent, an agent within a department, or a department's next available member."""
    command = cast(ChatTransfer, received.event.data)
    if (chat := permitted(floor, received, command, _judge_transfer)) is None:
        return
    found = receiver(floor, chat, command)
    if isinstance(found, str):
        refuse(floor, received, command, chat, found)
        return
    offer = Offer(found.agent_id, command.by, floor.now + STANDS, command.department_id, command.note)
    taken = floor.fill_slot(found.key)
    floor.outcome.schedule.append(Due(OFFER_OVER, due_name(chat.key), chat.tenant_id, offer.expires_at))
    floor.tell(
        received.event.as_cause(),
        chat.after(offer=offer),
        chats.ChatOffered,
        kind="transfer",
        to=offer.to,
        to_department_id=offer.department_id,
        by=offer.by,
        note=offer.note,
        expires_at=offer.expires_at,
        agent_load=taken.load,
        why={"receiver": found.agent_id, "presence_version": found.presence_version, "load": found.load},
    )


def accept(floor: Floor, received: Received) -> None:
    """Make the offered chat the receiver's; its slot is the one that was held."""
    command = cast(ChatAcceptOffer, received.event.data)
    chat = permitted(floor, received, command, _judge_answer)
    if chat is None or (offer := chat.offer) is None:
        return
    if (refusal := unfit(floor, chat.tenant_id, offer)) is not None:
        refuse(floor, received, command, chat, refusal)
        return
    cause = received.event.as_cause()
    held = floor.agents[chat.tenant_id, offer.to]
    floor.outcome.cancel.append((OFFER_OVER, due_name(chat.key)))
    chat = floor.tell(
        cause,
        chat.after(offer=None),
        chats.ChatOfferEnded,
        outcome="accepted",
        to=offer.to,
        agent_load=held.load,
    )
    if chat.state is State.PENDING:
        chat = chat.but(silent_since=floor.now)
    why = {"receiver": offer.to, "presence_version": held.presence_version, "load": held.load - 1}
    told = {"by": offer.by, "note": offer.note, "why": why}
    chat = floor.give(cause, chat, held, chats.ChatTransferred, into=offer.department_id, slots=0, told=told)
    if chat.last_word == "business":
        await_customer(floor, chat)


def decline(floor: Floor, received: Received) -> None:
    """Let the receiver turn an offer down: the chat stays with its agent."""
    command = cast(ChatDeclineOffer, received.event.data)
    if (chat := permitted(floor, received, command, _judge_answer)) is not None:
        floor.end_offer(received.event.as_cause(), chat, "declined", note=command.note)


def cancel(floor: Floor, received: Received) -> None:
    """Take an offer back: whoever made it may, whoever holds the chat, and supervisors."""
    command = cast(ChatCancelOffer, received.event.data)
    if (chat := permitted(floor, received, command, _judge_cancel)) is not None:
        floor.end_offer(received.event.as_cause(), chat, "cancelled")


def offer_over(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """Return an offer that nobody answered in time; a later one has its own end."""
    if chat.offer is not None and chat.offer.expires_at <= row.at:
        floor.end_offer(cause, chat, "timed_out")


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
    for chat_key in floor.facts.offered_into.get(department, ()):
        chat = floor.chats.get(chat_key)
        if chat is not None and chat.offer is not None and chat.offer.department_id == department[1]:
            floor.end_offer(_cause(row, chat), chat, "department_retired")


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
