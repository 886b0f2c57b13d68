"""P11: the same work on a small desk and on a large one, both with a history of their own.

Customers write and end their chats again, so that nobody's places run out however many messages a leg has:
half of the messages open a chat and give it to somebody, half close one. What is stored is put there by
SQL; routing reads documents and agents as it would after a day's work.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import asyncpg

from bench import stage, workload
from bench.legs import (
    LegFailedError,
    cpu_seconds,
    service_process,
    until_handled,
    until_published,
)
from bench.measured import Measured
from ops.stack import Addresses
from ops.stack.ports import free_port
from shared.contracts.catalogue import type_of
from shared.contracts.directory import (
    DepartmentDocument,
    DirectoryDocument,
    RoutingRule,
    RoutingRulesDocument,
    TenantDocument,
)

HELD = 2
"""Chats that each agent holds already."""
_DIVERTED = 100
"""One of so many stored chats waits as a ticket."""


@dataclass(frozen=True)
class Desk:
    """How large a desk is before the measured messages come."""

    chats: int
    agents: int
    departments: int


SMALL = Desk(chats=1_000, agents=20, departments=1)
LARGE = Desk(chats=1_000_000, agents=10_000, departments=500)

_AGENTS = """
insert into agents (tenant_id, agent_id, capacity, departments, state, presence_version, revision, load,
  last_assigned_at)
select $1, 'agent-' || n, 100, array['department-' || n % $3::int], 'online', 1, 1, $4::int,
  now() - n * interval '1 ms'
from generate_series(0, $2::int - 1) as n
"""
_PAIRS = (
    "insert into pairs select $1 || ':whatsapp:+4930901820:+31' || n from generate_series(1, $2::int) as n"
)
_CHATS = """
insert into chats (tenant_id, chat_id, pair_key, business_address, customer_address, customer_id, state,
  opened_at, version, assignment_version, department_id, agent_id, ticket_id, priority, opened_by,
  last_inbound_at, waiting_since, last_word)
select $1, md5(n::text)::uuid::text, $1 || ':whatsapp:+4930901820:+31' || n, '+4930901820', '+31' || n,
  md5(n::text)::uuid::text, state, now() - n * interval '1 s', 5, 1, 'department-' || n % $3::int,
  case when state = 'assigned' then 'agent-' || n % $4::int end,
  case when state = 'diverted' then md5(n::text) end,
  0, 'customer', now(), now(), case when state = 'diverted' then 'customer' else 'business' end
from generate_series(1, $2::int) as n, lateral (select case when n <= $4::int * $5::int then 'assigned'
  when n % $6::int = 0 then 'diverted' else 'closed' end) as stands(state)
"""


async def fill(size: Desk, connection: asyncpg.Connection) -> None:
    """Store a desk of this size."""
    tenant = workload.TENANT
    for document in _documents(size.departments):
        await connection.execute(
            "insert into documents (tenant_id, kind, id, revision, body) values ($1, $2, $3, 1, $4::jsonb)",
            tenant,
            type_of(type(document)),
            document.id,
            document.model_dump_json(by_alias=True),
        )
    await connection.execute("insert into directories values ($1, nextval('directory_version'))", tenant)
    await connection.execute(_AGENTS, tenant, size.agents, size.departments, HELD)
    await connection.execute(_PAIRS, tenant, size.chats)
    await connection.execute(_CHATS, tenant, size.chats, size.departments, size.agents, HELD, _DIVERTED)


def _documents(departments: int) -> Iterator[DirectoryDocument]:
    names = [workload.department(number) for number in range(departments)]
    yield TenantDocument(id=workload.TENANT, revision=1, name="Bench", first_line_department=names[0])
    yield from (DepartmentDocument(id=name, revision=1, name=name) for name in names)
    rules = tuple(RoutingRule(department=name, hint=name) for name in names)
    yield RoutingRulesDocument(id="default", revision=1, rules=rules)


@asynccontextmanager
async def legs(
    addresses: Addresses, large: Desk, messages: int
) -> AsyncIterator[Mapping[str, Callable[[], Awaitable[Measured]]]]:
    """The legs ``small`` and ``large``; both desks are stored once, and copied for each run."""
    async with AsyncExitStack() as stack:
        found = {}
        for name, size in (("small", SMALL), ("large", large)):
            template = await stack.enter_async_context(stage.stored(addresses, partial(fill, size)))
            found[name] = partial(_run, addresses, template, size, messages)
        yield found


async def _run(addresses: Addresses, template: str, size: Desk, messages: int) -> Measured:
    """Measure one routing process on a desk of this size, until its last event is published."""
    async with stage.desk(addresses, template) as settings:
        await stage.publish(settings, workload.conversations(messages, size.departments))
        connection = await asyncpg.connect(settings.database_url)
        try:
            async with service_process("routing", settings, free_port("bench")) as running:
                before = await until_handled(connection, [running], 1)
                started, cpu = time.perf_counter(), cpu_seconds(running.pid)
                done = await until_handled(connection, [running], messages)
                await until_published(connection)
                measured = Measured(
                    done - before, time.perf_counter() - started, cpu_seconds(running.pid) - cpu
                )
            await _prove(connection, size, messages)
        finally:
            await connection.close()
        return measured


async def _prove(connection: asyncpg.Connection, size: Desk, messages: int) -> None:
    """Judge the work by the store: every new chat was held by somebody and is closed, every place free."""
    found = await connection.fetchrow(
        "select count(*) as chats, count(*) filter (where state = 'closed' and customer_address like '+27%')"
        " as ended, (select sum(load) from routing.agents) as load,"
        " (select count(*) from routing.outbox) as unsent from routing.chats"
    )
    new = messages // 2
    expected = {"chats": size.chats + new, "ended": new, "load": size.agents * HELD, "unsent": 0}
    if dict(found) != expected:
        raise LegFailedError(f"the store says {dict(found)} instead of {expected}")
