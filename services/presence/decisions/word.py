"""What is said of an agent: the event of each version, and saying it again when a stale one came last."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from services.presence.model import Agent, Announced, Change, ChangeCause, Ignored, Noted, Standing, Verdict
from shared.contracts.actors import Actor
from shared.contracts.agents import AgentChanged
from shared.contracts.catalogue import fact
from shared.contracts.event import Cause, Event, Model, derived_id

SOURCE = "presence"


def announcement(agent: Agent) -> Event[Model]:
    """Say the agent's current state: always the same event for the same version."""
    if agent.because is None or agent.changed_at is None or agent.since is None or agent.cause is None:
        raise ValueError(f"nothing was ever said about {agent.key}")
    changed = AgentChanged(
        agent_id=agent.key.agent_id,
        state=agent.state,
        reason=agent.reason,
        draining=agent.draining,
        cause=agent.cause,
        by=agent.by,
        since=agent.since,
        version=agent.version,
    )
    return fact(agent.because, changed, source=SOURCE, subject=agent.key.agent_id, time=agent.changed_at)


def hear_echo(agent: Agent, versions: Sequence[int]) -> tuple[Agent, bool]:
    """Note the versions read back from our topic; says whether the current state must be said again.

    A late duplicate of an older state is what compaction would keep (docs/pipeline.md, 1), unless a
    newer state of ours is still on its way.
    """
    if not versions:
        return agent, False
    echoed = max(agent.echoed_version, *versions)
    stale = versions[-1] < echoed == agent.version
    return (agent if echoed == agent.echoed_version else replace(agent, echoed_version=echoed)), stale


def settle(
    before: Standing,
    after: Standing,
    cause: ChangeCause,
    because: Cause,
    now: datetime,
    *,
    by: Actor | None = None,
) -> Announced | Noted:
    """Give what people see of a change its version and its event; the rest is noted."""
    was, agent = before.agent, after.agent
    if (was.state, was.reason, was.draining) == (agent.state, agent.reason, agent.draining):
        return Noted(after)
    said = replace(
        agent,
        version=max(was.version, was.echoed_version) + 1,
        cause=cause,
        by=by,
        since=was.since if agent.state == was.state and was.since is not None else now,
        changed_at=now,
        because=because,
    )
    return Announced(replace(after, agent=said), announcement(said))


def own_cause(agent: Agent, what: str, *parts: str) -> Cause:
    """Name a finding of our own as a cause: found again, it has the same identity."""
    key = agent.key
    return Cause(key.tenant_id, derived_id(SOURCE, what, key.tenant_id, key.agent_id, *parts))


def changed(before: Standing, verdict: Verdict) -> Change:
    """Set a verdict beside what it was about."""
    match verdict:
        case Announced(after, event):
            return Change(before, after, (event,))
        case Noted(after):
            return Change(before, after)
        case Ignored():
            return Change(before, before)
        case unknown:
            assert_never(unknown)
