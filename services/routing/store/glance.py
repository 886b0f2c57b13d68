"""A store that only looks: what would be decided now, with nothing locked, created or saved."""

from collections.abc import Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import Agent, Changes, Closing, HandOver, Key
from services.routing.store import Store
from services.routing.store.agents import Agents, Strength
from services.routing.store.chats import Chats
from services.routing.store.hand_overs import HandOvers
from shared.contracts.event import Event, Model


class Glance(Store):
    """Reads what is committed. A hand-over that is saved is imagined, and covers all its chats at once."""

    def __init__(self) -> None:
        super().__init__()
        self._chats = _Chats()
        self._agents = _Agents()
        self._hand_overs = self._imagined = _HandOvers()

    async def save_documents(self, tx: AsyncConnection, events: Sequence[Event[Model]]) -> None:
        """Keep nothing."""

    async def save(self, tx: AsyncConnection, changes: Changes) -> None:  # noqa: ARG002 - nothing is written
        """Remember what is to be handed over, and nothing else."""
        self._imagined.asked = {one.key: one for one in changes.hand_overs}


class _Chats(Chats):
    async def lock_pairs(
        self, tx: AsyncConnection, pairs: Iterable[str]
    ) -> tuple[set[str], dict[str, Closing]]:
        wanted = set(pairs)
        rows = await tx.execute(
            text(
                "select pair_key, last_chat_id, last_agent_id, last_closed_at, wrapping_up from pairs"
                " where pair_key = any(cast(:pairs as text[])) and last_closed_at is not null"
            ),
            {"pairs": sorted(wanted)},
        )
        return wanted, {pair_key: Closing(*closing) for pair_key, *closing in rows}


class _Agents(Agents):
    async def create(self, tx: AsyncConnection, agents: Iterable[Key]) -> None:
        pass

    async def hold(
        self,
        tx: AsyncConnection,
        agents: Iterable[Key],
        strength: Strength,  # noqa: ARG002 - nothing is locked
    ) -> dict[Key, Agent]:
        return await self.read(tx, agents)

    async def lock_departments(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, str]:
        wanted = set(departments)
        rows = await tx.execute(
            text(
                "select tenant_id, department_id, turn from departments"
                " where tenant_id = any(cast(:tenants as text[])) and turn is not null"
            ),
            {"tenants": sorted({tenant for tenant, _ in wanted})},
        )
        return {(tenant, name): turn for tenant, name, turn in rows if (tenant, name) in wanted}


class _HandOvers(HandOvers):
    def __init__(self) -> None:
        self.asked: dict[Key, HandOver] = {}

    async def read(self, tx: AsyncConnection, keys: Iterable[Key]) -> dict[Key, HandOver]:  # noqa: ARG002 - none is kept
        return {key: self.asked[key] for key in keys}

    async def left(self, tx: AsyncConnection, keys: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        found = {}
        for key in keys:
            rows = await tx.execute(
                text(
                    "select tenant_id, chat_id from chats where tenant_id = :tenant and agent_id = :agent"
                    " and state in ('assigned', 'pending') order by priority desc, waiting_since, chat_id"
                ),
                {"tenant": key[0], "agent": self.asked[key].agent_id},
            )
            found[key] = tuple((tenant_id, chat_id) for tenant_id, chat_id in rows)
        return found
