"""A history put in order once, for the invariants to look things up in."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

from ops.checker.history import History, Key, Reading, Record
from shared.contracts.chats import ChatFact, ChatRecorded
from shared.contracts.deliveries import Delivery
from shared.contracts.directory import AgentDocument, TenantDocument
from shared.contracts.event import Event
from shared.contracts.inbound_messages import InboundMessage
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.tickets import TicketFact

DataT = TypeVar("DataT")


@dataclass(frozen=True, slots=True)
class Told:
    """An event's first occurrence."""

    record: Record
    event: Event[Any]

    @property
    def tenant_id(self) -> str:
        """The tenant the event belongs to."""
        return self.event.tenant_id


class Story:
    """One history, indexed. Everything is computed once, when it is first asked for."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._first: dict[str, list[Told]] = {}

    def told(self, topic: str) -> list[Told]:
        """Return the first occurrence of every event on a topic, partition by partition, in order."""
        if topic not in self._first:
            found: dict[tuple[str, str, str], Told] = {}
            for record in self.history.topics.get(topic, ()):
                if (event := record.event) is not None:
                    found.setdefault((event.tenant_id, event.source, event.id), Told(record, event))
            self._first[topic] = list(found.values())
        return self._first[topic]

    @cached_property
    def chats(self) -> Mapping[Key, list[Told]]:
        """What was told of each chat, in the order of its topic; recordings within a chat included."""
        found = defaultdict(list)
        for told in self.told("chats.v1"):
            match told.event.data:
                case ChatFact(chat_id=str() as chat_id) | ChatRecorded(chat_id=str() as chat_id):
                    found[(told.tenant_id, chat_id)].append(told)
                case _:
                    pass
        return found

    @cached_property
    def facts(self) -> Mapping[Key, list[Told]]:
        """What was told of each chat that carries its whole state."""
        return {
            key: [one for one in told if isinstance(one.event.data, ChatFact)]
            for key, told in self.chats.items()
        }

    @cached_property
    def tickets(self) -> Mapping[Key, list[Told]]:
        """What was told of each ticket."""
        return _grouped(self.told("tickets.v1"), TicketFact, "ticket_id")

    @cached_property
    def deliveries(self) -> Mapping[Key, list[Told]]:
        """What was told of each send request."""
        return _grouped(self.told("deliveries.v1"), Delivery, "request_id")

    @cached_property
    def requests(self) -> Mapping[Key, Told]:
        """Each send request as it was first published."""
        asked = _grouped(self.told("outbound-messages.v1"), MessageSend, "request_id")
        return {key: told[0] for key, told in asked.items()}

    @cached_property
    def agents(self) -> Mapping[Key, dict[int, Told]]:
        """What presence told of each agent, by version."""
        found: dict[Key, dict[int, Told]] = defaultdict(dict)
        for told in self.told("agents.v1"):
            found[(told.tenant_id, told.event.data.agent_id)].setdefault(told.event.data.version, told)
        return found

    @cached_property
    def agent_documents(self) -> Mapping[Key, list[Told]]:
        """Every revision of each agent's document, oldest first."""
        found = _grouped(self.told("directory.v1"), AgentDocument, "id")
        return {key: sorted(told, key=lambda one: one.event.data.revision) for key, told in found.items()}

    @cached_property
    def tenants(self) -> Mapping[str, TenantDocument]:
        """The newest document of each tenant."""
        found = _grouped(self.told("directory.v1"), TenantDocument, "id")
        return {
            key[0]: max((one.event.data for one in told), key=lambda document: document.revision)
            for key, told in found.items()
        }

    @cached_property
    def inbound(self) -> Mapping[str, list[Told]]:
        """The customers' messages by pair, each told once, partition by partition."""
        found: dict[str, list[Told]] = defaultdict(list)
        seen: set[bytes | None] = set()
        for told in self.told("inbound-messages.v1"):
            if isinstance(told.event.data, InboundMessage) and told.record.digest not in seen:
                seen.add(told.record.digest)
                found[told.event.pair_key or ""].append(told)
        return found

    @cached_property
    def _read_times(self) -> Mapping[str, list[datetime]]:
        return {service: [one.at for one in looks] for service, looks in self.history.readings.items()}

    def surely_read(self, service: str, record: Record, before: datetime) -> bool:
        """Say whether a service surely had read a record at a time, by what was seen of its positions."""
        index = bisect_right(self._read_times.get(service, ()), before) - 1
        if index < 0:
            return False
        read_up_to = self.history.readings[service][index].read_up_to
        return read_up_to is not None and read_up_to >= record.written_at

    def caught_up_at(self, service: str, moment: datetime) -> datetime | None:
        """Return when a service was first seen to have read everything up to a moment; None: never."""
        readings = self.history.readings.get(service, ())
        index = bisect_left(self._caught_up.get(service, ()), moment)
        return readings[index].at if index < len(readings) else None

    @cached_property
    def _caught_up(self) -> Mapping[str, list[datetime]]:
        return {service: list(_growing(looks)) for service, looks in self.history.readings.items()}


def _growing(readings: Iterable[Reading]) -> Iterator[datetime]:
    """Yield how far had been read at each look; it never goes back, and nothing known is the beginning."""
    reached: datetime | None = None
    for one in readings:
        if one.read_up_to is not None and (reached is None or one.read_up_to > reached):
            reached = one.read_up_to
        yield reached if reached is not None else datetime.min.replace(tzinfo=one.at.tzinfo)


def _grouped(told: Iterable[Told], kind: type[Any], name: str) -> dict[Key, list[Told]]:
    found: dict[Key, list[Told]] = defaultdict(list)
    for one in told:
        if isinstance(one.event.data, kind):
            found[(one.tenant_id, getattr(one.event.data, name))].append(one)
    return dict(found)


def steps(told: Iterable[DataT]) -> Iterator[tuple[DataT, DataT | None]]:
    """Yield each with the one after it; the last with None."""
    ordered = [*told]
    yield from pairwise(ordered)
    if ordered:
        yield ordered[-1], None
