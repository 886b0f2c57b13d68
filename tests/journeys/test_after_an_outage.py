"""Routing was away for half an hour: everybody in the backlog is heard before anybody is timed out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.handlers import RoutingHandlers
from services.routing.store import Store
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose
from shared.contracts.event import Event
from shared.platform.app import build
from shared.platform.clock import SystemClock
from shared.platform.service import Service
from tests import desk_events as desk
from tests.conftest import Installation, Migrated
from tests.topics import events_on, publish, until_events

pytestmark = pytest.mark.servers

OUTAGE = timedelta(minutes=30)
BACKLOG = 400
WAITING = "+27820000002"


class LaterClock(SystemClock):
    """The machine's clock, ahead by a time that was set."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return super().now() + self._ahead


@asynccontextmanager
async def routing(installation: Installation, ahead: timedelta) -> AsyncIterator[None]:
    service = Service("routing", RoutingHandlers(Store(), STEPS), handles=STEPS)
    settings = installation.settings.model_copy(update={"batch_records": 20})
    async with build(service, settings, clock=LaterClock(ahead)).start_lifespan_context():
        yield


def words(events: Sequence[Event[Any]], customer: str = "+27820000001") -> list[str]:
    """Return what happened to the chats of a customer, one word each."""
    return [
        event.type.split(".")[2]
        for event in events
        if getattr(event.data, "pair", None) and event.data.pair.customer_address == customer
    ]


async def until_one_is_served_and_one_waits(installation: Installation) -> str:
    """Let ann, who has room for one, take a chat, and a second customer wait; returns the first chat."""
    settings, now = installation.settings, SystemClock().now()
    facts = [
        desk.a_tenant(),
        desk.a_department(max_wait_seconds=900),
        desk.an_agent_document("ann", capacity=1),
        desk.agent_changed("ann"),
    ]
    await publish(settings, map(desk.an_event, facts))
    async with routing(installation, timedelta()):
        await publish(settings, [desk.an_event(desk.a_message("first", sent_at=now))])
        said = await until_events(settings, "chats.v1", lambda events: "assigned" in words(events))
        waiting = desk.a_message("and I wait", customer=WAITING, sent_at=now)
        await publish(settings, [desk.an_event(waiting)])
        await until_events(settings, "chats.v1", lambda events: "queued" in words(events, WAITING))
    chat_id: str = said[0].data.chat_id
    return chat_id


async def test_who_was_freed_during_the_outage_takes_who_waited_through_it(
    installation: Installation, migrated: Migrated
) -> None:
    """The wait would have been over twice, had the backlog not been heard first."""
    await migrated("routing")
    settings, now = installation.settings, SystemClock().now()
    served = await until_one_is_served_and_one_waits(installation)

    # While routing is away, the first customer goes on writing, and ann ends their chat.
    more = [desk.a_message("still there?", sent_at=now) for _ in range(BACKLOG)]
    close = ChatClose(by=Actor(role="agent", id="ann"), chat_id=served)
    await publish(settings, map(desk.an_event, [close, *more]))

    async with routing(installation, OUTAGE):
        await until_events(settings, "chats.v1", lambda events: words(events, WAITING)[-1] != "queued")
    assert words(await events_on(settings, "chats.v1"), WAITING)[-1] == "assigned"


async def test_who_still_waits_when_the_backlog_was_heard_is_timed_out(
    installation: Installation, migrated: Migrated
) -> None:
    await migrated("routing")
    settings = installation.settings
    await until_one_is_served_and_one_waits(installation)
    async with routing(installation, OUTAGE):
        said = await until_events(settings, "chats.v1", lambda events: "diverted" in words(events, WAITING))
    (reason,) = {event.data.reason for event in said if event.type == "chatdesk.chat.diverted.v1"}
    assert reason == "waited_too_long"
