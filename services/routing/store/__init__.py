"""Routing's rows in PostgreSQL: locked in one order, read after the locks, saved in bulk."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import Agent, Changes, Chat, Documents, Facts, HandOver, Key, Needs, State
from services.routing.store.agents import Agents, Strength
from services.routing.store.chats import Chats
from services.routing.store.directory import Directory
from services.routing.store.hand_overs import HandOvers
from shared.contracts.event import Event, Model

PlacesInto = Callable[[Needs, Mapping[Key, Chat], Mapping[Key, Agent], Mapping[str, Documents]], set[Key]]
"""The decision that names the departments to lock, from what was read before them."""


class Store:
    """The one place that knows routing's tables."""

    def __init__(self) -> None:
        self._chats = Chats()
        self._agents = Agents()
        self._directory = Directory()
        self._hand_overs = HandOvers()

    async def save_documents(self, tx: AsyncConnection, events: Sequence[Event[Model]]) -> None:
        """Keep the newest revision of the documents among these events."""
        await self._directory.save(tx, events)

    async def gather(self, tx: AsyncConnection, needs: Needs, places_into: PlacesInto) -> Facts:
        """Lock pairs, then departments, then agents, each sorted; read each after its lock is held.

        Candidates of sweeps are listed before any lock and re-checked by the fold (docs/pipeline.md, 2).
        """
        hand_overs = await self._hand_overs.read(tx, needs.hand_overs)
        for one in hand_overs.values():
            _add_hand_over(needs, one)
        handed_over = await self._hand_overs.left(tx, hand_overs)
        queues = await self._chats.queued(tx, needs.queues)
        held = await self._chats.unanswered(tx, needs.held)
        left = await self._chats.left_in(tx, needs.left)
        entered = await self._chats.entered(tx, needs.entered)
        offered = await self._chats.offered(tx, needs.receivers)
        offered_into = await self._chats.offered_into(tx, needs.left)
        listings = (queues, held, left, entered, handed_over, offered, offered_into)
        listed = {key for listing in listings for keys in listing.values() for key in keys}
        wanted = needs.chats | listed
        needs.assigned_by_hand |= {key for keys in handed_over.values() for key in keys}
        pairs = needs.pairs | await self._chats.pairs_of(tx, wanted)
        known, closings = await self._chats.lock_pairs(tx, pairs)
        chats = await self._chats.read(tx, known, wanted)
        directory = await self._directory.read(tx, needs.tenants)
        owners = {key for chat in chats.values() for key in (chat.agent, chat.receiver) if key is not None}
        guess = await self._agents.read(tx, owners)
        locked = places_into(needs, chats, guess, directory)
        # One that is parked may wake: its agent has a chat more then.
        needs.loads_change |= any(chat.state is State.PENDING for chat in chats.values())
        agents, turns = await self._lock_agents(tx, needs, locked, owners)
        return Facts(
            directory=directory,
            chats=chats,
            agents=agents,
            locked=frozenset(locked),
            queue_lengths=await self._chats.queue_lengths(tx, locked),
            turns=turns,
            closings=closings,
            queues=queues,
            held=held,
            left=left,
            entered=entered,
            offered=offered,
            offered_into=offered_into,
            hand_overs=hand_overs,
            handed_over=handed_over,
        )

    async def _lock_agents(
        self, tx: AsyncConnection, needs: Needs, departments: set[Key], owners: set[Key]
    ) -> tuple[dict[Key, Agent], dict[Key, str]]:
        """Lock departments, then every agent whose load or state the batch may read or change."""
        await self._agents.create(tx, needs.introduced)
        affected = departments | await self._agents.departments_of(tx, needs)
        turns = await self._agents.lock_departments(tx, affected)
        keys = owners | needs.agents | needs.introduced | await self._agents.members(tx, departments)
        strength: Strength = "update" if needs.states_change else "no key update"
        if not (departments or needs.loads_change or needs.states_change):
            strength = "key share"  # appending only: it must see an owner who is just being lost
        await self._agents.lock(tx, keys, strength)
        return await self._agents.read(tx, keys), turns

    async def save(self, tx: AsyncConnection, changes: Changes) -> None:
        """Save what a fold changed."""
        # What was closed first: the same batch may have opened another chat of its pair.
        await self._chats.save(tx, [chat for chat in changes.chats if chat.key not in changes.opened])
        await self._chats.open(tx, [chat for chat in changes.chats if chat.key in changes.opened])
        await self._chats.save_closings(tx, changes.closings)
        await self._agents.save(tx, changes.agents)
        await self._agents.save_turns(tx, changes.turns)
        await self._hand_overs.begin(tx, changes.hand_overs)
        await self._hand_overs.go_on(tx, changes.handed_over)


def _add_hand_over(needs: Needs, asked: HandOver) -> None:
    """Ask for whom a hand-over names: whose chats they are, and who is to have them."""
    names = (asked.agent_id, asked.to_agent_id)
    needs.agents.update((asked.tenant_id, name) for name in names if name is not None)
    if asked.to_department_id is not None:
        needs.departments.add((asked.tenant_id, asked.to_department_id))
