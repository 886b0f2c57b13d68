"""What is being handed over: the chats an agent held when it was asked for, until each was looked at."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.model import LOOK_AT, HandOver, Key
from shared.contracts.actors import Actor

_WANTED = "(select * from unnest(cast(:tenants as text[]), cast(:names as text[])))"


class HandOvers:
    """Statements on hand-overs. Which chats one covers is settled when it is asked for."""

    async def read(self, tx: AsyncConnection, keys: Iterable[Key]) -> dict[Key, HandOver]:
        """Return these hand-overs; one that is done is absent."""
        wanted = _split(keys)
        if not wanted["names"]:
            return {}
        rows = await tx.execute(
            text(
                "select tenant_id, hand_over_id, command_id, agent_id,"
                " to_department_id, to_agent_id, by_role, by_id, note from hand_overs"
                f" where (tenant_id, hand_over_id) in {_WANTED}"
            ),
            wanted,
        )
        return {
            (row.tenant_id, row.hand_over_id): HandOver(
                row.tenant_id,
                row.hand_over_id,
                row.command_id,
                row.agent_id,
                Actor(role=row.by_role, id=row.by_id),
                row.to_department_id,
                row.to_agent_id,
                row.note,
            )
            for row in rows
        }

    async def left(self, tx: AsyncConnection, keys: Iterable[Key]) -> dict[Key, tuple[Key, ...]]:
        """List chats that each has yet to look at, in the order of queues."""
        wanted = _split(keys)
        if not wanted["names"]:
            return {}
        rows = await tx.execute(
            text(
                "select u.tenant_id, u.name, array(select h.chat_id from handed_over h"
                " join chats c using (tenant_id, chat_id)"
                " where h.tenant_id = u.tenant_id and h.hand_over_id = u.name"
                " order by c.priority desc, c.waiting_since, h.chat_id limit :most) "
                "from unnest(cast(:tenants as text[]), cast(:names as text[])) as u(tenant_id, name)"
            ),
            {**wanted, "most": LOOK_AT},
        )
        return {(tenant, name): tuple((tenant, chat) for chat in chats) for tenant, name, chats in rows}

    async def begin(self, tx: AsyncConnection, asked: Sequence[HandOver]) -> None:
        """Keep what was asked for, with every chat that its agent holds now, assigned or parked."""
        for one in asked:
            key = {"tenant": one.tenant_id, "name": one.hand_over_id, "agent": one.agent_id}
            await tx.execute(
                text(
                    "insert into hand_overs (tenant_id, hand_over_id, command_id, agent_id,"
                    " to_department_id, to_agent_id, by_role, by_id, note)"
                    " values (:tenant, :name, :command, :agent,"
                    " :to_department, :to_agent, :by_role, :by_id, :note) on conflict do nothing"
                ),
                {
                    **key,
                    "command": one.command_id,
                    "to_department": one.to_department_id,
                    "to_agent": one.to_agent_id,
                    "by_role": one.by.role,
                    "by_id": one.by.id,
                    "note": one.note,
                },
            )
            await tx.execute(
                text(
                    "insert into handed_over select tenant_id, cast(:name as text), chat_id from chats"
                    " where tenant_id = :tenant and agent_id = :agent and state in ('assigned', 'pending')"
                    " on conflict do nothing"
                ),
                key,
            )

    async def go_on(self, tx: AsyncConnection, looked_at: Mapping[Key, tuple[Key, ...]]) -> None:
        """Forget chats that were looked at, and a hand-over of which nothing is left."""
        for (tenant_id, name), chats in looked_at.items():
            key = {"tenant": tenant_id, "name": name}
            await tx.execute(
                text(
                    "delete from handed_over where tenant_id = :tenant and hand_over_id = :name"
                    " and chat_id = any(cast(:chats as text[]))"
                ),
                {**key, "chats": [chat_id for _, chat_id in chats]},
            )
            if len(chats) < LOOK_AT:
                await tx.execute(
                    text("delete from hand_overs where tenant_id = :tenant and hand_over_id = :name"), key
                )


def _split(keys: Iterable[Key]) -> dict[str, list[str]]:
    ordered = sorted(keys)
    return {"tenants": [tenant for tenant, _ in ordered], "names": [name for _, name in ordered]}
