"""Who gets a chat, by the department's strategy (docs/rules.md, 3)."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from services.routing.model import Agent, Key, Others, Strategy

NAMED = 20
"""Candidates a decision names at most; how many there were of each verdict is counted."""
RUNNERS_UP = 2
"""Candidates it names after the chosen one at least, if there are so many: enough to see the order kept."""

NO_SKILLS: frozenset[str] = frozenset()
_NEVER = datetime.min.replace(tzinfo=UTC)


class Verdict(StrEnum):
    """Why a candidate can or cannot take a chat."""

    AVAILABLE = "available"
    LACKS_SKILL = "lacks_skill"
    FULL = "full"
    AWAY = "away"
    OFFLINE = "offline"
    DRAINING = "draining"


Rank = tuple[int, datetime, str]

Candidate = Sequence[Any]
"""What a decision records of a candidate, by place to be small: id, verdict, load, capacity, the version of
their state, and when they were last given a chat (ISO 8601, None for never)."""

_PASSED_OVER: Mapping[Verdict, int] = {
    found: place
    for place, found in enumerate(
        (Verdict.LACKS_SKILL, Verdict.FULL, Verdict.DRAINING, Verdict.AWAY, Verdict.OFFLINE)
    )
}
"""Who cannot take a chat is named after all who can, the nearest to it first."""


def verdict(agent: Agent, skills: frozenset[str] = NO_SKILLS) -> Verdict:
    """Say whether an agent can take one more chat now, one that asks for these skills, and if not, why."""
    if agent.state != "online":
        return Verdict.AWAY if agent.state == "away" else Verdict.OFFLINE
    if agent.draining:
        return Verdict.DRAINING
    if agent.load >= agent.capacity:
        return Verdict.FULL
    return Verdict.LACKS_SKILL if skills and not skills <= agent.skills else Verdict.AVAILABLE


def candidate(agent: Agent, skills: frozenset[str] = NO_SKILLS) -> Candidate:
    """Record what a decision goes by of an agent."""
    given = agent.last_assigned_at
    return (
        agent.agent_id,
        verdict(agent, skills).value,
        agent.load,
        agent.capacity,
        agent.presence_version,
        None if given is None else given.isoformat(),
    )


def _least_loaded(agent: Agent) -> Rank:
    """Least load first, then who has gone longest without a new chat, then by id."""
    return (agent.load, agent.last_assigned_at or _NEVER, agent.agent_id)


def _longest_idle(agent: Agent) -> Rank:
    """Who has gone longest without a new chat of any department, then by id."""
    return (0, agent.last_assigned_at or _NEVER, agent.agent_id)


def _round_robin(agent: Agent) -> Rank:
    """By id: a circle, which a choice enters after whoever had the last turn."""
    return (0, _NEVER, agent.agent_id)


_RANKS: Mapping[Strategy, Callable[[Agent], Rank]] = {
    "least_loaded": _least_loaded,
    "longest_idle": _longest_idle,
    "round_robin": _round_robin,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen agent, if any, with what the decision rested on: who could in rank, then who could not."""

    agent: Agent | None
    shortlist: tuple[Candidate, ...]
    counts: Mapping[Verdict, int]
    skills: Mapping[str, Any] | None = None
    """What was asked for and whether it was held to, as it is recorded; None where nothing was."""

    @property
    def anybody_working(self) -> bool:
        """Whether somebody is online whom the customer may wait for."""
        count = self.counts.get
        return count(Verdict.AVAILABLE, 0) + count(Verdict.FULL, 0) + count(Verdict.LACKS_SKILL, 0) > 0


def choose(
    candidates: Iterable[Agent],
    strategy: Strategy = "least_loaded",
    turn: str = "",
    skills: frozenset[str] = NO_SKILLS,
) -> Choice:
    """Choose among a department's members. The definition; `Ranking` gives the same answers faster.

    ``turn`` is whom ``round_robin`` chose last; they are the last in the circle, wherever they are now.
    Who lacks one of the ``skills`` is not available.
    """
    judged = [(agent, verdict(agent, skills)) for agent in candidates]
    counts = Counter(found for _, found in judged)
    available = [agent for agent, found in judged if found is Verdict.AVAILABLE]
    available.sort(key=_RANKS[strategy])
    if strategy == "round_robin":
        available.sort(key=lambda agent: agent.agent_id <= turn)
    others = [one for one in judged if one[1] is not Verdict.AVAILABLE]
    others.sort(key=lambda one: (_PASSED_OVER[one[1]], one[0].agent_id))
    first = [*available, *(agent for agent, _ in others)][:NAMED]
    named = tuple(candidate(agent, skills) for agent in first)
    return Choice(available[0] if available else None, named, counts)


class ShortlistEndsError(LookupError):
    """Somebody who was not read may come before those who were: the batch is decided anew, with all read."""


NO_OTHERS = Others()


class Ranking:
    """The members of one department, kept in order while a batch gives chats away.

    ``others`` are the members whom the batch did not read; nobody's choice may depend on more of them than
    that the best of them comes after whoever is told.

    ``agents`` is the batch's working copy; after an agent in it changed, tell `changed`. ``turn`` is to
    be set to whom ``round_robin`` chose. Who lacks one of the ``skills`` is not available.
    """

    def __init__(
        self,
        members: Iterable[Key],
        agents: Mapping[Key, Agent],
        strategy: Strategy = "least_loaded",
        turn: str = "",
        others: Others = NO_OTHERS,
        *,
        skills: frozenset[str] = NO_SKILLS,
    ) -> None:
        self.turn = turn
        self._skills = skills
        self._others = others
        self._in_a_circle = strategy == "round_robin"
        self._rank = rank = _RANKS[strategy]
        self._members = {key: agents[key] for key in members}
        found = [verdict(agent, skills) for agent in self._members.values()]
        # Counted one by one: to hash a word of an enum takes longer than to judge an agent.
        self._counts = Counter({one: found.count(one) + others.counts.get(one, 0) for one in Verdict})
        self._available = sorted(
            (rank(agent), key)
            for (key, agent), one in zip(self._members.items(), found, strict=True)
            if one is Verdict.AVAILABLE
        )
        self._passed: list[tuple[int, Key]] | None = None
        self._candidates: dict[Key, Candidate] = {}

    def changed(self, agent: Agent) -> None:
        """Take note of an agent's new load or state."""
        before = self._members.get(agent.key)
        if before is None:
            return
        self._members[agent.key] = agent
        self._candidates.pop(agent.key, None)
        then, now = verdict(before, self._skills), verdict(agent, self._skills)
        self._counts[then] -= 1
        self._counts[now] += 1
        if then is Verdict.AVAILABLE:
            del self._available[bisect_left(self._available, (self._rank(before), before.key))]
        if now is Verdict.AVAILABLE:
            insort(self._available, (self._rank(agent), agent.key))
        if self._passed is not None and then is not now:
            if then is not Verdict.AVAILABLE:
                del self._passed[bisect_left(self._passed, (_PASSED_OVER[then], agent.key))]
            if now is not Verdict.AVAILABLE:
                insort(self._passed, (_PASSED_OVER[now], agent.key))

    @property
    def anybody_available(self) -> bool:
        """Whether somebody has room, read or not."""
        return self._counts[Verdict.AVAILABLE] > 0

    def choose(self) -> Choice:
        """Return what `choose` returns for the members as they are now. Raises ShortlistEndsError.

        Where not all were read it names only those of whom it is known that nobody else comes before them.
        """
        best = self._available[:NAMED]
        if self._in_a_circle:
            rest = self._available[self._after_turn() :]
            best = (rest + self._available[: len(self._available) - len(rest)])[:NAMED]
        if self._others.best is not None:
            best = self._proven(best, self._others.best)
        known = self._candidates
        named = [known.get(key) or self._candidate(key) for _, key in best]
        if len(named) < NAMED and self._others.best is None:
            named += [self._candidate(key) for _, key in self._passed_over()[: NAMED - len(named)]]
        counts = {found: count for found, count in self._counts.items() if count}
        return Choice(self._members[best[0][1]] if best else None, tuple(named), counts)

    def _passed_over(self) -> Sequence[tuple[int, Key]]:
        """Return who cannot take a chat, in order; asked for only where those who can are few."""
        if self._passed is None:
            found = ((verdict(agent, self._skills), key) for key, agent in self._members.items())
            self._passed = sorted((_PASSED_OVER[one], key) for one, key in found if one in _PASSED_OVER)
        return self._passed

    def _candidate(self, key: Key) -> Candidate:
        """Record each candidate once for all the decisions until they change."""
        if (found := self._candidates.get(key)) is None:
            found = self._candidates[key] = candidate(self._members[key], self._skills)
        return found

    def _proven(self, best: list[tuple[Rank, Key]], other: Agent) -> list[tuple[Rank, Key]]:
        """Return those who come before ``other``, the best of whom nothing was read."""
        known = bisect_right(best, self._place(other), key=lambda entry: self._place(self._members[entry[1]]))
        if known <= RUNNERS_UP:
            raise ShortlistEndsError(f"{other.key} may come first")
        return best[:known]

    def _place(self, agent: Agent) -> tuple[bool, Rank]:
        return (self._in_a_circle and agent.agent_id <= self.turn, self._rank(agent))

    def _after_turn(self) -> int:
        """Return where in the circle the next turn begins."""
        return bisect_right(self._available, self.turn, key=lambda entry: entry[0][2])
