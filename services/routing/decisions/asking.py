"""Departments that offer: whom to ask next, and what follows when nobody answers (docs/rules.md, 3)."""

from collections.abc import Iterable

from services.routing.decisions.choice import NO_SKILLS, Choice, choose
from services.routing.model import Agent, Strategy

MISSES = 2
"""Offers in a row that somebody leaves unanswered before they count as away."""
NOT_ANSWERING = "not_answering"


def choose_next(
    members: Iterable[Agent],
    strategy: Strategy,
    turn: str,
    passed: frozenset[str],
    skills: frozenset[str] = NO_SKILLS,
) -> Choice:
    """Choose among a department's members who have not passed on a chat, for these skills."""
    return choose((agent for agent in members if agent.agent_id not in passed), strategy, turn, skills)
