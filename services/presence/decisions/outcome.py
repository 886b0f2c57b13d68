"""What follows from changes for the platform: events to publish, graces to time."""

from collections.abc import Iterable

from services.presence.model import AgentKey, Change
from shared.platform.outcome import Due, Outcome

GRACE = "grace"


def outcome_of(changes: Iterable[Change]) -> Outcome:
    """Say what was announced; time each grace that began, and no longer each that ended."""
    outcome = Outcome()
    for change in changes:
        outcome.outgoing += change.events
        key, until = change.after.agent.key, change.after.agent.grace_until
        if until is not None and until != change.before.agent.grace_until:
            outcome.schedule.append(Due(GRACE, due_key(key), key.tenant_id, until))
        elif until is None and change.before.agent.is_lost:
            outcome.cancel.append((GRACE, due_key(key)))
    return outcome


def due_key(key: AgentKey) -> str:
    """Name an agent in a timer."""
    return f"{key.tenant_id}/{key.agent_id}"


def agent_of(due: Due) -> AgentKey:
    """Read the agent back from their timer."""
    return AgentKey(due.tenant_id, due.key.removeprefix(f"{due.tenant_id}/"))
