"""The shell of presence: sort what was heard, fold the decisions over it under locks, save."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.presence.decisions.absence import end_grace, stand
from services.presence.decisions.hearing import Step, sort_out
from services.presence.decisions.outcome import agent_of, outcome_of
from services.presence.decisions.signals import beats, fold, may_signal, only_beats, sessions_named
from services.presence.decisions.word import changed
from services.presence.model import AgentKey, Contact, Signal, Terms
from services.presence.store import agents, directory
from services.presence.store.standings import Standings
from shared.platform.outcome import Due, Outcome, Received, Rejection


class PresenceHandlers:
    """Runs a batch of signals and documents, or a round of graces, through presence's decisions."""

    def __init__(
        self, standings: Standings, steps: Mapping[str, Step], contact: Callable[[], Contact]
    ) -> None:
        self._standings = standings
        self._steps = steps
        self._contact = contact

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        """Note documents and echoes, and settle signals: heartbeats by their leases, the rest by rows."""
        heard = [(received, self._steps[received.event.type](received.event)) for received in batch]
        found = sort_out(one for _, one in heard)
        await directory.save_tenants(tx, found.tenants.values())
        await directory.save_known_agents(tx, found.agents.values())
        terms = await directory.terms_of(tx, {key.tenant_id for key in (*found.signals, *found.echoes)})
        asking = await self._asking(found.signals, terms)
        known = await directory.known(tx, asking)
        await agents.create(tx, known)
        locked = await agents.lock(tx, {*known, *found.echoes})
        welcome = {key for key, retired in known.items() if may_signal(locked[key], retired=retired)}
        named = {key: sessions_named(found.signals[key]) for key in welcome}
        facts = await self._standings.read(tx, locked, named)
        changes = [
            fold(
                stand(one, self._contact(), now),
                found.signals[key] if key in welcome else (),
                found.echoes.get(key, ()),
                terms[key.tenant_id],
                now,
            )
            for key, one in facts.items()
        ]
        await self._standings.save(tx, changes, now)
        outcome = outcome_of(changes)
        strangers = asking - welcome
        outcome.rejected += [
            _unknown(received, one.key)
            for received, one in heard
            if isinstance(one, Signal) and one.key in strangers
        ]
        return outcome

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        """End the graces that are over."""
        locked = await agents.lock(tx, map(agent_of, dues))
        facts = await self._standings.read(tx, locked, {})
        standings = [stand(one, self._contact(), now) for one in facts.values()]
        changes = [changed(standing, end_grace(standing, now)) for standing in standings]
        await self._standings.save(tx, changes, now)
        return outcome_of(changes)

    async def _asking(
        self, signals: Mapping[AgentKey, Sequence[Signal]], terms: Mapping[str, Terms]
    ) -> set[AgentKey]:
        """Renew leases, and return the agents whose signals ask for more than that."""
        beating = {key for key, said in signals.items() if only_beats(said)}
        renewals = [beat for key in beating for beat in beats(signals[key], terms[key.tenant_id])]
        return set(signals) - beating | await self._standings.leases.renew(renewals)


def _unknown(received: Received, key: AgentKey) -> Rejection:
    detail = (
        f"agent {key.agent_id!r} is not in the directory of tenant {key.tenant_id!r}, or is retired and gone;"
        " signals count once the directory has their document"
    )
    return Rejection(received, "unknown_agent", detail)
