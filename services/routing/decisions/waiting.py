"""What timers and sweeps do for those who wait: the same placement, asked again."""

from services.routing.decisions.answers import answer_overdue
from services.routing.decisions.floor import (
    AGENT_LOST,
    ANSWER_OVERDUE,
    CUSTOMER_SILENT,
    DEPARTMENT_CLOSES,
    DEPARTMENT_RETIRED,
    HAND_OVER,
    OFFER_OVER,
    PENDING_OVER,
    RECEIVER_LEFT,
    RELAX_SKILLS,
    SERVE_QUEUE,
    SERVE_TAKEABLE,
    WAIT_LIMITS,
    WAITED_TOO_LONG,
    WRAP_UP_OVER,
    Floor,
)
from services.routing.decisions.handing_over import hand_on
from services.routing.decisions.limits import limits_changed, look_at_limits, waited_too_long
from services.routing.decisions.offers import end_those_into, offer_over, receiver_left
from services.routing.decisions.pending import pending_over
from services.routing.decisions.relaxing import relax_skills
from services.routing.decisions.settling import settle
from services.routing.decisions.silence import customer_silent
from services.routing.decisions.wrap_up import wrap_up_over
from services.routing.model import LOOK_AT, Chat, Key, State, due_key
from shared.contracts.event import Cause, derived_id
from shared.platform.outcome import Due

_OF_ONE_CHAT = {
    ANSWER_OVERDUE: answer_overdue,
    CUSTOMER_SILENT: customer_silent,
    OFFER_OVER: offer_over,
    PENDING_OVER: pending_over,
    RELAX_SKILLS: relax_skills,
    WAITED_TOO_LONG: waited_too_long,
    WRAP_UP_OVER: wrap_up_over,
}
"""Timers about one chat, each with its rule."""
_WAITING = frozenset({State.QUEUED, State.DIVERTED})


def due(floor: Floor, row: Due) -> None:
    """Carry out one due row, re-checking what it was set for."""
    key = due_key(row.key)
    match row.kind:
        case kind if kind in {SERVE_QUEUE, DEPARTMENT_CLOSES}:
            _serve(floor, row, key, floor.facts.queues.get(key, ()))
        case kind if kind == SERVE_TAKEABLE:
            _serve(floor, row, key, floor.facts.takeable.get(key, ()))
        case kind if kind == DEPARTMENT_RETIRED:
            _retired(floor, row, key)
        case kind if kind == AGENT_LOST:
            _lost(floor, row, key)
        case kind if kind == HAND_OVER:
            hand_on(floor, row, key)
        case kind if kind == RECEIVER_LEFT:
            receiver_left(floor, row, key)
        case kind if kind == WAIT_LIMITS:
            limits_changed(floor, row, key)
        case kind if kind in _OF_ONE_CHAT:
            if (chat := floor.chats.get(key)) is not None:
                _OF_ONE_CHAT[kind](floor, row, _cause(row, chat), chat)
        case _:
            raise ValueError(f"no such timer: {row.kind}")


def _serve(floor: Floor, row: Due, department: Key, listed: tuple[Key, ...]) -> None:
    """Place the chats of a queue in its order: assign while somebody is free, divert when nobody is left.

    A chat whose skills nobody who is free has is passed by. Where so many are that the list ends with them,
    the next holds only what somebody could take.
    """
    if floor.current(department) != department:
        # Whoever decided upon the directory as it was before may have come here after all had left.
        floor.sweep(DEPARTMENT_RETIRED, department)
        return
    passed_by = 0
    placed = [chat for key in listed if (chat := floor.chats.get(key)) and chat.state is State.QUEUED]
    for chat in placed:
        if not floor.can_place(chat.department):
            continue
        after = settle(floor, _cause(row, chat), chat, serving=True)
        if after.state is State.QUEUED and after.department == department and after.offer is None:
            if not _may_be_passed_by(floor, after, department):
                break
            passed_by += 1
    else:
        if len(listed) == LOOK_AT and (row.kind != SERVE_TAKEABLE or passed_by < len(listed)):
            floor.sweep(SERVE_TAKEABLE if passed_by else SERVE_QUEUE, department)


def _may_be_passed_by(floor: Floor, chat: Chat, department: Key) -> bool:
    """Whether a chat that goes on waiting leaves somebody free to others."""
    return chat.skills != "" and not chat.skills_relaxed and floor.ranking(department).anybody_available


def _retired(floor: Floor, row: Due, department: Key) -> None:
    """Move on what waits in a retired department; its successor's queue is served after the commit.

    Chats that agents hold stay with them. Should they be routed afresh, they move on then.
    """
    target = floor.current(department)
    if target is None or target == department:
        return
    listed = floor.facts.left.get(department, ())
    for key in listed:
        chat = floor.chats.get(key)
        if chat is not None and chat.department == department and chat.state in _WAITING:
            floor.move_on(_cause(row, chat), chat)
    end_those_into(floor, row, department)
    floor.sweep(SERVE_QUEUE, target)
    look_at_limits(floor, target)
    if len(listed) == LOOK_AT:
        floor.sweep(DEPARTMENT_RETIRED, department)


def _lost(floor: Floor, row: Due, agent_key: Key) -> None:
    """Route afresh the unanswered chats of an agent who is gone; the others stay theirs."""
    agent = floor.agents.get(agent_key)
    if agent is None or agent.state != "offline":
        return
    held = floor.facts.held.get(agent_key, ())
    for key in held:
        chat = floor.chats.get(key)
        if chat is None or chat.state is not State.ASSIGNED or chat.agent != agent_key:
            continue
        if chat.last_word == "customer" and floor.can_place(chat.department):
            settle(floor, _cause(row, chat), chat, reason="agent_lost")
    if len(held) == LOOK_AT:
        floor.sweep(AGENT_LOST, agent_key)


def _cause(row: Due, chat: Chat) -> Cause:
    return Cause(row.tenant_id, derived_id("due", row.kind, row.key, str(row.generation), chat.chat_id))
