"""`chatdesk hand-over` as people run it: what would move where is shown, then done by the services."""

import asyncio
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.cli import menu
from ops.hand_over.telling import destinations, refusals, summary
from ops.refusal import Refusal
from shared.contracts.chats import Availability, ChatAssigned, ChatCommandRefused
from shared.contracts.ticket_commands import TicketAssign
from shared.contracts.tickets import TicketAssigned, TicketCommandRefused
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.pipeline.waiting import until_holds
from tests.topics import publish, until_events

CARE = ("care",)


async def hand_over(installation: Installation, *arguments: str) -> Result:
    return await asyncio.to_thread(
        CliRunner().invoke,
        menu(),
        ["hand-over", *arguments, "--tenant", desk.TENANT],
        env=installation.environment(),
    )


async def refusal(installation: Installation, *arguments: str) -> str:
    error = (await hand_over(installation, *arguments)).exception
    assert isinstance(error, Refusal), error
    return str(error)


async def rows(installation: Installation, service: str, query: str) -> list[tuple[Any, ...]]:
    database = Database(installation.settings.database_url, service, connections=1)
    try:
        async with database.transaction() as tx:
            return [tuple(row) for row in await tx.exec_driver_sql(query)]
    finally:
        await database.close()


async def everything(installation: Installation) -> list[list[tuple[Any, ...]]]:
    """Return what a preview must leave as it was."""
    return [
        await rows(installation, "routing", "select * from chats order by chat_id"),
        await rows(installation, "routing", "select * from agents order by agent_id"),
        await rows(installation, "routing", "select * from hand_overs"),
        await rows(installation, "tickets", "select * from tickets order by ticket_id"),
    ]


@pytest.mark.servers
async def test_an_agent_s_chats_and_ticket_are_shown_and_then_go_where_it_was_shown(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    """Ann has three chats and a ticket; Bob, of care, has room for two."""
    await migrated("routing", "tickets")
    settings = installation.settings
    directory = [
        desk.a_tenant(),
        desk.a_department(),
        desk.a_department("care"),
        desk.an_agent_document("ann"),
        desk.an_agent_document("bob", capacity=2, departments=CARE),
    ]
    await publish(settings, map(desk.an_event, directory))
    routing, tickets = processes.start("routing"), processes.start("tickets")
    routing.until_ready()
    tickets.until_ready()
    await publish(settings, [desk.an_event(desk.a_message(customer="+27820000009"))])
    (opened,) = await until_events(settings, "tickets.v1", lambda events: len(events) >= 1)
    sue = {"role": "supervisor", "id": "sue"}
    given = TicketAssign.model_validate({"by": sue, "ticket_id": opened.data.ticket_id, "agent_id": "ann"})
    await publish(settings, [desk.an_event(given)])
    await publish(settings, [desk.an_event(desk.agent_changed(name)) for name in ("ann", "bob")])
    await until_events(settings, "tickets.v1", lambda events: len(events) >= 2)

    messages = [desk.a_message(customer=f"+2782000000{n}") for n in range(3)]
    await publish(settings, map(desk.an_event, messages))
    assigned = "chatdesk.chat.assigned.v1"
    await until_events(
        settings, "chats.v1", lambda events: sum(one.type == assigned for one in events) >= len(messages)
    )

    told = await refusal(installation, "ann")
    assert "agent_online: agent_id 'ann' takes chats" in told
    away = desk.agent_changed("ann", "away", version=2)
    await publish(settings, [desk.an_event(away)])
    until = "select 1 from agents where agent_id = 'ann' and state = 'away'"
    await until_holds(lambda: rows(installation, "routing", until), bool)

    before = await everything(installation)
    shown = await hand_over(installation, "ann", "--to-department", "care")
    assert shown.exit_code == 0, shown.output
    assert [line.strip() for line in shown.output.splitlines()] == [
        "2 chats to bob, in care",
        "1 chat no room: to the queue of care",
        "1 ticket to the unassigned ones of care",
        "nothing was done: --apply does it",
    ]
    assert "unknown_department" in await refusal(installation, "ann", "--to-department", "nowhere")
    assert await everything(installation) == before

    each = await hand_over(installation, "ann", "--to-department", "care", "--each", "--apply")
    assert each.exit_code == 0, each.output
    assert f"ticket {opened.data.ticket_id} to the unassigned ones of care" in each.output
    assert each.output.endswith("handed over\n")
    left = "select agent_id, count(*) from chats where state = 'assigned' group by agent_id"
    assert await rows(installation, "routing", left) == [("bob", 2)]
    states = "select state, department_id, agent_id from tickets"
    assert await rows(installation, "tickets", states) == [("unassigned", "care", None)]
    assert (await hand_over(installation, "ann")).output == "nothing is held\n"


def test_refusals_of_both_services_are_told_with_who_is_available() -> None:
    chats = ChatCommandRefused(
        command_id="c",
        reason="agent_full",
        detail="to_agent_id 'bob'",
        available=Availability(agents=("cleo",)),
    )
    tickets = TicketCommandRefused(command_id="c", reason="unknown_agent")
    assert refusals([desk.an_event(chats), desk.an_event(tickets)]) == [
        "chats: agent_full: to_agent_id 'bob'; available now: cleo",
        "tickets: unknown_agent",
    ]


def test_each_chat_and_ticket_counts_once_where_it_ends() -> None:
    state = {"version": 2, "pair": desk_pair(), "customer_id": "c", "opened_at": desk.NOON}
    chat = {"chat_id": "1", "assignment_version": 1, "state": "assigned", "opened_by": "customer"}
    given = ChatAssigned(**state, **chat, last_word="customer", agent_id="bob", department_id="care")
    ticket = TicketAssigned(
        **state,
        chat_id="1",
        ticket_id="2",
        state="assigned",
        reason="all_full",
        agent_id="bob",
        last_message_at=desk.NOON,
        by={"role": "admin"},
    )
    found = destinations(map(desk.an_event, [given, given, ticket]))
    assert [line.strip() for line in summary(found)] == ["1 chat to bob, in care", "1 ticket to bob, in None"]


def desk_pair() -> dict[str, str]:
    return {"channel": "sms", "business_address": "+1", "customer_address": "+2"}
