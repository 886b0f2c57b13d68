"""Outbound as a process of its own, on real Kafka and PostgreSQL, against the fake provider."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from ops.fake_provider import Accept, Cut, Fail, FakeProvider, Maybe, Script, ServerFault, serving
from ops.fake_provider.events import KafkaReceipts
from services.outbound.decisions.pacing import BURST_SECONDS
from shared.contracts.event import Event, Model
from shared.platform.clock import SystemClock
from tests.conftest import Installation, Migrated, Processes
from tests.outbound.builders import (
    ACCOUNT,
    BUSINESS,
    a_channel_document,
    a_request,
    a_template,
    a_template_document,
    a_word,
    an_event,
)
from tests.topics import publish, until_events

pytestmark = pytest.mark.servers
FINAL = {"delivered", "read", "failed", "refused", "unknown"}
SETTINGS = {
    "CLOUD_TOKEN": "secret",
    "OUTBOUND_CALL_DEADLINE_SECONDS": "1",
    "OUTBOUND_IN_DOUBT_HOLD_SECONDS": "1",
    "OUTBOUND_IN_DOUBT_SETTLE_SECONDS": "3",
}


def customer(n: int) -> str:
    return f"+2782000{n:04}"


def status_of(event: Event[Any]) -> str:
    return event.type.split(".")[2]


def last_statuses(events: Sequence[Event[Any]]) -> dict[str, str]:
    return {event.data.request_id: status_of(event) for event in events}


@asynccontextmanager
async def a_provider(installation: Installation, script: Script) -> AsyncIterator[tuple[FakeProvider, str]]:
    """A fake provider whose receipts come back over Kafka."""
    producer = AIOKafkaProducer(bootstrap_servers=installation.settings.kafka, linger_ms=5)
    await producer.start()
    try:
        receipts = KafkaReceipts(producer, installation.settings.topic_prefix, {ACCOUNT: BUSINESS})
        provider = FakeProvider(script, tell=receipts.tell, secret="secret")
        async with serving(provider) as url:
            yield provider, url
            await provider.receipts_sent()
    finally:
        await producer.stop()


async def until_called(provider: FakeProvider, times: int) -> None:
    """Wait until the provider was called so often. Raises TimeoutError when that takes too long."""
    async with asyncio.timeout(30):
        while True:
            if len(provider.log.calls) >= times:
                return
            await asyncio.sleep(0.01)


def a_crowd(count: int, each: int, *, ago: timedelta = timedelta(minutes=1)) -> list[Event[Model]]:
    """So many customers who wrote so long ago, with so many answers to each."""
    wrote_at = SystemClock().now() - ago
    words = [a_word(wrote_at, customer=customer(n), message_id=f"m{n}") for n in range(count)]
    requests = [a_request(f"{n}-{turn}", customer=customer(n)) for turn in range(each) for n in range(count)]
    return [an_event(said, at=SystemClock().now()) for said in (*words, *requests)]


async def test_from_the_request_to_the_receipts(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("outbound")
    settings = installation.settings
    async with a_provider(installation, Script()) as (provider, url):
        await publish(settings, map(an_event, [a_channel_document(base_url=url), a_template_document()]))
        processes.start("outbound", **SETTINGS).until_ready()
        now = SystemClock().now()
        late = customer(900)
        await publish(
            settings,
            [
                *a_crowd(20, 2),
                an_event(a_word(now - timedelta(hours=25), customer=late, message_id="late")),
                an_event(a_request("late-text", customer=late)),
                an_event(a_request("late-template", customer=late, content=a_template())),
                an_event(a_request("sms", channel="sms")),
            ],
        )
        wanted = 43
        said = await until_events(
            settings,
            "deliveries.v1",
            lambda events: sum(one in FINAL for one in last_statuses(events).values()) == wanted,
        )
        outcome = {event.data.request_id: (status_of(event), event.data.reason) for event in said}
        assert outcome["late-text"] == ("refused", "window_closed")
        assert outcome["sms"] == ("refused", "unsupported_on_channel")
        called = Counter(call.correlation_id for call in provider.log.calls)
        assert set(called.values()) == {1}
        assert len(called) == 41
        assert {call.kind for call in provider.log.calls if call.recipient == late} == {"template"}
        pairs = await until_events(settings, "pairs.v1", lambda events: len(events) >= 20)
        assert {event.data.window.state for event in pairs} == {"open"}


async def test_a_killed_dispatcher_sends_nothing_twice_and_leaves_nothing_untold(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("outbound")
    settings = installation.settings
    script = Script(
        seed=5,
        chances=(
            Maybe(probability=0.04, answer=Cut(accepted=True)),
            Maybe(probability=0.04, answer=ServerFault(accepted=False)),
            Maybe(probability=0.04, answer=Fail(code=131026)),
            Maybe(probability=0.2, answer=Accept(delay=0.3)),
        ),
    )
    async with a_provider(installation, script) as (provider, url):
        await publish(settings, [an_event(a_channel_document(base_url=url))])
        first = processes.start("outbound", **SETTINGS).until_ready()
        pairs, each = 30, 5
        await publish(settings, a_crowd(pairs, each))
        await until_called(provider, pairs)
        first.kill()
        processes.start("outbound", **SETTINGS)
        processes.start("outbound", **SETTINGS)
        said = await until_events(
            settings,
            "deliveries.v1",
            lambda events: sum(one in FINAL for one in last_statuses(events).values()) == pairs * each,
            seconds=90,
        )

    called = [(call.correlation_id or "").removeprefix("acme|") for call in provider.log.calls]
    assert max(Counter(called).values()) == 1, "no request reached the provider twice"
    untold = set(last_statuses(said)) - set(called)
    doubted = {event.data.request_id for event in said if status_of(event) == "in_doubt"}
    assert untold <= doubted, "what never reached the provider was reported in doubt"
    assert doubted, "the kill and the cut calls left messages in doubt"
    order: defaultdict[str, list[int]] = defaultdict(list)
    for request_id in called:
        of, turn = request_id.split("-")
        order[of].append(int(turn))
    assert all(turns == sorted(turns) for turns in order.values()), "each pair in order"


async def test_the_rate_holds_on_two_replicas(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("outbound")
    rate, settings = 40, installation.settings
    async with a_provider(installation, Script()) as (provider, url):
        await publish(settings, [an_event(a_channel_document(base_url=url))])
        for _ in range(2):
            processes.start("outbound", OUTBOUND_RATE_PER_SECOND=str(rate), **SETTINGS).until_ready()
        published = SystemClock().now()
        await publish(settings, a_crowd(120, 1))
        await until_events(settings, "deliveries.v1", lambda events: len(last_statuses(events)) == 120)
    # The wire may bunch what was granted apart, and a busy machine holds its own provider up: what cannot
    # be faked is that the last of 120 was not granted before its slot. Two paces would take half as long.
    last = max(call.at for call in provider.log.calls)
    assert last - published >= timedelta(seconds=(120 - rate * BURST_SECONDS - 1) / rate)
