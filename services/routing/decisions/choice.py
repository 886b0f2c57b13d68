"""Who gets a chat: ``least_loaded``, ties by longest idle (docs/rules.md, 3)."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.routing.model import Agent, Key

RUNNERS_UP = 2
"""Candidates named after the chosen one: enough to see that the order was kept."""

_NEVER = datetime.min.replace(tzinfo=UTC)


class Verdict(StrEnum):
    """Why a candidate can or cannot take a chat."""

    AVAILABLE = "available"
    FULL = "full"
    AWAY = "away"
    OFFLINE = "offline"
    DRAINING = "draining"


Rank = tuple[int, datetime, str]


def verdict(agent: Agent) -> Verdict:
    """Say whether an agent can take one more chat now, and if not, why."""
    if agent.state != "online":
        return Verdict.AWAY if agent.state == "away" else Verdict.OFFLINE
    if agent.draining:
        return Verdict.DRAINING
    return Verdict.AVAILABLE if agent.load < agent.capacity else Verdict.FULL


def rank(agent: Agent) -> Rank:
    """Order candidates: least load first, then who has gone longest without a new chat, then by id."""
    return (agent.load, agent.last_assigned_at or _NEVER, agent.agent_id)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen agent, if any, with what the decision rested on."""

    agent: Agent | None
    shortlist: tuple[Agent, ...]
    counts: Mapping[Verdict, int]

    @property
    def anybody_working(self) -> bool:
        """Whether somebody is online whom the customer may wait for."""
        return self.counts.get(Verdict.AVAILABLE, 0) + self.counts.get(Verdict.FULL, 0) > 0


def choose(candidates: Iterable[Agent]) -> Choice:
    """Choose among a department's members. The definition; `Ranking` gives the same answers faster."""
    agents = list(candidates)
    counts = Counter(verdict(agent) for agent in agents)
    available = sorted((agent for agent in agents if verdict(agent) is Verdict.AVAILABLE), key=rank)
    return Choice(available[0] if available else None, tuple(available[: 1 + RUNNERS_UP]), counts)


class Ranking:
    """The members of one department, kept in order while a batch gives chats away.

    ``agents`` is the batch's working copy; after an agent in it changed, tell `changed`.
    """

    def __init__(self, members: Iterable[Key], agents: Mapping[Key, Agent]) -> None:
        self._members = {key: agents[key] for key in members}
        self._counts = Counter(map(verdict, self._members.values()))
        self._available = sorted(
            (rank(agent), key) for key, agent in self._members.items() if verdict(agent) is Verdict.AVAILABLE
        )

    def changed(self, agent: Agent) -> None:
        """Take note of an agent's new load or state."""
        before = self._members.get(agent.key)
        if before is None:
            return
        self._members[agent.key] = agent
        then, now = verdict(before), verdict(agent)
        self._counts[then] -= 1
        self._counts[now] += 1
        if then is Verdict.AVAILABLE:
            del self._available[bisect_left(self._available, (rank(before), before.key))]
        if now is Verdict.AVAILABLE:
            insort(self._available, (rank(agent), agent.key))

    def choose(self) -> Choice:
        """Return what `choose` returns for the members as they are now."""
        shortlist = tuple(self._members[key] for _, key in self._available[: 1 + RUNNERS_UP])
        counts = {found: count for found, count in self._counts.items() if count}
        return Choice(shortlist[0] if shortlist else None, shortlist, counts)
