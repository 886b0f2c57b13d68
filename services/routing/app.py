"""Routing, wired: the table of what it hears and the rule that answers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from faststream.asgi import AsgiFastStream
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.decisions import (
    acts,
    caused,
    deliveries,
    handing_over,
    inbound,
    marks,
    moving,
    offers,
    pending,
    people,
    replay,
    taking,
    wrap_up,
)
from services.routing.decisions.fold import Step
from services.routing.decisions.remembered import Remembered
from services.routing.handlers import RoutingHandlers
from services.routing.model import Calendar
from services.routing.store import Store
from services.routing.store.documents import calendar_of
from services.routing.store.documents import documents as directory_of
from services.routing.store.glance import Glance
from shared.contracts.chats import ChatCommandRefused, ChatFact, ChatOpened
from shared.contracts.directory import CalendarDocument, DirectoryDocument
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import MessageReceived
from shared.platform.app import build
from shared.platform.outcome import Received
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings

STEPS: dict[str, Step] = {
    "chatdesk.message.received.v1": inbound.message_received,
    "chatdesk.message.edited.v1": inbound.message_changed,
    "chatdesk.message.revoked.v1": inbound.message_changed,
    "chatdesk.chat.reply.v1": acts.reply,
    "chatdesk.chat.close.v1": acts.close,
    "chatdesk.chat.end_wrap_up.v1": wrap_up.end_wrap_up,
    "chatdesk.chat.assign.v1": acts.assign,
    "chatdesk.chat.take.v1": taking.take,
    "chatdesk.chat.transfer.v1": offers.transfer,
    "chatdesk.chat.accept_offer.v1": offers.accept,
    "chatdesk.chat.decline_offer.v1": offers.decline,
    "chatdesk.chat.cancel_offer.v1": offers.cancel,
    "chatdesk.chat.hand_over.v1": handing_over.hand_over,
    "chatdesk.chat.mark_pending.v1": pending.mark_pending,
    "chatdesk.chat.unmark_pending.v1": pending.unmark_pending,
    "chatdesk.chat.flag.v1": marks.flag,
    "chatdesk.chat.unflag.v1": marks.unflag,
    "chatdesk.chat.set_priority.v1": marks.set_priority,
    "chatdesk.chat.set_department.v1": moving.set_department,
    "chatdesk.agent.changed.v1": people.agent_changed,
    "chatdesk.delivery.failed.v1": deliveries.did_not_arrive,
    "chatdesk.delivery.refused.v1": deliveries.did_not_arrive,
    "chatdesk.delivery.unknown.v1": deliveries.did_not_arrive,
    "chatdesk.ticket.closed.v1": people.ticket_closed,
    "chatdesk.directory.agent.v1": people.agent_document,
    "chatdesk.directory.tenant.v1": people.directory_document,
    "chatdesk.directory.department.v1": people.directory_document,
    "chatdesk.directory.calendar.v1": people.directory_document,
    "chatdesk.directory.routing_rules.v1": people.directory_document,
}


def create_app(platform: PlatformSettings | None = None) -> AsgiFastStream:
    """Build the service from its settings."""
    service = Service("routing", RoutingHandlers(Store(), STEPS), handles=STEPS.keys())
    return build(service, platform or PlatformSettings())


async def preview_hand_over(tx: AsyncConnection, received: Received, now: datetime) -> Sequence[Event[Model]]:
    """Return what routing would say if this hand-over were asked for now and carried out at once.

    Nothing is written or locked: by the time it is asked for, it may go otherwise. A refusal is a
    `ChatCommandRefused`, alone.
    """
    handlers = RoutingHandlers(Glance(), STEPS)
    asked = await handlers.handle(tx, [received], now)
    if not asked.schedule:
        return asked.outgoing
    return (await handlers.fire(tx, asked.schedule, now)).outgoing


def unlike(
    event: Event[ChatFact], calendars: Mapping[tuple[str, str, int], CalendarDocument]
) -> Iterator[str]:
    """Take the decision that a fact tells of again, and say in what the fact differs from it.

    ``calendars`` are those of the directory, by tenant, id and revision; where one is not known any more,
    what the fact recorded of it counts.
    """

    def known(name: str, revision: int) -> Calendar | None:
        document = calendars.get((event.tenant_id, name, revision))
        return None if document is None else calendar_of(document)

    return replay.unlike(event.data, event.time, known)


def unlike_refusal(refused: ChatCommandRefused) -> Iterator[str]:
    """Refuse whoever a command named again, as they are recorded, and say in what the refusal differs."""
    return replay.unlike_refusal(refused)


def unlike_in_order(events: Iterable[Event[ChatFact]]) -> Iterator[tuple[Event[ChatFact], str]]:
    """Take the facts of a chat, from its first on, and say in what a record differs from those before it."""
    remembered = Remembered()
    for event in events:
        for problem in remembered.unlike(event):
            yield event, problem
        remembered = remembered.after(event)


def unlike_its_cause(
    event: Event[ChatFact], cause: Event[Model], before: Event[ChatFact] | None
) -> Iterator[str]:
    """Derive the ids again of a fact that an event caused; ``before`` is the chat's fact before it."""
    return caused.unlike_its_cause(event, cause.as_cause(), before.data if before is not None else None)


def unlike_its_rules(
    event: Event[ChatOpened], message: MessageReceived, documents: Sequence[DirectoryDocument]
) -> Iterator[str]:
    """Choose the department of a new chat again, by the tenant's document and rules that it recorded.

    ``documents`` are these, the rules in the recorded order, and any departments that are retired.
    """
    if (tenant := directory_of([*documents], event.tenant_id).tenant) is not None:
        yield from caused.unlike_its_rules(event.data, message, tenant)
