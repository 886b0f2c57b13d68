"""Who may do what with a chat: each judgement returns a refusal's reason, or None (docs/rules.md, 3)."""

from services.routing.decisions.choice import Verdict, verdict
from services.routing.model import LIVE, Agent, Chat, State
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAssign, ChatCommand

SUPERVISING = frozenset({"supervisor", "admin"})
UNAVAILABLE = {
    Verdict.FULL: "agent_full",
    Verdict.AWAY: "agent_away",
    Verdict.DRAINING: "agent_away",
    Verdict.OFFLINE: "agent_offline",
}


def judge_own_chat(chat: Chat, command: ChatCommand) -> str | None:
    """Only the agent who holds a chat writes to its customer and offers it to others, whoever else asks."""
    if refusal := not_live_or_stale(chat, command):
        return refusal
    if command.by.role in {"customer", "system"}:
        return "role_not_allowed"
    return None if holds(chat, command.by) else "not_your_chat"


def judge_holder(chat: Chat, command: ChatCommand) -> str | None:
    """What the agent who holds a live chat may do with it, and so may supervisors: close, park, flag."""
    if refusal := not_live_or_stale(chat, command):
        return refusal
    if command.by.role in SUPERVISING or holds(chat, command.by):
        return None
    return "not_your_chat" if command.by.role == "agent" else "role_not_allowed"


def judge_assign(chat: Chat, command: ChatAssign) -> str | None:
    """Supervisors assign live chats, to a department, an agent within it, or any agent."""
    if refusal := judge_supervising(chat, command):
        return refusal
    if command.agent_id is None and command.department_id is None:
        return "unknown_agent"
    return None


def judge_supervising(chat: Chat, command: ChatCommand) -> str | None:
    """What only supervisors may do with a live chat: move it up its queue, or to another department."""
    if refusal := not_live_or_stale(chat, command):
        return refusal
    return None if command.by.role in SUPERVISING else "role_not_allowed"


def judge_receiver(agent: Agent | None, chat: Chat, department_id: str | None) -> str | None:
    """An agent who is named gets the chat only while available, and within a department only as a member."""
    refusal = judge_named(agent, department_id)
    if refusal == "agent_full" and agent is not None and has_slot(agent, chat):
        return None  # the slot it takes is the one it has
    return refusal


def has_slot(agent: Agent, chat: Chat) -> bool:
    """Say whether one of the agent's slots is taken for this very chat: held, or offered to them."""
    return chat.receiver == agent.key or (chat.state is State.ASSIGNED and chat.agent == agent.key)


def judge_named(agent: Agent | None, department_id: str | None) -> str | None:
    """An agent who is named takes one more chat only while available, and within a department as a member."""
    if agent is None or agent.capacity == 0 or "agent" not in agent.roles:
        return "unknown_agent"
    if department_id is not None and department_id not in agent.departments:
        return "not_a_member"
    return UNAVAILABLE.get(verdict(agent))


def not_live_or_stale(chat: Chat, command: ChatCommand) -> str | None:
    """Refuse what is asked of a chat that is not live, or that went on meanwhile."""
    if chat.state not in LIVE:
        return "chat_not_live"
    return "stale_assignment" if is_stale(chat, command) else None


def is_stale(chat: Chat, command: ChatCommand) -> bool:
    """Say whether a command was given by an older view of who has the chat."""
    return command.expected_assignment_version not in {None, chat.assignment_version}


def holds(chat: Chat, by: Actor) -> bool:
    """Say whether the chat is theirs, assigned or parked."""
    return chat.agent_id is not None and by.id == chat.agent_id
