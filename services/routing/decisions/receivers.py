"""Who is to get a chat that people give away: an agent, an agent within a department, a department's next."""

from services.routing.decisions.choice import Choice, Verdict, choose
from services.routing.decisions.commands import judge_receiver
from services.routing.decisions.floor import Floor
from services.routing.decisions.refusals import is_closed
from services.routing.model import Agent, Chat, Department
from shared.contracts.chat_commands import ChatAssign, ChatTransfer


def receiver(floor: Floor, chat: Chat, command: ChatAssign | ChatTransfer) -> Agent | str:
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
        return judge_receiver(agent, chat, command.department_id) or agent or "unknown_agent"
    if department is None:
        return "unknown_department"
    choice = _choice(floor, department, chat.agent_id if isinstance(command, ChatTransfer) else None)
    if choice.agent is None:
        return "all_full" if choice.counts.get(Verdict.FULL) else "nobody_online"
    floor.turn_taken(department, choice.agent)
    return choice.agent


def _choice(floor: Floor, department: Department, without: str | None) -> Choice:
    ranking = floor.ranking(department.key)
    if without is None:
        return ranking.choose()
    others = [agent for agent in floor.members(department.key) if agent.agent_id != without]
    return choose(others, department.strategy, ranking.turn)
