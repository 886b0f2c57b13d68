"""10: every record consumed was handled, passed by as a known type, or parked with its reason."""

from collections.abc import Iterator
from typing import Any

from ops.checker.history import Books, Place, Record
from ops.checker.story import Story
from ops.checker.verdict import Verdict
from shared.contracts import catalogue
from shared.contracts.agent_signals import AgentHeartbeat
from shared.contracts.agents import AgentChanged
from shared.contracts.chat_commands import ChatCommand, ChatReachOut
from shared.contracts.dead_letters import DeadLetter, DeadLetterReplayed
from shared.contracts.directory import DirectoryDocument
from shared.contracts.event import Event
from shared.contracts.pairs import PairChanged
from shared.contracts.ticket_commands import TicketAcceptNext, TicketCommand

_NAME = "every record handled, passed by, or parked with its reason"


def records(story: Story) -> Verdict:
    """Judge every record of every topic, once for each service that hears it."""
    checked, broken = 0, list(_commands_without_answer(story))
    for service, books in story.history.databases.books.items():
        heard = {catalogue.topic_of(wire_type) for wire_type in books.handles}
        for topic in sorted(heard):
            found = story.history.topics.get(topic, ())
            checked += len(found)
            broken += _unread(service, books, topic, found)
            broken += _unsettled(service, books, topic, found)
        broken += _parked_silently(story, service, books)
        broken += [f"{service} put its own work aside: {one}" for one in books.stuck]
    return Verdict(10, _NAME, checked, broken)


def _unread(service: str, books: Books, topic: str, found: tuple[Record, ...]) -> Iterator[str]:
    ends: dict[Place, int] = {}
    for record in found:
        ends[(topic, record.partition)] = record.offset + 1
    for place, end in ends.items():
        if (books.positions.get(place) or 0) < end:
            yield f"{service} has read {place[0]}/{place[1]} up to {books.positions.get(place)} of {end}"


def _unsettled(service: str, books: Books, topic: str, found: tuple[Record, ...]) -> Iterator[str]:
    parked = {(one.partition, one.offset): one for one in books.parked if one.topic == topic}
    compacted = catalogue.is_compacted(topic)
    for record in found:
        if (one := parked.get((record.partition, record.offset))) is not None:
            if not one.reason:
                yield f"{service} parked {record.where} without a reason"
        elif record.event is None:
            if not (compacted and record.value is None):
                yield f"{service} lost {record.where}, which is no event ({record.problem})"
        elif record.event.type in books.handles and not _is_handled(service, books, record, record.event):
            yield f"{service} never handled {record.where} ({record.event.type})"


def _is_handled(service: str, books: Books, record: Record, event: Event[Any]) -> bool:
    """Owners hear every repeat of their own words on compacted topics, and keep how far they heard them.

    A heartbeat leaves nothing but a lease that ends: that it was read, which positions tell, is all there is.
    """
    if isinstance(event.data, AgentHeartbeat):
        return True
    if event.type not in catalogue.echoes_of(service):
        return record.digest in books.seen
    match event.data:
        case AgentChanged() as agent:
            key, version = agent.agent_id, agent.version
        case PairChanged() as pair:
            key, version = event.pair_key or "", pair.version
        case DirectoryDocument() as document:
            key, version = f"{event.type.split('.')[2]}:{document.id}", document.revision
        case _:
            return True
    return books.echoed.get((event.tenant_id, key), -1) >= version


def _parked_silently(story: Story, service: str, books: Books) -> Iterator[str]:
    """Whatever was put aside has a dead letter, and no dead letter speaks of nothing."""
    letters = {
        (told.event.data.topic, told.event.data.partition, told.event.data.offset)
        for told in story.told(f"{service}.dead-letters.v1")
        if isinstance(told.event.data, DeadLetter)
    }
    rows = {(one.topic, one.partition, one.offset) for one in books.parked}
    for topic, partition, offset in sorted(rows - letters):
        yield f"{service} parked {topic}/{partition}/{offset}, and no dead letter says so"
    replayed = {
        (told.event.data.topic, told.event.data.partition, told.event.data.offset)
        for told in story.told(f"{service}.dead-letters.v1")
        if isinstance(told.event.data, DeadLetterReplayed)
    }
    for topic, partition, offset in sorted(letters - rows - replayed):
        yield f"a dead letter of {service} speaks of {topic}/{partition}/{offset}, which is not parked"


def _commands_without_answer(story: Story) -> Iterator[str]:
    """A command is answered by what it did, by its refusal, or by a dead letter."""
    for topic, answers, service in (
        ("chat-commands.v1", "chats.v1", "routing"),
        ("ticket-commands.v1", "tickets.v1", "tickets"),
    ):
        books = story.history.databases.books.get(service, Books())
        parked = {(one.topic, one.partition, one.offset) for one in books.parked}
        answered = {(told.tenant_id, told.event.causation_id) for told in story.told(answers)}
        for told in story.told(topic):
            record = told.record
            if not isinstance(told.event.data, ChatCommand | ChatReachOut | TicketCommand | TicketAcceptNext):
                continue
            if told.event.type not in books.handles or (topic, record.partition, record.offset) in parked:
                continue
            if (told.tenant_id, told.event.id) not in answered:
                yield f"{told.event.type} at {record.where} has no answer"
