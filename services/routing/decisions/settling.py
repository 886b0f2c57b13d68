"""A chat that nobody holds: placed by what the floor knows, then given away, queued or made a ticket."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from services.routing.decisions.asking import choose_next
from services.routing.decisions.choice import NAMED, Choice
from services.routing.decisions.floor import DEPARTMENT_CLOSES, SERVE_QUEUE, SYSTEM, Floor
from services.routing.decisions.placement import (
    NOBODY_THERE,
    Assign,
    Divert,
    Hold,
    Placement,
    Queue,
    place,
    prefer,
    refused,
)
from services.routing.decisions.rules import fallbacks
from services.routing.decisions.skills import asked, choose_for
from services.routing.model import PARTED, Chat, Department, Offer, State, due_name
from shared.contracts.event import Cause
from shared.platform.outcome import Due


def settle(
    floor: Floor, cause: Cause, chat: Chat, *, serving: bool = False, reason: str | None = None
) -> Chat:
    """Place a chat that nobody holds. ``serving`` takes it from the queue, so nobody is ahead of it.

    A chat of a retired department moves on first.
    """
    chat = floor.move_on(cause, floor.end_offer(cause, chat, reason or "placed_anew"))
    key = chat.department
    if key is None or not floor.can_place(key):
        raise LookupError(f"chat {chat.chat_id} cannot be placed: department {key} is not locked")
    if (department := floor.department(key)) is None:
        return _hold(floor, cause, chat, {"verdict": "department_missing"}, reason=reason)
    ahead = 0 if serving else floor.ahead(key)
    placement = _place_again(floor, cause, department, chat) or _place(floor, department, chat, ahead)
    if isinstance(placement, Divert) and placement.reason in NOBODY_THERE and department.fallback_id:
        instead, found, asked = _fall_back(floor, cause, department, chat, placement)
        if instead is not department:
            told = {"reason": placement.reason, "why": {**placement.why, **asked}}
            chat = floor.move(cause, chat, instead.department_id, **told)
        department, placement = instead, found
    match placement:
        case Assign() as given:
            return _hand_out(floor, cause, chat, department, given, reason=reason)
        case Queue() as queue:
            return _wait(floor, cause, chat, department, queue, reason=reason)
        case Hold(why):
            return _hold(floor, cause, chat, why, reason=reason)
        case Divert(why_not, next_open_at, why):
            return floor.divert(cause, chat, why_not, next_open_at=next_open_at, why=why)


def _place(floor: Floor, department: Department, chat: Chat, ahead: int) -> Placement:
    calendar, turn = floor.calendar(department), floor.turn(department.key)
    passed = chat.passed_by.split(PARTED)
    choice = _choose(floor, department, chat, frozenset(passed) if chat.passed_by else frozenset())
    found = place(department, calendar, choice, ahead=ahead, now=floor.now, turn=turn)
    closing = floor.closing(chat.pair.key)
    if chat.passed_by:
        found = replace(found, why={**found.why, "passed_by": passed})
    if closing is None or not isinstance(found, Assign) or closing.agent_id in passed:
        return found
    before = floor.agents.get((chat.tenant_id, closing.agent_id or ""))
    return prefer(found, before, closing, department, floor.now)


def _place_again(floor: Floor, cause: Cause, department: Department, chat: Chat) -> Assign | None:
    """Give a chat to who wraps the pair's last one up, in that slot, if they were preferred with it.

    It was nobody else's to have, so the chat overtakes none of those who wait.
    """
    closing = floor.closing(chat.pair.key)
    if closing is None or not closing.wrapping_up:
        return None
    last = floor.chats.get((chat.tenant_id, closing.chat_id))
    agent = floor.agents.get(last.wrapped_up_by) if last is not None and last.wrapped_up_by else None
    if last is None or agent is None:
        return None
    floor.agent_state(agent.but(load=agent.load - 1))
    found = _place(floor, department, chat, ahead=0)
    floor.agent_state(agent)
    if not isinstance(found, Assign) or not found.why.get("last_agent", {}).get("preferred"):
        return None
    floor.end_wrap_up(cause, last, "continued")
    return Assign(found.agent, {**found.why, "wrap_up_of": last.chat_id})


def _choose(floor: Floor, department: Department, chat: Chat, passed: frozenset[str]) -> Choice:
    """Choose among those who did not pass on the chat, then among all; each time by its skills."""
    key, wanted = department.key, asked(chat, department)
    if passed:
        others = partial(choose_next, floor.members(key), department.strategy, floor.turn(key), passed)
        if (found := choose_for(wanted, others)).agent is not None:
            return found
    return choose_for(wanted, lambda skills: floor.ranking(key, skills).choose())


def _fall_back(
    floor: Floor, cause: Cause, department: Department, chat: Chat, divert: Divert
) -> tuple[Department, Placement, Mapping[str, Any]]:
    """Return the first fallback that assigns or queues, else the divert, and who was asked before."""
    asked: list[Mapping[str, Any]] = []
    for key in fallbacks(floor.directory(department.tenant_id), department.key):
        other = floor.department(key)
        if other is None or not floor.can_place(key):
            continue
        ahead = floor.ahead(key)
        found = _place_again(floor, cause, other, chat) or _place(floor, other, chat, ahead)
        if isinstance(found, Assign | Queue):
            return other, found, {"fallbacks": asked} if asked else {}
        if len(asked) < NAMED:
            asked.append(refused(found))
    told = {"fallbacks": asked}
    return department, Divert(divert.reason, divert.next_open_at, {**divert.why, **told}), told


def _hand_out(
    floor: Floor, cause: Cause, chat: Chat, department: Department, given: Assign, *, reason: str | None
) -> Chat:
    """Give a chat to whom it was found to be for; where a department offers, let it wait and ask them."""
    agent = given.agent
    if not given.why.get("last_agent", {}).get("preferred"):
        floor.turn_taken(department, agent)
    if department.mode == "push":
        return floor.assign(cause, chat, agent, why=given.why, reason=reason)
    if chat.state is not State.QUEUED or chat.queued_at is None:
        chat = floor.enter_queue(cause, chat, {"mode": department.mode}, reason)
        floor.limit_wait(chat)
    if agent.agent_id in chat.passed_by.split(PARTED):
        chat = chat.but(passed_by="")
    expires_at = floor.now + department.offer_timeout
    offer = Offer("assign", agent.agent_id, SYSTEM, expires_at, department.department_id)
    return floor.hold_out(cause, chat, offer, given.why)


def _wait(
    floor: Floor, cause: Cause, chat: Chat, department: Department, queue: Queue, *, reason: str | None
) -> Chat:
    if queue.closes_at is not None:  # also for those who wait already: hours change
        key = due_name(department.key)
        floor.outcome.schedule.append(Due(DEPARTMENT_CLOSES, key, chat.tenant_id, queue.closes_at))
    if chat.state is State.QUEUED and chat.queued_at is not None:
        return chat
    chat = floor.enter_queue(cause, chat, queue.why, reason)
    floor.limit_wait(chat)
    # Somebody may be free whom the chats ahead may not have; let the queue be served in its order.
    floor.sweep(SERVE_QUEUE, department.key)
    return chat


def _hold(floor: Floor, cause: Cause, chat: Chat, why: Any, *, reason: str | None) -> Chat:
    """Let a chat wait for a document that was named but has not come; a ticket stays one."""
    if chat.state is State.DIVERTED or (chat.state is State.QUEUED and chat.queued_at is not None):
        return chat
    chat = floor.enter_queue(cause, chat, why, reason)
    floor.limit_wait(chat)
    return chat
