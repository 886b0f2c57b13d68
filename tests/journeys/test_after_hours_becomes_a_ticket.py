"""A message that finds nobody becomes a ticket; when somebody can take it, the ticket ends."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.contracts.event import Event
from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.topics import publish, until_events

CUSTOMER = "+27820000007"


def told(events: Sequence[Event[Any]]) -> list[str]:
    return [event.type.removeprefix("chatdesk.").removesuffix(".v1") for event in events]


async def test_a_ticket_is_opened_once_and_ends_when_its_chat_is_assigned(
    installation: Installation, processes: Processes
) -> None:
    settings = installation.settings
    weekend = desk.a_calendar_document("weekend", closed_on=datetime.now(UTC).date())  # noqa: TID251 - a real run
    documents = [
        desk.a_tenant(),
        desk.a_department(calendar="weekend"),
        desk.an_agent_document(),
        weekend,
    ]
    await publish(settings, map(desk.an_event, documents))
    await publish(settings, [desk.an_event(desk.agent_changed())])
    routing, tickets = processes.start("routing"), processes.start("tickets")
    routing.until_ready()
    tickets.until_ready()

    await publish(settings, [desk.an_event(desk.a_message("open?", customer=CUSTOMER))])
    opened = await until_events(settings, "tickets.v1", lambda events: len(events) == 1)
    assert opened[0].data.reason == "outside_business_hours"
    await publish(settings, [desk.an_event(desk.a_message("hello?", customer=CUSTOMER))])
    await until_events(settings, "chats.v1", lambda events: told(events).count("chat.message_added") == 2)

    always = desk.a_calendar_document("weekend", revision=2)
    await publish(settings, [desk.an_event(always)])
    await publish(settings, [desk.an_event(desk.a_message("now?", customer=CUSTOMER))])
    closed = await until_events(settings, "tickets.v1", lambda events: "ticket.closed" in told(events))

    assert told(closed) == ["ticket.opened", "ticket.closed"]
    assert closed[-1].data.close_reason == "superseded_by_chat"
    said = await until_events(settings, "chats.v1", lambda events: "chat.assigned" in told(events))
    assert told(said) == [
        "chat.opened",
        "chat.message_added",
        "chat.diverted",
        "chat.message_added",
        "chat.message_added",
        "chat.assigned",
    ]
    assert len({event.data.chat_id for event in said}) == 1
