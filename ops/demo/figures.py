"""Figures of a run, from its history, and what occurred in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ops.checker.history import History
from ops.checker.story import Story, Told
from ops.demo.effort import Effort
from shared.contracts.agents import AgentChanged
from shared.contracts.chats import (
    ChatAssigned,
    ChatCommandRefused,
    ChatDiverted,
    ChatMessageAdded,
    ChatQueued,
)
from shared.contracts.deliveries import DeliveryInDoubt, DeliveryRefused
from shared.contracts.tickets import TicketCommandRefused


@dataclass(frozen=True, slots=True)
class Latency:
    """From a customer's message on its topic to the assignment on its, in milliseconds."""

    count: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run amounted to. Rates are by the broker's clock."""

    messages: int
    chats: int
    tickets: int
    messages_per_second: float
    latency: Latency | None
    """Of chats that found an agent at once."""
    cpu_us_per_message: float | None
    """Routing's processor time while traffic ran, all of it."""
    cpu_us_above_idling: float | None
    """The same without what routing takes when there is nothing to do."""
    longest_ms: float | None = None
    """From a customer's message on its topic to the fact that carries it: the longest of all of them."""


def figures(history: History, story: Story, effort: Effort | None) -> Figures:
    """Compute the figures of a run."""
    messages = [told for pair in story.inbound.values() for told in pair]
    times = [told.record.written_at for told in messages]
    span = (max(times) - min(times)).total_seconds() if times else 0.0
    return Figures(
        messages=len(messages),
        chats=len(history.databases.chats),
        tickets=len(history.databases.tickets),
        messages_per_second=len(messages) / span if span else 0.0,
        latency=_latency(story),
        cpu_us_per_message=effort.used * 1e6 / len(messages) if effort and messages else None,
        cpu_us_above_idling=(effort.used - effort.idling) * 1e6 / len(messages)
        if effort and messages
        else None,
        longest_ms=_longest(story),
    )


def _latency(story: Story) -> Latency | None:
    published = _published(story)
    waits: list[float] = []
    for told in story.facts.values():
        first = _first_message(told)
        assigned = next((one for one in told if isinstance(one.event.data, ChatAssigned | ChatQueued)), None)
        if first is None or assigned is None or not isinstance(assigned.event.data, ChatAssigned):
            continue
        name = (first.event.pair_key or "", first.event.data.message_id)
        if name in published and not any(isinstance(one.event.data, ChatDiverted) for one in told):
            waits.append((assigned.record.written_at - published[name]).total_seconds() * 1000)
    return latency_of(waits)


def _longest(story: Story) -> float | None:
    """Return the longest time that any message took to its chat: routing that stands still shows here."""
    published = _published(story)
    waits = [
        (told.record.written_at - published[name]).total_seconds() * 1000
        for facts in story.facts.values()
        for told in facts
        if isinstance(told.event.data, ChatMessageAdded)
        and (name := (told.event.pair_key or "", told.event.data.message_id)) in published
    ]
    return max(waits, default=None)


def _published(story: Story) -> dict[tuple[str, str], datetime]:
    """Return when each message was first on its topic, by pair and the provider's id."""
    return {
        (told.event.pair_key or "", told.event.data.provider_message_id): told.record.written_at
        for pair in story.inbound.values()
        for told in pair
    }


def latency_of(waits: Sequence[float]) -> Latency | None:
    """Sum up some waits, in milliseconds; None without any."""
    ordered = sorted(waits)
    if not ordered:
        return None
    return Latency(len(ordered), _quantile(ordered, 0.5), _quantile(ordered, 0.99))


def _first_message(told: Sequence[Told]) -> Told | None:
    return next((one for one in told if isinstance(one.event.data, ChatMessageAdded)), None)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Happened:
    """What a demo is about, and how often it occurred in this one."""

    duplicates: int
    refusals: int
    diverts: int
    lost_agents: int
    refused_outside_window: int
    in_doubt: int
    dead_letters: int

    def missing(self) -> list[str]:
        """Return what has to occur in any run, and did not."""
        needed = {
            "a duplicate": self.duplicates,
            "a refusal": self.refusals,
            "a divert": self.diverts,
            "a lost agent": self.lost_agents,
        }
        return [what for what, count in needed.items() if not count]


def happened(history: History, story: Story) -> Happened:
    """Count what occurred."""
    topics = ("chats.v1", "tickets.v1", "deliveries.v1", "agents.v1")
    said = [told.event.data for topic in topics for told in story.told(topic)]
    refused = [one for one in said if isinstance(one, DeliveryRefused)]
    return Happened(
        duplicates=sum(line.repeat for line in history.published),
        refusals=sum(isinstance(one, ChatCommandRefused | TicketCommandRefused) for one in said)
        + len(refused),
        diverts=sum(isinstance(one, ChatDiverted) for one in said),
        lost_agents=sum(isinstance(one, AgentChanged) and one.cause == "lost" for one in said),
        refused_outside_window=sum(one.reason == "window_closed" for one in refused),
        in_doubt=sum(isinstance(one, DeliveryInDoubt) for one in said),
        dead_letters=sum(len(found) for topic, found in history.topics.items() if "dead-letters" in topic),
    )
