"""1: every accepted inbound message is in exactly one place, in the order of its partition."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from ops.checker.history import Record
from ops.checker.story import Story, Told
from ops.checker.verdict import Verdict
from shared.contracts.chats import ChatMessageAdded, ChatRecorded
from shared.contracts.inbound_messages import InboundMessage

TOPIC = "inbound-messages.v1"
_NAME = "every message once, in order: chat, timeline or parked"


def inbound_once(story: Story) -> Verdict:
    """Judge every message that Kafka took, and every line of the driver's log that says it did."""
    messages = [told for told in _messages(story) if told.event.type in _handled(story)]
    broken = [*_lost_by_kafka(story), *_not_once(story, messages), *_out_of_order(story, messages)]
    return Verdict(1, _NAME, len(messages), broken)


def _messages(story: Story) -> Iterator[Told]:
    for told in story.inbound.values():
        yield from told


def _handled(story: Story) -> frozenset[str]:
    return story.history.databases.books["routing"].handles


def _lost_by_kafka(story: Story) -> Iterator[str]:
    """The driver's log and the topic must tell the same."""
    there = {(record.partition, record.offset): record for record in story.history.topics.get(TOPIC, ())}
    for line in story.history.published:
        if line.topic != TOPIC:
            continue
        record = there.get((line.partition, line.offset))
        if record is None or (record.event is not None and record.event.id != line.event_id):
            yield f"{line.event_id} was acknowledged at {line.partition}/{line.offset}, but is not there"


def _places(story: Story) -> dict[tuple[str, str], list[str]]:
    """Return where each message ended, by its pair and the provider's id."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for told in story.told("chats.v1"):
        match told.event.data:
            case ChatMessageAdded(direction="inbound") as added:
                found[_name(told, added.message_id)].append(f"chat {added.chat_id}")
            case ChatRecorded() as recorded:
                found[_name(told, recorded.message_id)].append("the timeline")
            case _:
                pass
    return found


def _not_once(story: Story, messages: list[Told]) -> Iterator[str]:
    places = _places(story)
    parked = _parked_digests(story)
    known: set[tuple[str, str]] = set()
    for told in messages:
        name = _name(told, told.event.data.provider_message_id)
        known.add(name)
        found = places.get(name, []) + ["parked"] * parked[told.record.digest]
        if len(found) != 1:
            where = ", ".join(found) or "nowhere"
            yield f"message {name[1]} ({told.record.where}) is in {len(found)} places: {where}"
    for name in places.keys() - known:
        yield f"message {name[1]} is in {', '.join(places[name])}, but nobody wrote it"


def _parked_digests(story: Story) -> Counter[bytes | None]:
    """Count how often each message was parked. What is no event has no digest and is judged by 10."""
    records: dict[tuple[int, int], Record] = {
        (record.partition, record.offset): record for record in story.history.topics.get(TOPIC, ())
    }
    parked = story.history.databases.books["routing"].parked
    return Counter(
        record.digest
        for one in parked
        if one.topic == TOPIC and (record := records.get((one.partition, one.offset))) and record.digest
    )


def _out_of_order(story: Story, messages: list[Told]) -> Iterator[str]:
    """Within a pair, what came from one partition is told in the order it had there."""
    first: dict[tuple[str, str], Record] = {}
    for told in messages:
        first.setdefault(_name(told, told.event.data.provider_message_id), told.record)
    parked = _parked_digests(story)
    latest: dict[tuple[str, int], Record] = {}
    for told in story.told("chats.v1"):
        match told.event.data:
            case ChatMessageAdded(direction="inbound", message_id=message_id):
                pass
            case ChatRecorded(message_id=message_id):
                pass
            case _:
                continue
        record = first.get(_name(told, message_id))
        if record is None or parked[record.digest]:
            continue
        lane = (told.event.pair_key or "", record.partition)
        if (before := latest.get(lane)) is not None and before.offset > record.offset:
            yield f"message {message_id} ({record.where}) was told after {before.where} of its pair"
        latest[lane] = record


def _name(told: Told, message_id: str) -> tuple[str, str]:
    """Name a message: the provider's id is unique for the pair and, for edits, per kind of event."""
    pair = told.event.pair_key or ""
    changed = isinstance(told.event.data, InboundMessage) and not told.event.type.endswith("received.v1")
    recorded = isinstance(told.event.data, ChatRecorded) and told.event.data.why in {"edited", "revoked"}
    return pair, f"{message_id} (changed)" if changed or recorded else message_id
