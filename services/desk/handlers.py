"""What the desk does with documents: carry out an edit of a set, and answer for what its topic holds."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.decisions import coherence, echoes, removals, revisions
from services.desk.model import Applied, Conflicted, DocumentKey, Invalid, Kept, Plan, Removed, Stored
from services.desk.store import DocumentStore
from shared.contracts.directory import DirectoryDocument
from shared.contracts.event import Event, Model
from shared.platform.outcome import Due, End, Outcome, Received

Say: TypeAlias = Callable[[AsyncConnection, Sequence[Event[Model] | End]], Awaitable[None]]
"""Puts events and ends into the outbox of this transaction."""


class DocumentEdits:
    """Edits of a tenant's documents: look first, then write upon what was seen."""

    def __init__(self, store: DocumentStore, say: Say) -> None:
        self._store = store
        self._say = say

    async def plan(
        self, tx: AsyncConnection, tenant_id: str, wanted: Sequence[DirectoryDocument]
    ) -> Plan | Invalid:
        """Tell what applying these documents would do; nothing is written and nothing locked."""
        stored = await self._store.of_tenant(tx, tenant_id)
        taken = await self._store.taken(tx, tenant_id)
        if found := coherence.problems(tenant_id, wanted, _there(stored), taken):
            return Invalid(found)
        return revisions.plan(tenant_id, wanted, stored)

    async def apply(self, tx: AsyncConnection, plan: Plan, now: datetime) -> Applied | Conflicted | Invalid:
        """Write a plan whole, or nothing of it: under the tenant's lock it is judged once more."""
        await self._store.lock(tx, [plan.tenant_id])
        stored = await self._store.of_tenant(tx, plan.tenant_id)
        taken = await self._store.taken(tx, plan.tenant_id)
        wanted = [edit.wanted for edit in plan.edits]
        if found := coherence.problems(plan.tenant_id, wanted, _there(stored), taken):
            return Invalid(found)
        settled = revisions.settle(plan.edits, stored)
        if isinstance(settled, Conflicted):
            return settled
        writes = {DocumentKey.of(plan.tenant_id, document): document for document in settled}
        await self._store.write(tx, writes, now)
        await self._say(tx, [echoes.edited(key, document, now) for key, document in writes.items()])
        return Applied(tuple(writes))

    async def remove(self, tx: AsyncConnection, key: DocumentKey, now: datetime) -> Removed | Kept:
        """Take a retired document off its topic, if no document and no record can name it any more."""
        await self._store.lock(tx, [key.tenant_id])
        verdict = removals.remove(key, await self._store.of_tenant(tx, key.tenant_id), now)
        if isinstance(verdict, Removed) and verdict.is_new:
            await self._store.remove(tx, key, now)
            await self._say(tx, [echoes.end(key)])
        return verdict


def _there(stored: Mapping[DocumentKey, Stored]) -> list[DirectoryDocument]:
    return [one.document for one in stored.values() if not one.removed]


class DeskHandlers:
    """Hears the desk's own documents back, so that the topic's last word of each is the current one."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    async def handle(self, tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        """Judge a batch of documents read back, under the locks of their tenants."""
        read = [
            (received.event, received.event.data)
            for received in batch
            if isinstance(received.event.data, DirectoryDocument)
        ]
        await self._store.lock(tx, (event.tenant_id for event, _ in read))
        keys = {DocumentKey.of(event.tenant_id, document) for event, document in read}
        folded = echoes.fold(read, await self._store.named(tx, keys), now)
        await self._store.write(tx, folded.adopted, now)
        await self._store.echoed(tx, folded.echoed)
        return Outcome(outgoing=folded.asserted, ended=[echoes.end(key) for key in folded.ended])

    async def fire(self, tx: AsyncConnection, dues: Sequence[Due], now: datetime) -> Outcome:
        """The desk has no timers: nothing it schedules is ever due."""
        raise NotImplementedError
