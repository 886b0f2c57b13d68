"""Who is to get a chat that people give away: an agent, an agent within a department, a department's next."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.routing.decisions.asking import choose_next
from services.routing.decisions.choice import Choice, Verdict, candidate
from services.routing.decisions.commands import has_slot, judge_receiver
from services.routing.decisions.floor import Floor
from services.routing.decisions.placement import rested_on
from services.routing.decisions.refusals import is_closed
from services.routing.decisions.skills import choose_for, preferred
from services.routing.model import Agent, Chat, Department
from shared.contracts.chat_commands import ChatAssign, ChatTransfer


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets a chat, and what that rested on."""

    agent: Agent
    why: Mapping[str, Any]


def named_receiver(agent: Agent, *, slot: bool = False) -> Receiver:
    """Return somebody who was named by hand. ``slot``: one of theirs is taken for the chat, however full."""
    why: dict[str, Any] = {"receiver": candidate(agent)}
    return Receiver(agent, {**why, "has_slot": True} if slot else why)


def receiver(floor: Floor, chat: Chat, command: ChatAssign | ChatTransfer) -> Receiver | str:
    """Return the agent who is to have the chat, or why there is none.

    Nobody transfers a chat to themselves: of a department, whoever holds it is passed over.
    """
    department: Department | None = None
    if command.department_id is not None:
        department = floor.department((chat.tenant_id, command.department_id))
        if department is None:
            return "unknown_department"
        if is_closed(floor, department):
            return "department_closed"
    if command.agent_id is not None:
        agent = floor.agents.get((chat.tenant_id, command.agent_id))
        refusal = judge_receiver(agent, chat, command.department_id)
        named = named_receiver(agent, slot=has_slot(agent, chat)) if agent is not None else "unknown_agent"
        return refusal or named
    if department is None:
        return "unknown_department"
    turn = floor.turn(department.key)
    choice = _choice(floor, department, chat, without=isinstance(command, ChatTransfer))
    if choice.agent is None:
        return "all_full" if choice.counts.get(Verdict.FULL) else "nobody_online"
    floor.turn_taken(department, choice.agent)
    calendar = floor.calendar(department)
    why = rested_on(department, calendar, choice, opened=None if calendar is None else True, turn=turn)
    return Receiver(choice.agent, {**why, "receiver": candidate(choice.agent)})


def _choice(floor: Floor, department: Department, chat: Chat, *, without: bool) -> Choice:
    """Choose ``without`` whoever holds the chat, or among all: those with its skills come before others."""
    key, wanted = department.key, preferred(chat)
    if not without or chat.agent_id is None:
        return choose_for(wanted, lambda skills: floor.ranking(key, skills).choose())
    holder, turn = frozenset({chat.agent_id}), floor.turn(key)
    others = partial(choose_next, floor.members(key), department.strategy, turn, holder)
    return choose_for(wanted, others)
