"""Routing's rows in PostgreSQL: locked in one order, read after the locks, saved in bulk."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import (
    EVERYBODY,
    NOTHING_KNOWN,
    Agent,
    Changes,
    Chat,
    Closing,
    Documents,
    Facts,
    HandOver,
    Key,
    Needs,
    Others,
    State,
)
from services.routing.store.agents import Agents, Strength
from services.routing.store.chats import Chats
from services.routing.store.directory import Directory
from services.routing.store.hand_overs import HandOvers
from services.routing.store.shortlist import Wanted, shortlist
from shared.contracts.event import Event, Model
from shared.contracts.pair import Pair

PlacesInto = Callable[
    [Needs, Mapping[Key, Chat], Mapping[Key, Agent], Mapping[str, Documents]], dict[Key, int]
]
"""The decision that names the departments to lock, and how many candidates to read of each."""

_BEFORE_AGENTS = "before_agents"
"""The savepoint that locks on some of the agents are given back to."""


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
        takeable = await self._chats.takeable(tx, needs.takeable)
        held = await self._chats.unanswered(tx, needs.held)
        left = await self._chats.left_in(tx, needs.left)
        entered = await self._chats.entered(tx, needs.entered)
        offered = await self._chats.offered(tx, needs.receivers)
        offered_into = await self._chats.offered_into(tx, needs.left)
        listings = (queues, takeable, held, left, entered, handed_over, offered, offered_into)
        listed = {key for listing in listings for keys in listing.values() for key in keys}
        wanted = needs.chats | listed
        needs.assigned_by_hand |= {key for keys in handed_over.values() for key in keys}
        pairs = needs.pairs | await self._chats.pairs_of(tx, wanted)
        known, closings = await self._chats.lock_pairs(tx, pairs)
        chats = await self._chats.read(tx, known, wanted | _wrapped_up(closings))
        directory = await self._directory.read(tx, needs.tenants)
        owners = {key for chat in chats.values() for key in _with_a_slot(chat) if key is not None}
        guess = await self._agents.read(tx, owners)
        locked = places_into(needs, chats, guess, directory)
        # One that is parked may wake: its agent has a chat more then.
        needs.loads_change |= any(chat.state is State.PENDING for chat in chats.values())
        named = owners | needs.agents | needs.introduced | _last_agents(needs, chats, closings)
        turns = await self._lock_departments(tx, needs, locked)
        candidates = _wanted(locked, directory, turns, needs.skilled)
        others, agents = await self._lock_agents(tx, needs, named, candidates)
        return Facts(
            directory=directory,
            chats=chats,
            agents=agents,
            locked=frozenset(locked),
            others=others,
            queue_lengths=await self._chats.queue_lengths(tx, locked),
            turns=turns,
            closings=closings,
            queues=queues,
            takeable=takeable,
            held=held,
            left=left,
            entered=entered,
            offered=offered,
            offered_into=offered_into,
            hand_overs=hand_overs,
            handed_over=handed_over,
        )

    async def everybody(self, tx: AsyncConnection, needs: Needs, facts: Facts) -> Facts:
        """Return these facts of `gather` with all members of their departments, where it left some out.

        The locks on agents are given back and taken anew, all in one order.
        """
        await tx.execute(text(f"rollback to savepoint {_BEFORE_AGENTS}"))
        await self._agents.create(tx, needs.introduced)
        wanted = _wanted(dict.fromkeys(facts.locked, EVERYBODY), facts.directory, facts.turns, {})
        others, agents = await self._lock_agents(tx, needs, set(facts.agents), wanted)
        return replace(facts, agents=agents, others=others)

    async def _lock_departments(
        self, tx: AsyncConnection, needs: Needs, departments: Iterable[Key]
    ) -> dict[Key, str]:
        await self._agents.create(tx, needs.introduced)
        affected = {*departments, *await self._agents.departments_of(tx, needs)}
        return await self._agents.lock_departments(tx, affected)

    async def _lock_agents(
        self, tx: AsyncConnection, needs: Needs, named: set[Key], wanted: Mapping[Key, Wanted]
    ) -> tuple[dict[Key, Others], dict[Key, Agent]]:
        """Lock every agent whose load or state the batch may read or change."""
        picked, others = await shortlist(tx, wanted, named)
        if others:
            await tx.execute(text(f"savepoint {_BEFORE_AGENTS}"))
        strength: Strength = "update" if needs.states_change else "no key update"
        if not (wanted or needs.loads_change or needs.states_change):
            strength = "key share"  # appending only: it must see an owner who is just being lost
        return others, await self._agents.hold(tx, named | picked, strength)

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


def _wanted(
    sizes: Mapping[Key, int],
    directory: Mapping[str, Documents],
    turns: Mapping[Key, str],
    skilled: Mapping[Key, Mapping[str, int]],
) -> dict[Key, Wanted]:
    """Ask for candidates in the order of each department's strategy."""
    found = {}
    for key, size in sizes.items():
        department = directory.get(key[0], NOTHING_KNOWN).departments.get(key[1])
        strategy = department.strategy if department is not None else "least_loaded"
        found[key] = Wanted(size, strategy, turns.get(key, ""), skilled.get(key, {}))
    return found


def _with_a_slot(chat: Chat) -> tuple[Key | None, ...]:
    """Return who has a slot taken by a chat, in whatever way."""
    return (chat.agent, chat.receiver, chat.wrapped_up_by)


def _wrapped_up(closings: Mapping[str, Closing]) -> set[Key]:
    """Return the last chats of pairs whose slot is still held: the next chat may go on in it."""
    ended = ((Pair.parse(pair_key), one) for pair_key, one in closings.items() if one.wrapping_up)
    return {(pair.tenant_id, one.chat_id) for pair, one in ended}


def _last_agents(needs: Needs, chats: Mapping[Key, Chat], closings: Mapping[str, Closing]) -> set[Key]:
    """Return who had the last chats of the pairs at hand."""
    if not closings:
        return set()
    tenants = {chat.pair.key: chat.tenant_id for chat in chats.values()}
    tenants |= {pair_key: tenant_id for pair_key, tenant_id, _ in needs.messages}
    return {
        (tenants[pair_key], closing.agent_id)
        for pair_key, closing in closings.items()
        if closing.agent_id is not None and pair_key in tenants
    }


def _add_hand_over(needs: Needs, asked: HandOver) -> None:
    """Ask for whom a hand-over names: whose chats they are, and who is to have them."""
    names = (asked.agent_id, asked.to_agent_id)
    needs.agents.update((asked.tenant_id, name) for name in names if name is not None)
    if asked.to_department_id is not None:
        needs.named_departments.add((asked.tenant_id, asked.to_department_id))
