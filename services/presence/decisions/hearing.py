"""From events to what presence makes of them, and a batch of it sorted by whom it is about."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from services.presence.decisions.permission import is_own
from services.presence.model import (
    AgentKey,
    AgentRevised,
    Beat,
    Declare,
    Declared,
    Echo,
    Heard,
    Signal,
    SignIn,
    SignOut,
    TenantRevised,
    Terms,
)
from shared.contracts.agent_signals import AgentHeartbeat, AgentSignedIn, AgentSignedOut, AgentStateSet
from shared.contracts.agents import AgentChanged
from shared.contracts.directory import AgentDocument, TenantDocument
from shared.contracts.event import Event

LONGEST_QUIET = timedelta(days=400)
"""Longer than `idle_seconds` may be."""
Step: TypeAlias = Callable[..., Heard]
"""Takes the event of the one type it stands for in the table."""


def signed_in(event: Event[AgentSignedIn]) -> Signal:
    """A session opened; what it declares is for whoever starts afresh."""
    said = event.data
    declared = Declared(said.state or "online", said.reason, said.draining or False)
    return _signal(
        event,
        said.agent_id,
        SignIn(said.session_id, declared, said.lease_seconds, _quiet(event.time, said.active_at)),
    )


def heartbeat(event: Event[AgentHeartbeat]) -> Signal:
    """A session lives."""
    said = event.data
    return _signal(
        event, said.agent_id, Beat(said.session_id, said.lease_seconds, _quiet(event.time, said.active_at))
    )


def state_set(event: Event[AgentStateSet]) -> Signal:
    """A state was declared. Only the agent's own word is a sign that their session lives."""
    said = event.data
    own = is_own(said.by, said.agent_id)
    act = Declare(said.session_id if own else None, said.state, said.reason, said.draining, own)
    return _signal(event, said.agent_id, act)


def signed_out(event: Event[AgentSignedOut]) -> Signal:
    """A session ended, or all of them."""
    said = event.data
    return _signal(event, said.agent_id, SignOut(said.session_id, said.reason))


def agent_changed(event: Event[AgentChanged]) -> Echo:
    """Our own word came back."""
    return Echo(AgentKey(event.tenant_id, event.data.agent_id), event.data.version)


def tenant_document(event: Event[TenantDocument]) -> TenantRevised:
    """A tenant set their lease and grace."""
    said = event.data
    terms = Terms(said.lease_seconds, said.grace_seconds, said.idle_seconds, said.away_reasons)
    return TenantRevised(event.tenant_id, said.revision, terms)


def agent_document(event: Event[AgentDocument]) -> AgentRevised:
    """A person was put into the directory, or is going."""
    return AgentRevised(AgentKey(event.tenant_id, event.data.id), event.data.revision, event.data.retired)


def _quiet(said_at: datetime, active_at: datetime | None) -> timedelta | None:
    """Tell by the publisher's own clock how long the last input was ago: ours may show another time.

    What is longer than any tenant waits says no more than that, and could not be counted back from our time.
    """
    return None if active_at is None else min(max(said_at - active_at, timedelta()), LONGEST_QUIET)


def _signal(
    event: Event[AgentSignedIn] | Event[AgentHeartbeat] | Event[AgentStateSet] | Event[AgentSignedOut],
    agent_id: str,
    act: SignIn | Beat | Declare | SignOut,
) -> Signal:
    by = None if isinstance(event.data, AgentHeartbeat) else event.data.by
    return Signal(AgentKey(event.tenant_id, agent_id), act, event, by)


@dataclass(slots=True)
class Sorted:
    """A batch by whom it is about; of each document the newest revision, of the rest all, in order."""

    tenants: dict[str, TenantRevised] = field(default_factory=dict)
    agents: dict[AgentKey, AgentRevised] = field(default_factory=dict)
    echoes: dict[AgentKey, list[int]] = field(default_factory=dict)
    signals: dict[AgentKey, list[Signal]] = field(default_factory=dict)


def sort_out(batch: Iterable[Heard]) -> Sorted:
    """Sort a batch. Between topics there is no order, so documents may count before what came first."""
    found = Sorted()
    for heard in batch:
        match heard:
            case Signal(key):
                found.signals.setdefault(key, []).append(heard)
            case Echo(key, version):
                found.echoes.setdefault(key, []).append(version)
            case TenantRevised(tenant_id, revision):
                if (last := found.tenants.get(tenant_id)) is None or last.revision <= revision:
                    found.tenants[tenant_id] = heard
            case AgentRevised(key, revision):
                if (earlier := found.agents.get(key)) is None or earlier.revision <= revision:
                    found.agents[key] = heard
            case unknown:
                assert_never(unknown)
    return found
