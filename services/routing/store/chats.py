"""Chats and pairs."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import LOOK_AT, Chat, Closing, Key, Offer, Said, State
from shared.contracts.pair import Pair
from shared.platform.database import append_rows

_COLUMNS = {
    "tenant_id": "text",
    "chat_id": "text",
    "pair_key": "text",
    "business_address": "text",
    "customer_address": "text",
    "customer_id": "text",
    "state": "text",
    "opened_at": "timestamptz",
    "version": "bigint",
    "assignment_version": "bigint",
    "department_id": "text",
    "agent_id": "text",
    "previous_agent_id": "text",
    "ticket_id": "text",
    "priority": "int",
    "opened_by": "text",
    "last_inbound_at": "timestamptz",
    "waiting_since": "timestamptz",
    "queued_at": "timestamptz",
    "last_word": "text",
    "owes_since": "timestamptz",
    "were_silent": "text",
    "silent_since": "timestamptz",
    "pending_until": "timestamptz",
    "flagged": "boolean",
    "passed_by": "text",
    "wrap_up_until": "timestamptz",
    "skills": "text",
    "skills_relaxed": "boolean",
    # The last two are written otherwise than the others.
    "said": "text",
    "offer": "text",
}
_NAMES = ", ".join(_COLUMNS)
_ARRAYS = ", ".join(f"cast(:{name} as {kind}[])" for name, kind in _COLUMNS.items())
_IDENTITY = ("tenant_id", "chat_id", "pair_key")
_UPDATES = ", ".join(f"{name} = u.{name}" for name in _COLUMNS if name not in _IDENTITY)
_SAVE = text(
    f"update chats set {_UPDATES} from unnest({_ARRAYS}) as u({_NAMES})"
    " where chats.tenant_id = u.tenant_id and chats.chat_id = u.chat_id"
)
_rest = attrgetter(*list(_COLUMNS)[len(_IDENTITY) : -2])
_PAIRS = "select unnest(cast(:pairs as text[]))"  # no list: docs/decisions/0089
_READ = text(
    f"select {_NAMES} from chats where pair_key in ({_PAIRS}) and state <> 'closed' "
    f"union select {_NAMES} from chats "
    "where (tenant_id, chat_id) in (select * from unnest(cast(:tenants as text[]), cast(:chats as text[])))"
    f" and pair_key in ({_PAIRS})"
)


_SAID = TypeAdapter(tuple[Said, ...])
_OFFER = TypeAdapter(Offer)


class Chats:
    """Statements on chats; the pair's row is what locks a conversation."""

    async def lock_pairs(
        self, tx: AsyncConnection, pairs: Iterable[str]
    ) -> tuple[set[str], dict[str, Closing]]:
        """Create missing pair rows, then lock the others, both in order; return the others.

        With them comes the end of each one's last chat, if it had any. A row that was created here is
        locked by that, and its pair has no chat yet: nobody opens one without this lock. Whoever waits in
        the first statement holds none of the second's rows.
        """
        wanted = set(pairs)
        if not wanted:
            return wanted, {}
        created = await tx.execute(
            text(
                "insert into pairs (pair_key) select * from unnest(cast(:pairs as text[])) "
                "on conflict do nothing returning pair_key"
            ),
            {"pairs": sorted(wanted)},
        )
        known = wanted.difference(created.scalars())
        if not known:
            return known, {}
        rows = await tx.execute(
            text(
                "with locked as materialized"
                " (select pair_key, last_chat_id, last_agent_id, last_closed_at, wrapping_up"
                f" from pairs where pair_key in ({_PAIRS}) order by pair_key for update) "
                "select * from locked where last_closed_at is not null"
            ),
            {"pairs": sorted(known)},
        )
        return known, {pair_key: Closing(*closing) for pair_key, *closing in rows}

    async def save_closings(self, tx: AsyncConnection, closings: Mapping[str, Closing]) -> None:
        """Keep the ends of these locked pairs' last chats."""
        if not closings:
            return
        pairs = sorted(closings)
        await tx.execute(
            text(
                "update pairs p set last_chat_id = u.chat_id, last_agent_id = u.agent_id,"
                " last_closed_at = u.closed_at, wrapping_up = u.wrapping_up"
                " from unnest(cast(:pairs as text[]), cast(:chats as text[]),"
                " cast(:agents as text[]), cast(:ends as timestamptz[]), cast(:wrapping_up as boolean[]))"
                " as u(pair_key, chat_id, agent_id, closed_at, wrapping_up) where p.pair_key = u.pair_key"
            ),
            {
                "pairs": pairs,
                "chats": [closings[pair].chat_id for pair in pairs],
                "agents": [closings[pair].agent_id for pair in pairs],
                "ends": [closings[pair].at for pair in pairs],
                "wrapping_up": [closings[pair].wrapping_up for pair in pairs],
            },
        )

    async def read(self, tx: AsyncConnection, pairs: Iterable[str], chats: Iterable[Key]) -> dict[Key, Chat]:
        """Return the open chats of these pairs, and those of these chats that are theirs, closed or not.

        A chat that came into being after its pair was asked for is left out: its pair is not locked.
        """
        wanted = sorted(chats)
        if not (pairs := sorted(pairs)):
            return {}
        rows = await tx.execute(
            _READ,
            {"pairs": pairs, "tenants": [t for t, _ in wanted], "chats": [c for _, c in wanted]},
        )
        found = (_chat(row._mapping) for row in rows)  # noqa: SLF001 - SQLAlchemy's public name for it
        return {chat.key: chat for chat in found}

    async def pairs_of(self, tx: AsyncConnection, chats: Iterable[Key]) -> set[str]:
        """Return the pairs of these chats; a chat's pair never changes, so no lock is needed."""
        wanted = sorted(chats)
        if not wanted:
            return set()
        rows = await tx.execute(
            text(
                "select pair_key from chats where (tenant_id, chat_id) in "
                "(select * from unnest(cast(:tenants as text[]), cast(:chats as text[])))"
            ),
            {"tenants": [t for t, _ in wanted], "chats": [c for _, c in wanted]},
        )
        return {pair_key for (pair_key,) in rows}

    async def queued(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List the first of each queue that are offered to nobody, in order: priority, then arrival."""
        return await self._list(
            tx,
            departments,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.department_id = u.name"
            " and c.state = 'queued' and c.offered_to is null"
            " order by c.priority desc, c.waiting_since, c.chat_id",
        )

    async def takeable(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List the first of each queue, in order, but for those whose skills nobody who is free has."""
        return await self._list(
            tx,
            departments,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.department_id = u.name"
            " and c.state = 'queued' and c.offered_to is null"
            " and (c.skills = '' or c.skills_relaxed or exists (select from members m join agents a"
            " on a.tenant_id = m.tenant_id and a.agent_id = m.agent_id"
            " where m.tenant_id = c.tenant_id and m.department_id = c.department_id"
            " and a.state = 'online' and not a.draining and a.load < a.capacity"
            " and 'agent' = any(a.roles) and a.skills @> string_to_array(c.skills, chr(31))))"
            " order by c.priority desc, c.waiting_since, c.chat_id",
        )

    async def unanswered(self, tx: AsyncConnection, agents: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List the chats of each agent whose last word is the customer's, in the order of queues."""
        return await self._list(
            tx,
            agents,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.agent_id = u.name"
            " and c.state = 'assigned' and c.last_word = 'customer'"
            " order by c.priority desc, c.waiting_since, c.chat_id",
        )

    async def entered(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List the first chats of each queue by when they entered it."""
        return await self._list(
            tx,
            departments,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.department_id = u.name"
            " and c.state = 'queued' order by c.queued_at, c.chat_id",
        )

    async def left_in(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List what waits in departments, queued or as a ticket, in the order of their queues."""
        return await self._list(
            tx,
            departments,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.department_id = u.name"
            " and c.state in ('queued', 'diverted') and c.state <> 'closed'"
            " order by c.priority desc, c.waiting_since, c.chat_id",
        )

    async def offered(self, tx: AsyncConnection, agents: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List the chats that are offered to each agent."""
        return await self._list(
            tx,
            agents,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.offered_to = u.name"
            " order by c.chat_id",
        )

    async def offered_into(
        self, tx: AsyncConnection, departments: Iterable[Key]
    ) -> dict[Key, tuple[Key, ...]]:
        """List the chats that are offered to agents within each department."""
        return await self._list(
            tx,
            departments,
            "select c.chat_id from chats c where c.tenant_id = u.tenant_id and c.offered_to is not null"
            " and cast(c.offer as jsonb) ->> 'department_id' = u.name order by c.chat_id",
        )

    async def _list(self, tx: AsyncConnection, keys: Iterable[Key], query: str) -> dict[Key, tuple[Key, ...]]:
        wanted = sorted(keys)
        if not wanted:
            return {}
        rows = await tx.execute(
            text(
                "select u.tenant_id, u.name, array(" + query + " limit :most) "
                "from unnest(cast(:tenants as text[]), cast(:names as text[])) as u(tenant_id, name)"
            ),
            {"tenants": [t for t, _ in wanted], "names": [n for _, n in wanted], "most": LOOK_AT},
        )
        return {(tenant, name): tuple((tenant, chat) for chat in chats) for tenant, name, chats in rows}

    async def queue_lengths(self, tx: AsyncConnection, departments: Iterable[Key]) -> dict[Key, int]:
        """Count who waits in each department, up to `LOOK_AT`: more than that is the same to a newcomer."""
        return {key: len(chats) for key, chats in (await self.queued(tx, departments)).items()}

    async def open(self, tx: AsyncConnection, chats: Sequence[Chat]) -> None:
        """Insert chats that have no row yet."""
        if chats:
            await append_rows(tx, "chats", tuple(_COLUMNS), [_row(chat) for chat in chats])

    async def save(self, tx: AsyncConnection, chats: Sequence[Chat]) -> None:
        """Update chats in one statement."""
        if chats:
            columns = zip(*map(_row, chats), strict=True)
            await tx.execute(_SAVE, dict(zip(_COLUMNS, map(list, columns), strict=True)))


def _row(chat: Chat) -> tuple[Any, ...]:
    said = _SAID.dump_json(chat.said).decode() if chat.said else None
    offer = None if chat.offer is None else _OFFER.dump_json(chat.offer).decode()
    return (chat.tenant_id, chat.chat_id, chat.pair.key, *_rest(chat), said, offer)


def _chat(row: Any) -> Chat:
    values = dict(row)
    pair = Pair.parse(values.pop("pair_key"))
    said = () if values["said"] is None else _SAID.validate_json(values["said"])
    offer = None if values["offer"] is None else _OFFER.validate_json(values["offer"])
    return Chat(**{**values, "pair": pair, "state": State(values["state"]), "said": said, "offer": offer})
