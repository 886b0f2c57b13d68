"""When agents were gone, computed from their signals: what presence should have found out."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from ops.checker.history import Key, Reading
from ops.checker.story import Story, Told
from ops.checker.stretches import Span
from shared.contracts.agent_signals import AgentHeartbeat, AgentSignedIn, AgentSignedOut, AgentStateSet
from shared.contracts.directory import TenantDocument

STEADY = timedelta(seconds=1.5)
"""Signals read later than this count as lag, after which presence waits a lease (docs/rules.md, 2)."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_UNNAMED = TenantDocument(id="unnamed", revision=0, name="unnamed", first_line_department="none")


class Absences:
    """From when each agent's grace was over, without any lease since, until they were heard again."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._unsteady = list(_unsteady(story.history.readings.get("presence", ())))
        self._signals: dict[Key, list[Told]] = defaultdict(list)
        for told in story.told("agent-signals.v1"):
            self._signals[(told.tenant_id, told.event.data.agent_id)].append(told)
        self._spans: dict[Key, list[Span]] = {}

    def of(self, agent: Key) -> list[Span]:
        """Return an agent's absences in order."""
        if agent not in self._spans:
            tenant = self._story.tenants.get(agent[0], _UNNAMED)
            lease, grace = timedelta(seconds=tenant.lease_seconds), timedelta(seconds=tenant.grace_seconds)
            gaps = self._gaps(self._signals.get(agent, ()), lease)
            late = (Span(gap.start + grace, gap.end) for gap in gaps if gap.start < _NEVER)
            self._spans[agent] = [span for span in late if span]
        return self._spans[agent]

    def judged_by(self, agent: Key, moment: datetime) -> datetime:
        """Return when presence had to be sure of an absence that had lasted long enough at a moment."""
        lease = timedelta(seconds=self._story.tenants.get(agent[0], _UNNAMED).lease_seconds)
        sure = moment
        for unsteady in self._unsteady[bisect_left(self._unsteady, moment - lease) :]:
            if unsteady > sure:
                break
            sure = max(sure, unsteady + lease)
        return sure

    def _gaps(self, signals: Iterable[Told], lease: timedelta) -> Iterator[Span]:
        """Yield the times without a lease. A lease counts from when its signal surely had been read."""
        leases: dict[str, datetime] = {}
        ended: set[str] = set()
        alive_until: datetime | None = None
        for told in sorted(signals, key=lambda one: (one.record.partition, one.record.offset)):
            read_at = self._story.caught_up_at("presence", told.record.written_at)
            match told.event.data:
                case AgentSignedOut(session_id=session_id):
                    ended |= {session_id} if session_id else set(leases)
                    leases = {name: end for name, end in leases.items() if name not in ended}
                    alive_until = max(leases.values(), default=read_at or _NEVER)
                    continue
                case AgentSignedIn() | AgentHeartbeat() as signal if signal.session_id not in ended:
                    session_id = signal.session_id
                case AgentStateSet(session_id=str() as session_id, by=by) if by is None or by.role == "agent":
                    pass
                case _:
                    continue
            back = min(told.event.time, told.record.written_at)
            if alive_until is not None and alive_until < back:
                yield Span(alive_until, back)
            wish = timedelta(seconds=getattr(told.event.data, "lease_seconds", None) or 0)
            leases[session_id] = _NEVER if read_at is None else read_at + max(lease, wish)
            alive_until = max(leases.values())
        if alive_until is not None:
            yield Span(alive_until, self._story.history.taken_at)


def _unsteady(readings: Iterable[Reading]) -> Iterator[datetime]:
    """Yield the moments at which signals were not read as they came, or nobody looked."""
    looks = list(readings)
    if looks:
        yield looks[0].at
    for before, after in pairwise(looks):
        lags = after.read_up_to is None or after.at - after.read_up_to > STEADY
        if lags or after.at - before.at > STEADY:
            yield after.at
