"""Who gets a chat: ``least_loaded``, ties by longest idle (docs/rules.md, 3)."""

import heapq
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
        self._agents = agents
        self._verdicts = {key: verdict(agents[key]) for key in members}
        self._counts = Counter(self._verdicts.values())
        self._heap = [
            (rank(agents[key]), key) for key, found in self._verdicts.items() if found is Verdict.AVAILABLE
        ]
        heapq.heapify(self._heap)

    def changed(self, agent: Agent) -> None:
        """Take note of an agent's new load or state."""
        before = self._verdicts.get(agent.key)
        if before is None:
            return
        after = self._verdicts[agent.key] = verdict(agent)
        self._counts[before] -= 1
        self._counts[after] += 1
        if after is Verdict.AVAILABLE:
            heapq.heappush(self._heap, (rank(agent), agent.key))

    def choose(self) -> Choice:
        """Return what `choose` returns for the members as they are now."""
        shortlist: list[Agent] = []
        taken: list[tuple[Rank, Key]] = []
        while self._heap and len(shortlist) <= RUNNERS_UP:
            entry = heapq.heappop(self._heap)
            agent = self._agents[entry[1]]
            current = self._verdicts[agent.key] is Verdict.AVAILABLE and rank(agent) == entry[0]
            if current and (not taken or taken[-1] != entry):
                shortlist.append(agent)
                taken.append(entry)
        for entry in taken:
            heapq.heappush(self._heap, entry)
        counts = {found: count for found, count in self._counts.items() if count}
        return Choice(shortlist[0] if shortlist else None, tuple(shortlist), counts)
