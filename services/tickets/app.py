"""Wires tickets: store, handlers, and the event types they answer."""

from collections.abc import Sequence
from datetime import datetime

from faststream.asgi import AsgiFastStream
from sqlalchemy.ext.asyncio import AsyncConnection

from services.tickets.handlers import TicketHandlers
from services.tickets.store import Glance, TicketStore
from shared.contracts import catalogue
from shared.contracts.event import Event, Model
from shared.platform.app import build
from shared.platform.outcome import Received
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings

HANDLES = (
    # Every fact of a chat that takes a version: a ticket closes at the chat's version it has seen.
    *sorted(set(catalogue.topic_named("chats.v1").types) - {"chatdesk.chat.command_refused.v1"}),
    "chatdesk.ticket.assign.v1",
    "chatdesk.ticket.close.v1",
    "chatdesk.ticket.hand_over.v1",
    "chatdesk.directory.agent.v1",
    "chatdesk.directory.department.v1",
)


def create_app(platform: PlatformSettings | None = None) -> AsgiFastStream:
    """Return the tickets service as an ASGI application; settings come from the environment by default."""
    service = Service("tickets", TicketHandlers(TicketStore()), handles=HANDLES)
    return build(service, platform or PlatformSettings())


async def preview_hand_over(tx: AsyncConnection, received: Received, now: datetime) -> Sequence[Event[Model]]:
    """Return what tickets would say if this hand-over were asked for now; nothing is written or locked."""
    return (await TicketHandlers(Glance()).handle(tx, [received], now)).outgoing
