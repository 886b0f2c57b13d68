"""Wires the desk: the service that answers for its documents, and the edits of them that others ask for."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from faststream.asgi import AsgiFastStream

from services.desk.handlers import DeskHandlers, DocumentEdits
from services.desk.model import (
    KINDS,
    Applied,
    Conflict,
    Conflicted,
    DocumentKey,
    Edit,
    Invalid,
    Kept,
    Plan,
    Problem,
    Removed,
)
from services.desk.store import DocumentStore
from shared.contracts import catalogue
from shared.contracts.directory import DirectoryDocument
from shared.platform.app import build
from shared.platform.clock import Clock, SystemClock
from shared.platform.database import Database
from shared.platform.outbox import Left, Outbox, Waiting
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings

__all__ = [
    "KINDS",
    "Applied",
    "Conflict",
    "Conflicted",
    "Directory",
    "DocumentKey",
    "Edit",
    "Invalid",
    "Kept",
    "Left",
    "Plan",
    "Problem",
    "Removed",
    "Waiting",
    "create_app",
    "open_directory",
]

HANDLES = tuple(catalogue.topic_named("directory.v1").types)


def create_app(platform: PlatformSettings | None = None) -> AsgiFastStream:
    """Return the desk as an ASGI application; settings come from the environment by default."""
    service = Service("desk", DeskHandlers(DocumentStore()), handles=HANDLES)
    return build(service, platform or PlatformSettings())


class Directory:
    """The documents of all tenants, to be edited from outside the running service."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._edits = DocumentEdits(DocumentStore(), outbox.say)

    async def plan(self, tenant_id: str, wanted: Sequence[DirectoryDocument]) -> Plan | Invalid:
        """Tell what applying these documents would do. Nothing is written."""
        async with self._database.transaction() as tx:
            return await self._edits.plan(tx, tenant_id, wanted)

    async def of_tenant(self, tenant_id: str) -> tuple[tuple[DocumentKey, DirectoryDocument], ...]:
        """Return every document of a tenant; none when nobody described it."""
        async with self._database.transaction() as tx:
            stored = await DocumentStore().of_tenant(tx, tenant_id)
        there = [key for key, one in stored.items() if not one.removed]
        return tuple((key, stored[key].document) for key in sorted(there))

    async def apply(self, plan: Plan) -> Applied | Conflicted | Invalid:
        """Write a plan whole, or nothing of it, in one transaction with the events that tell it."""
        async with self._database.transaction() as tx:
            return await self._edits.apply(tx, plan, self._clock.now())

    async def remove(self, key: DocumentKey) -> Removed | Kept:
        """Take a retired document off its topic for good (docs/rules.md, 3), or say what keeps it."""
        async with self._database.transaction() as tx:
            return await self._edits.remove(tx, key, self._clock.now())

    async def publish(self) -> Left | Waiting:
        """See everything written so far out to its topic."""
        return await self._outbox.see_out()


@asynccontextmanager
async def open_directory(platform: PlatformSettings) -> AsyncIterator[Directory]:
    """Open the documents for one command; the service itself may run or not."""
    clock = SystemClock()
    database = Database(platform.database_url, "desk", connections=2)
    outbox = Outbox(database, platform, clock)
    try:
        yield Directory(database, outbox, clock)
    finally:
        await outbox.close()
        await database.close()
