"""The tickets service as a process of its own: chats and commands in, tickets out, on real servers."""

import pytest

from shared.contracts.tickets import TicketClosed, TicketCommandRefused, TicketOpened
from tests.conftest import Installation, Migrated, Processes
from tests.tickets.builders import (
    an_agent,
    an_event,
    assigned,
    diverted,
    finish,
    give,
    message_added,
    pair_key,
    the_agent,
)
from tests.topics import publish, until_events

pytestmark = pytest.mark.servers


async def test_a_diverted_chat_is_worked_on_until_an_agent_holds_it(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("tickets")
    settings = installation.settings
    await publish(settings, [an_event(an_agent("ada"))])
    processes.start("tickets").until_ready()

    await publish(settings, [an_event(diverted(version=3)), an_event(message_added(version=4))])
    await until_events(settings, "tickets.v1", lambda said: len(said) == 1)
    await publish(settings, [an_event(give(to="ada")), an_event(finish(by=the_agent("bob")))])
    await until_events(settings, "tickets.v1", lambda said: len(said) == 3)
    again = an_event(assigned(version=5))
    await publish(settings, [again, again])
    await publish(settings, [an_event(diverted("c2", version=3, ticket="t2", customer="+491700000002"))])
    said = await until_events(settings, "tickets.v1", lambda said: len(said) >= 5)

    ours = [event for event in said if event.pair_key == pair_key()]
    told = [(event.type.split(".")[2], event.data.version) for event in ours]
    assert told == [("opened", 1), ("assigned", 2), ("command_refused", 2), ("closed", 3)]
    closed = ours[-1].data
    assert isinstance(closed, TicketClosed)
    assert (closed.close_reason, closed.chat_version, closed.by.role) == ("superseded_by_chat", 5, "system")
    assert {event.data.ticket_id for event in said if isinstance(event.data, TicketOpened)} == {"t1", "t2"}


async def test_what_cannot_be_done_is_answered_or_put_aside_with_a_reason(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("tickets")
    settings = installation.settings
    processes.start("tickets").until_ready()

    command = an_event(finish("nowhere"))
    await publish(settings, [an_event(diverted(ticket=None)), command])
    (letter,) = await until_events(settings, "tickets.dead-letters.v1", lambda said: len(said) == 1)
    (refusal,) = await until_events(settings, "tickets.v1", lambda said: len(said) == 1)

    assert (letter.data.reason, letter.data.topic) == ("missing_ticket_id", "chats.v1")
    assert isinstance(refusal.data, TicketCommandRefused)
    assert (refusal.data.reason, refusal.data.command_id) == ("unknown_ticket", command.id)
