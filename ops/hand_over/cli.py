"""The command: ask the services what would happen, tell it, and publish what makes it so."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from time import monotonic
from typing import Annotated

import typer
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ops.hand_over.telling import destinations, refusals, summary
from ops.printable import printable
from ops.refusal import Refusal
from ops.stack import address_of
from services.routing.app import preview_hand_over as preview_chats
from services.tickets.app import preview_hand_over as preview_tickets
from shared.contracts import catalogue, cloudevents
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatHandOver
from shared.contracts.event import Cause, Event, Model, derived_id
from shared.contracts.ticket_commands import TicketHandOver
from shared.platform.clock import SystemClock
from shared.platform.database import Database
from shared.platform.outcome import Received
from shared.platform.records import Record

WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.2
Preview = Callable[[AsyncConnection, Received, datetime], Awaitable[Sequence[Event[Model]]]]
_HELD = {
    "routing": "select count(*) from chats where tenant_id = :tenant and agent_id = :agent"
    " and state in ('assigned', 'pending')",
    "tickets": "select count(*) from tickets where tenant_id = :tenant and agent_id = :agent"
    " and state = 'assigned'",
}


def hand_over(
    agent: Annotated[str, typer.Argument(help="Whose chats and tickets.")],
    *,
    tenant: Annotated[str, typer.Option(help="Of this tenant.")],
    to_department: Annotated[str | None, typer.Option(help="To this department.")] = None,
    to_agent: Annotated[str | None, typer.Option(help="To this agent.")] = None,
    note: Annotated[str | None, typer.Option(help="Goes with every chat and ticket.")] = None,
    each: Annotated[bool, typer.Option("--each", help="A line for each chat and ticket.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it.")] = False,
    by: Annotated[str | None, typer.Option(help="Who asks; the user's name when left out.")] = None,
    prefix: Annotated[
        str, typer.Option(envvar="CHATDESK_TOPIC_PREFIX", help="Put before topics' names.")
    ] = "",
) -> None:
    """Show where all chats and tickets of an agent would go; with --apply, hand them over.

    To a department, an agent, or (neither given) where each belongs.
    """
    told = {
        "by": Actor(role="admin", id=by or getpass.getuser()),
        "agent_id": agent,
        "to_department_id": to_department,
        "to_agent_id": to_agent,
        "note": note,
    }
    now = SystemClock().now()
    asked = derived_id("hand-over", tenant, agent, now.isoformat())
    chats = _event(tenant, asked, ChatHandOver.model_validate(told), now)
    tickets = _event(tenant, asked, TicketHandOver.model_validate(told), now)
    asyncio.run(_run(chats, tickets, prefix if apply else None, each=each))


async def _run(chats: Event[Model], tickets: Event[Model], prefix: str | None, *, each: bool) -> None:
    said = [
        *await _preview("routing", preview_chats, chats),
        *await _preview("tickets", preview_tickets, tickets),
    ]
    if found := refusals(said):
        raise Refusal("cannot be handed over: " + printable("; ".join(found)))
    going = destinations(said)
    if not going:
        typer.echo("nothing is held")
        return
    lines = [f"{name} {where}" for name, where in going.items()] if each else summary(going)
    for line in lines:
        typer.echo(printable(line))
    if prefix is None:
        typer.echo("nothing was done: --apply does it")
        return
    await _publish((chats, tickets), prefix)
    await _until_nothing_is_held(chats)
    typer.echo("handed over")


def _event(tenant: str, asked: str, command: ChatHandOver | TicketHandOver, now: datetime) -> Event[Model]:
    return catalogue.fact(
        Cause(tenant, asked), command, source="chatdesk-command", subject=command.agent_id, time=now
    )


async def _preview(service: str, preview: Preview, event: Event[Model]) -> Sequence[Event[Model]]:
    """Ask a service what it would say, in a transaction that cannot write."""
    received = Received(event, Record(catalogue.topic_of(event.type), 0, 0, None, b"", ()))
    database = Database(address_of("postgres"), service, connections=1)
    try:
        async with database.transaction() as tx:
            await tx.execute(text("set transaction read only"))
            return await preview(tx, received, event.time)
    except DBAPIError as error:
        raise Refusal(f"{service} cannot be asked: {error.orig}; run `chatdesk migrate`?") from None
    finally:
        await database.close()


async def _publish(events: Sequence[Event[Model]], prefix: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=address_of("kafka"), acks="all")
    await producer.start()
    try:
        for event in events:
            topic = prefix + catalogue.topic_of(event.type)
            headers = [("content-type", b"application/cloudevents+json")]
            key = catalogue.key_of(event).encode()
            await producer.send_and_wait(topic, cloudevents.encode(event), key=key, headers=headers)
    finally:
        await producer.stop()


async def _until_nothing_is_held(asked: Event[Model]) -> None:
    """Wait for the services. Raises Refusal when something is left: refused meanwhile, or nobody runs."""
    deadline = monotonic() + WAIT_SECONDS
    while left := [f"{count} in {name}" for name in _HELD if (count := await _held(name, asked))]:
        if monotonic() > deadline:
            raise Refusal(
                f"asked for, but after {WAIT_SECONDS:g} s still held: {', '.join(left)}. Are the services"
                " running? A refusal is on chats.v1 or tickets.v1."
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _held(service: str, asked: Event[Model]) -> int:
    database = Database(address_of("postgres"), service, connections=1)
    try:
        async with database.transaction() as tx:
            named = {"tenant": asked.tenant_id, "agent": asked.subject}
            return int((await tx.execute(text(_HELD[service]), named)).scalar_one())
    finally:
        await database.close()
