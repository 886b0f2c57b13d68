"""Events around the largest that may be, on real Kafka: each is handled, refused alone, or never accepted."""

import base64
import hashlib
from collections.abc import AsyncIterator

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from ops.contracts import LARGEST_RECORD
from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.contracts.cloudevents import LARGEST, LARGEST_GIVEN
from shared.contracts.content import Unsupported
from shared.contracts.errors import Rejected
from shared.contracts.event import Model
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import ANN, BOB, INBOUND, pair_of
from tests.pipeline.counting import BULKY
from tests.pipeline.installed import Counting, installed
from tests.pipeline.waiting import until_holds
from tests.topics import publish_raw

pytestmark = pytest.mark.servers


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    """Its inbound topic takes what `chatdesk topics apply` lets it take."""
    limit = {INBOUND: {"max.message.bytes": str(LARGEST_RECORD)}}
    async with installed(servers, topic_settings=limit) as counting:
        yield counting


def noise(length: int) -> str:
    """Return letters that no compression makes small."""
    return base64.b64encode(hashlib.shake_256(b"noise").digest(length)).decode()[:length]


def written(said: Model) -> bytes:
    return cloudevents.encode(an_event(said))


def unreadable(raw: object, message_id: str) -> Model:
    """Build a message of a kind that we don't know, as it came."""
    return a_message(message_id=message_id, content=Unsupported(raw={"raw": raw}))


def of_size(size: int, message_id: str) -> bytes:
    """Build a message whose record has exactly so many bytes."""
    rest = len(written(unreadable("", message_id)))
    value = written(unreadable(noise(size - rest), message_id))
    assert len(value) == size
    return value


async def test_each_size_has_its_fate_and_none_holds_up_its_pair(counting: Counting) -> None:
    process = await counting.start().ready()
    await counting.send(
        INBOUND,
        [
            of_size(LARGEST_GIVEN, "the largest"),
            of_size(LARGEST_GIVEN + 1, "one more"),
            of_size(LARGEST - 2000, "what is said of it would not fit"),
            of_size(LARGEST, "an event of any other kind may have so much"),
            of_size(LARGEST + 1, "no event"),
            of_size(LARGEST + 90_000, "all that the topic takes"),
            written(a_message("small", message_id="the next")),
        ],
        partition=0,
    )
    await counting.until_counted(2)
    await counting.prove({pair_of(ANN): ["the largest", "the next"]})
    letters = await counting.dead_letters()
    assert [(one.offset, one.reason, one.parked_key) for one in letters] == [
        (offset, "too_large", None) for offset in range(1, 6)
    ]
    assert [one.value for one in letters] == [None] * 5, "where to find it is told, it is not repeated"
    assert process.alive


async def test_publisher_is_told_what_the_topic_does_not_take(counting: Counting) -> None:
    with pytest.raises(MessageSizeTooLargeError):
        await publish_raw(counting.settings, [(INBOUND, None, of_size(1_300_000, "too much"), [])])


async def test_answer_that_does_not_fit_parks_its_pair_alone(counting: Counting) -> None:
    await counting.start().ready()
    said = [
        a_message(BULKY, message_id="bulky"),
        a_message("behind it", message_id="m2"),
        a_message("somebody else's", customer=BOB, message_id="m3"),
    ]
    await counting.send(INBOUND, map(written, said), partition=0)
    await counting.until_counted(1)
    letters = await until_holds(counting.dead_letters, lambda letters: len(letters) == 2)
    assert [(one.reason, one.parked_key) for one in letters] == [
        ("handler_failed", pair_of(ANN)),
        ("behind_parked", pair_of(ANN)),
    ]
    await counting.prove({pair_of(BOB): ["m3"]})


def test_numbers_that_grow_are_measured_as_we_write_them() -> None:
    """A short record may become a long one: 1e15 is written with all its digits."""
    value = written(unreadable([1e15] * 60_000, "numbers"))
    assert len(value) > LARGEST_GIVEN
    short = value.replace(b"1000000000000000.0", b"1e15")
    assert len(short) < LARGEST / 2
    with pytest.raises(Rejected, match="at most 900000 bytes"):
        cloudevents.decode(short)
