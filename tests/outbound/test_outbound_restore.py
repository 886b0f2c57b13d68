"""Outbound on a database that was restored to an earlier point: nothing is sent a second time."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from ops.fake_provider import Script
from ops.stack import Addresses
from shared.contracts.event import Event
from shared.platform.clock import SystemClock
from tests.conftest import Installation, Migrated, Processes, drop_database, unique
from tests.outbound.builders import a_channel_document, a_request, a_word, an_event
from tests.outbound.test_outbound_service import (
    FINAL,
    SETTINGS,
    a_provider,
    customer,
    last_statuses,
)
from tests.processes import ServiceProcess
from tests.restoring import copy, put_back
from tests.topics import events_on, publish, until_events

pytestmark = [pytest.mark.servers, pytest.mark.long]


@pytest.fixture
async def backup(servers: Addresses) -> AsyncIterator[str]:
    name = unique("backup_")
    yield name
    await drop_database(servers, name)


async def until_settled(installation: Installation, count: int) -> None:
    await until_events(
        installation.settings,
        "deliveries.v1",
        lambda events: sum(one in FINAL for one in last_statuses(events).values()) == count,
        seconds=60,
    )


async def ask_for(installation: Installation, word: str) -> list[str]:
    """Let five customers write and ask for one answer to each; returns the request ids."""
    now = SystemClock().now()
    words = [a_word(now, customer=customer(n), message_id=f"{word}{n}") for n in range(5)]
    asked = [
        a_request(f"{word}-{n}", customer=customer(n), requested_at=SystemClock().now()) for n in range(5)
    ]
    await publish(installation.settings, map(an_event, [*words, *asked]))
    return [one.request_id for one in asked]


async def test_what_left_after_the_moment_of_the_backup_is_not_sent_again(
    servers: Addresses, installation: Installation, migrated: Migrated, processes: Processes, backup: str
) -> None:
    url = await migrated("outbound")
    async with a_provider(installation, Script()) as (provider, address):
        await publish(installation.settings, [an_event(a_channel_document(base_url=address))])
        process = processes.start("outbound", **SETTINGS).until_ready()
        asked = await ask_for(installation, "early")
        await until_settled(installation, 5)
        process.stop()
        await copy(servers, url, backup)

        process = processes.start("outbound", **SETTINGS).until_ready()
        asked += await ask_for(installation, "late")
        await until_settled(installation, 10)
        await asyncio.to_thread(process.stop)
        await put_back(servers, url, backup)

        refusing = processes.start("outbound", **SETTINGS)
        assert await asyncio.to_thread(ended, refusing) != os.EX_OK
        assert "the database stands before what was read" in refusing.log

        restored_at = SystemClock().now()
        processes.start("outbound", **SETTINGS, OUTBOUND_RESTORED_AT=restored_at.isoformat())
        asked += await ask_for(installation, "new")
        await until_settled(installation, 15)  # each new one stood behind the late one of its pair
        said: list[Event[Any]] = list(await events_on(installation.settings, "deliveries.v1"))
    called = [(call.correlation_id or "").removeprefix("acme|") for call in provider.log.calls]
    assert sorted(called) == sorted(asked), "each request reached the provider once"
    doubted = {event.data.request_id for event in said if event.data.reason == "restored"}
    assert doubted <= set(asked[5:10]), "in doubt is what no receipt settled before its turn came"


def ended(process: ServiceProcess) -> int:
    process._process.wait(60)
    return process._process.returncode
