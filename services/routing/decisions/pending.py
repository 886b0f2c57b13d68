"""Parked chats: they hold no slot, and go on when their customer writes or their time is over."""

from datetime import datetime, timedelta
from typing import cast

from services.routing.decisions.commands import judge_holder
from services.routing.decisions.floor import AGENT_LOST, PENDING_OVER, SYSTEM, Floor
from services.routing.decisions.refusals import permitted, refuse
from services.routing.decisions.settling import settle
from services.routing.decisions.silence import await_word
from services.routing.model import Chat, Department, State, due_name
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatMarkPending, ChatUnmarkPending
from shared.contracts.event import Cause
from shared.platform.outcome import Due, Received

LONGEST = timedelta(days=30)
"""No chat is parked for longer at once: by then nobody remembers why."""


def mark_pending(floor: Floor, received: Received) -> None:
    """Park a chat, or a parked one for another time."""
    command = cast(ChatMarkPending, received.event.data)
    if (chat := permitted(floor, received, command, judge_holder)) is None:
        return
    until = command.until or floor.now + _patience(floor, chat)
    if (refusal := _judge_until(floor, until)) is not None:
        refuse(floor, received, command, chat, refusal, detail=_bounds(floor, until))
        return
    if chat.agent is None:
        refuse(floor, received, command, chat, "not_assigned")
        return
    floor.expect_nothing(chat)
    agent = floor.free_slot(chat.agent) if chat.state is State.ASSIGNED else floor.agents[chat.agent]
    floor.outcome.schedule.append(Due(PENDING_OVER, due_name(chat.key), chat.tenant_id, until))
    floor.tell(
        received.event.as_cause(),
        chat.after(state=State.PENDING, pending_until=until),
        chats.ChatPendingMarked,
        by=command.by,
        reason=command.reason,
        until=until,
        note=command.note,
        agent_load=agent.load,
    )


def unmark_pending(floor: Floor, received: Received) -> None:
    """Let a parked chat go on with its agent."""
    command = cast(ChatUnmarkPending, received.event.data)
    if (chat := permitted(floor, received, command, _judge_unmark)) is None:
        return
    wake(floor, received.event.as_cause(), chat, "unmarked", command.by)


def wake(floor: Floor, cause: Cause, chat: Chat, reason: str, by: Actor | None = None) -> Chat:
    """Bring a parked chat back to its agent, online or away, also over their capacity.

    Should they be gone, their unanswered chats are looked at after the commit.
    """
    if chat.agent is None:
        raise LookupError(f"chat {chat.chat_id} is parked without an agent")
    agent = floor.fill_slot(chat.agent)
    floor.outcome.cancel.append((PENDING_OVER, due_name(chat.key)))
    chat = floor.tell(
        cause,
        chat.after(state=State.ASSIGNED, pending_until=None, silent_since=floor.now, owes_since=floor.now),
        chats.ChatPendingUnmarked,
        by=by,
        reason=reason,
        agent_load=agent.load,
    )
    await_word(floor, chat)
    if agent.state == "offline":
        floor.sweep(AGENT_LOST, agent.key)
    return chat


def pending_over(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """End a parking whose time is over: close it if the last word is ours, else it goes on."""
    if chat.state is not State.PENDING or chat.agent is None or chat.pending_until is None:
        return
    if chat.pending_until > row.at:
        until = chat.pending_until
        floor.outcome.schedule.append(Due(PENDING_OVER, due_name(chat.key), chat.tenant_id, until))
    elif chat.last_word == "business":
        floor.close(cause, chat, by=SYSTEM, reason="pending_expired")
    elif floor.agents[chat.agent].state == "offline" and floor.can_place(chat.department):
        settle(floor, cause, chat, reason="pending_expired")
    else:
        wake(floor, cause, chat, "pending_expired", SYSTEM)


def _judge_unmark(chat: Chat, command: ChatUnmarkPending) -> str | None:
    return judge_holder(chat, command) or (None if chat.state is State.PENDING else "not_pending")


def _patience(floor: Floor, chat: Chat) -> timedelta:
    department = floor.department(chat.department) if chat.department else None
    return (department or Department("", "")).pending_timeout


def _bounds(floor: Floor, until: datetime) -> str:
    latest = floor.now + LONGEST
    return (
        f"until is {until.isoformat()}, allowed here: after {floor.now.isoformat()}, by {latest.isoformat()}"
    )


def _judge_until(floor: Floor, until: datetime) -> str | None:
    if until <= floor.now:
        return "until_is_past"
    return "until_too_far" if until > floor.now + LONGEST else None
