"""What is no event ends as a dead letter that a person understands, and holds up nothing behind it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts import cloudevents
from shared.contracts.dead_letters import DeadLetter
from shared.contracts.errors import Rejected
from shared.contracts.inbound_messages import MessageReceived
from shared.platform.letters import LARGEST_EVENT, LARGEST_KEPT, dead_letter
from shared.platform.pipeline import decode
from shared.platform.records import Decoded, Parked, Record, Tombstone, Undecodable
from tests.desk_events import NOON, a_message
from tests.pipeline.bad_records import BROKEN, with_attributes, written
from tests.pipeline.builders import ANN, INBOUND, CountingDesk, a_note, a_record, pair_of
from tests.pipeline.counting import BULKY, REJECT


def decoded(record: Record) -> MessageReceived:
    item = decode(record)
    assert isinstance(item, Decoded), item
    assert isinstance(item.event.data, MessageReceived)
    return item.event.data


def refusal(record: Record) -> Rejected:
    item = decode(record)
    assert isinstance(item, Undecodable), item
    return item.error


@pytest.mark.parametrize(("record", "reason", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_refusal_names_what_is_wrong(record: Record, reason: str, told: str) -> None:
    refused = refusal(record)
    assert refused.reason == reason
    assert told in refused.detail


@pytest.mark.parametrize(
    "headers",
    [(("trace", None),), (("trace", b"\xff\xfe"),), (("ce_future", b"\xff"),), (("ce_id", None),)],
    ids=["null value", "no UTF-8", "unknown attribute", "null attribute"],
)
def test_headers_nobody_reads_may_be_anything(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    assert decoded(a_record(a_message("hi"), headers=headers)).content.text == "hi"  # type: ignore[union-attr]


def test_unknown_kind_of_content_is_kept_raw() -> None:
    content = decoded(a_record(written(content={"kind": "hologram", "depth": 3}))).content
    assert content.kind == "unsupported"
    assert content.raw == {"kind": "hologram", "depth": 3}


def test_tombstone_of_a_compacted_topic_passes_by() -> None:
    assert isinstance(decode(a_record(None, topic="agents.v1", key=b"acme:ann")), Tombstone)


_ANY_HEADERS = st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=3)
_ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_ANY_EVENT = st.dictionaries(
    st.sampled_from(
        ["id", "source", "type", "subject", "time", "tenantid", "pairkey", "data", "specversion"]
    ),
    _ANY_JSON,
).map(lambda changed: with_attributes(**changed))


@given(
    value=st.none() | st.binary(max_size=64) | _ANY_EVENT, key=st.none() | st.binary(), headers=_ANY_HEADERS
)
def test_whatever_is_read_is_an_event_or_has_a_dead_letter_that_can_be_stored(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    item = decode(Record(INBOUND, 0, 7, key, value, tuple(headers)))
    if isinstance(item, Undecodable):
        assert item.error.reason != "decoding_failed", item.error.detail
        letter = letter_of(item.record, item.error)
        assert "\x00" not in letter.model_dump_json()
        assert letter.model_dump_json().encode()


def letter_of(record: Record, refused: Rejected | None = None) -> DeadLetter:
    """Return the dead letter of a record as a reader of its topic finds it."""
    refused = refused or refusal(record)
    row = dead_letter(
        "counting", Parked(record, "", "k", refused.reason, refused.detail, blocks_key=False), NOON
    )
    assert row.value is not None
    assert len(row.value) <= LARGEST_EVENT
    data = cloudevents.decode(row.value).data
    assert isinstance(data, DeadLetter)
    assert (data.topic, data.partition, data.offset) == (record.topic, record.partition, record.offset)
    return data


class TestDeadLetter:
    def test_carries_the_original(self) -> None:
        letter = letter_of(a_record(b"{", key=b"k", headers=(("a", b"b"), ("null", None), ("odd", b"\xff"))))
        assert (letter.key, letter.value) == ("k", "{")
        assert letter.headers == (("a", "b"), ("null", None), ("odd", "base64:/w=="))

    def test_leaves_out_a_value_above_its_limit(self) -> None:
        assert letter_of(a_record(b"x" * LARGEST_KEPT)).value == "x" * LARGEST_KEPT
        assert letter_of(a_record(b"x" * (LARGEST_KEPT + 1))).value is None

    @pytest.mark.parametrize("byte", [b"\x01", b'"', b"\xff", "\N{PILE OF POO}".encode()])
    def test_never_is_larger_than_a_topic_takes(self, byte: bytes) -> None:
        headers = (("trace", b"1"),)
        letter = letter_of(a_record(byte * (LARGEST_KEPT // len(byte)), key=b"k", headers=headers))
        assert (letter.key, letter.headers) == ("k", (("trace", "1"),))

    def test_leaves_out_headers_that_do_not_fit(self) -> None:
        letter = letter_of(a_record(b"{", headers=(("big", b"\xff" * 900_000),)))
        assert letter.headers == ()
        assert letter.key is None

    def test_leaves_out_a_key_that_does_not_fit(self) -> None:
        assert letter_of(a_record(b"{", key=b"\xff" * 900_000)).key is None


@pytest.mark.servers
class TestInABatch:
    async def test_neighbours_of_broken_records_are_counted(self, desk: CountingDesk) -> None:
        batch: list[Record] = []
        for record, _, _ in BROKEN.values():
            again = a_record(record.value, topic=record.topic, key=record.key, headers=record.headers)
            batch += [again, a_record(a_message("behind it"))]
        await desk.read(*batch)
        assert len((await desk.counted())[pair_of(ANN)]) == len(BROKEN)
        assert [letter.reason for letter in await desk.dead_letters()] == [r for _, r, _ in BROKEN.values()]
        assert not any(blocks for _, _, blocks in await desk.parked())

    @pytest.mark.parametrize(
        "record",
        [
            a_record(b"\x00"),
            a_record(b"{", key=b"\x00\xff"),
            a_record(b"{", headers=(("na\x00me", b"\x00"),)),
            a_record(b"{", headers=(("big", b"\xff" * 900_000),)),
            a_record(b'"' * LARGEST_KEPT),
        ],
        ids=["null character", "key", "header", "large header", "quotes"],
    )
    async def test_whatever_it_holds_can_be_parked(self, desk: CountingDesk, record: Record) -> None:
        await desk.read(record, a_message())
        assert [letter.offset for letter in await desk.dead_letters()] == [record.offset]
        assert len(await desk.counted()) == 1

    async def test_rejected_event_is_a_dead_letter_and_its_key_goes_on(self, desk: CountingDesk) -> None:
        await desk.read(a_message(REJECT), a_message("next", message_id="m2"))
        assert await desk.counted() == {pair_of(ANN): ["m2"]}
        (letter,) = await desk.dead_letters()
        assert (letter.reason, letter.detail, letter.parked_key) == (
            "unwanted",
            "it asks to be rejected",
            None,
        )

    async def test_message_whose_answer_is_too_large_is_parked_with_its_key(self, desk: CountingDesk) -> None:
        await desk.read(a_message(BULKY), a_message("next"))
        assert [(r, b) for _, r, b in await desk.parked()] == [
            ("handler_failed", True),
            ("behind_parked", True),
        ]
        assert "at most 1000000 can be published" in (await desk.dead_letters())[0].detail

    async def test_broken_version_parks_what_follows_and_nothing_else(self, desk: CountingDesk) -> None:
        tickets = "tickets.v1"
        await desk.read(a_note(1), a_record(b"version 2 was here", topic=tickets), a_note(3), a_note(4))
        await desk.read(a_note(1, ticket="ticket-2", customer="+27820000009"))
        assert sum(map(len, (await desk.counted()).values())) == 2
        assert [reason for _, reason, _ in await desk.parked()] == [
            "broken_json",
            "version_gap",
            "behind_parked",
        ]
