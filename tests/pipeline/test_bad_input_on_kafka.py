"""Every kind of bad input through a real broker and process: dead letters, counts, and nothing held up."""

import asyncio
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaProducer

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.event import Model
from shared.platform.records import Headers, Record
from shared.platform.settings import PlatformSettings
from tests.desk_events import a_message, agent_changed, an_event
from tests.pipeline.bad_records import BROKEN, written
from tests.pipeline.builders import ANN, BOB, INBOUND, a_send, pair_of
from tests.pipeline.counting import POISON, REJECT
from tests.pipeline.installed import Counting, installed
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers

READABLE: dict[str, Record] = {
    "null header": Record("", 0, 0, None, b"", (("trace", None),)),
    "header that is no text": Record("", 0, 0, None, b"", (("trace", b"\xff\xfe"),)),
    "no key": Record("", 0, 0, None, b""),
    "key of somebody else": Record("", 0, 0, b"not-the-pair", b""),
    "key that is no text": Record("", 0, 0, b"\xff\x00", b""),
}


@dataclass(frozen=True)
class Heard:
    """What came of one run over all the bad input."""

    letters: dict[tuple[str, int, int], DeadLetter]
    places: dict[str, tuple[str, int, int]]
    counted: dict[str, list[str]]
    metrics: str
    ready: int


@pytest.fixture(scope="module")
def heard(servers: Addresses) -> Heard:
    async def run() -> Heard:
        async with installed(servers) as counting:
            return await _hear(counting)

    return asyncio.run(run())


async def _hear(counting: Counting) -> Heard:
    """Publish every bad record, then a good one behind them on each partition, and read what comes of it."""
    process = counting.start()
    log: list[tuple[str, str, int, Record]] = [
        (name, record.topic, number % 4, record)
        for number, (name, (record, _, _)) in enumerate(BROKEN.items())
    ]
    log += [
        (name, INBOUND, 0, _said(a_message(message_id=name), key=record.key, headers=record.headers))
        for name, record in READABLE.items()
    ]
    hologram = written(an_event(a_message(message_id="hologram")), content={"kind": "hologram"})
    log += [
        ("hologram", INBOUND, 1, Record("", 0, 0, None, hologram)),
        ("rejected", INBOUND, 1, _said(a_message(REJECT))),
        ("poison", INBOUND, 1, _said(a_message(POISON, customer=BOB))),
        ("behind", INBOUND, 1, _said(a_message(customer=BOB))),
        ("first", "outbound-messages.v1", 2, _said(a_send())),
        ("conflict", "outbound-messages.v1", 2, _said(a_send(said="another"))),
        ("again", "outbound-messages.v1", 2, _said(a_send())),
        ("tombstone", "agents.v1", 0, Record("", 0, 0, b"acme:ann", None)),
        ("agent", "agents.v1", 0, _said(agent_changed("bob"), key=b"acme:bob")),
    ]
    last = [f"last-{partition}" for partition in range(4)]
    log += [(name, INBOUND, n, _said(a_message(message_id=name))) for n, name in enumerate(last)]
    places = await _publish(counting.settings, log)

    await counting.until_counted(len(READABLE) + 1 + 1 + len(last))
    letters = await until_holds(counting.dead_letters, lambda found: len(found) >= len(BROKEN) + 4)
    await counting.until_settled()
    return Heard(
        letters={(one.topic, one.partition, one.offset): one for one in letters},
        places=places,
        counted=await counting.counted(),
        metrics=(await asyncio.to_thread(process.get, "/metrics"))[1],
        ready=(await asyncio.to_thread(process.get, "/readyz"))[0],
    )


def _said(said: Model, *, key: bytes | None = None, headers: Headers = ()) -> Record:
    return Record("", 0, 0, key, cloudevents.encode(an_event(said)), headers)


async def _publish(
    settings: PlatformSettings, log: list[tuple[str, str, int, Record]]
) -> dict[str, tuple[str, int, int]]:
    """Publish records one after the other and return where each went."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, compression_type="lz4", max_request_size=4_000_000
    )
    await producer.start()
    places: dict[str, tuple[str, int, int]] = {}
    try:
        for name, topic, partition, record in log:
            sent = await producer.send_and_wait(
                settings.topic_prefix + topic,
                record.value,
                key=record.key,
                headers=list(record.headers),
                partition=partition,
            )
            places[name] = (topic, partition, sent.offset)
    finally:
        await producer.stop()
    return places


@pytest.mark.parametrize("name", BROKEN)
def test_bad_record_is_a_dead_letter_with_its_reason_and_place(heard: Heard, name: str) -> None:
    record, reason, told = BROKEN[name]
    letter = heard.letters[heard.places[name]]
    assert (letter.reason, letter.service, letter.parked_key) == (reason, "counting", None)
    assert told in letter.detail
    assert letter.value is None or letter.value.encode() == record.value or letter.value.startswith("base64:")


@pytest.mark.parametrize("name", BROKEN)
def test_bad_record_is_counted(heard: Heard, name: str) -> None:
    _, reason, _ = BROKEN[name]
    topic, _, _ = heard.places[name]
    assert f'chatdesk_records_rejected_total{{reason="{reason}",topic="{topic}"}}' in heard.metrics


def test_text_above_the_limit_is_told_by_its_place_alone(heard: Heard) -> None:
    letter = heard.letters[heard.places["two million bytes"]]
    assert letter.value is None
    assert "an event at most 1000000" in letter.detail


def test_nothing_behind_bad_input_is_held_up(heard: Heard) -> None:
    counted = heard.counted[pair_of(ANN)]
    assert {"last-0", "last-1", "last-2", "last-3", "hologram", "send-1", *READABLE} == set(counted)
    assert heard.ready == 200


def test_rejected_event_and_reused_request_id_block_nobody(heard: Heard) -> None:
    for name, reason in (("rejected", "unwanted"), ("conflict", "request_id_conflict")):
        letter = heard.letters[heard.places[name]]
        assert (letter.reason, letter.parked_key) == (reason, None)


def test_poison_and_what_follows_it_are_parked_with_their_key(heard: Heard) -> None:
    for name, reason in (("poison", "handler_failed"), ("behind", "behind_parked")):
        letter = heard.letters[heard.places[name]]
        assert (letter.reason, letter.parked_key) == (reason, pair_of(BOB))
        assert letter.value is not None
    assert 'chatdesk_records_parked_total{reason="handler_failed",topic="inbound-messages.v1"} 1.0' in (
        heard.metrics
    )
    assert pair_of(BOB) not in heard.counted


def test_nothing_else_is_a_dead_letter(heard: Heard) -> None:
    expected = [*BROKEN, "rejected", "conflict", "poison", "behind"]
    assert set(heard.letters) == {heard.places[name] for name in expected}
