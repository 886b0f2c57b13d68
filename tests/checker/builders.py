"""A small past of a contact centre, told without any service, to be left clean or to be doctored."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from ops.checker import History, Verdict, check
from ops.checker.history import (
    Books,
    Call,
    ChatRow,
    Databases,
    Parked,
    Published,
    Reading,
    Record,
    TicketRow,
)
from services.routing.decisions.choice import Candidate, candidate, choose
from services.routing.decisions.placement import Assign, place, prefer
from services.routing.model import Agent, Closing, Department
from shared.contracts import catalogue, chats, cloudevents, deliveries, directory, inbound_messages, tickets
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentHeartbeat, AgentSignedIn
from shared.contracts.agents import AgentChanged
from shared.contracts.chat_commands import ChatClose, ChatReply
from shared.contracts.content import Text
from shared.contracts.event import Cause, Event, Model
from shared.contracts.fields import JsonObject
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.pairs import PairRef

NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
TENANT = "acme"
BUSINESS = "+27110000000"
WRITE = timedelta(milliseconds=20)
"""From a commit to the record on its topic."""
HANDLES = {
    "routing": frozenset(
        catalogue.type_of(model)
        for model in (
            inbound_messages.MessageReceived,
            ChatReply,
            ChatClose,
            AgentChanged,
            directory.AgentDocument,
            directory.TenantDocument,
            tickets.TicketClosed,
        )
    ),
    "outbound": frozenset(
        catalogue.type_of(model) for model in (inbound_messages.MessageReceived, MessageSend)
    ),
    "presence": frozenset(catalogue.type_of(model) for model in (AgentSignedIn, AgentHeartbeat)),
    "tickets": frozenset({catalogue.type_of(chats.ChatDiverted), catalogue.type_of(chats.ChatAssigned)}),
}


class Past:
    """Tells what happened, record by record; ``history`` adds the rows that go with it."""

    def __init__(self) -> None:
        self.now = NOON
        self.records: dict[str, list[Record]] = defaultdict(list)
        self.published: list[Published] = []
        self.calls: list[Call] = []
        self.parked: dict[str, list[Parked]] = defaultdict(list)
        self.chats: dict[str, chats.ChatFact] = {}
        self.tickets: dict[str, tickets.TicketFact] = {}
        self.loads: dict[str, int] = defaultdict(int)
        self.offers: dict[str, str] = {}
        self.wrap_ups: dict[str, str] = {}
        self._number = 0

    def wait(self, **duration: float) -> None:
        """Let time pass."""
        self.now += timedelta(**duration)

    def say(self, data: Model, source: str, *, cause: Event[Any] | None = None) -> Event[Any]:
        """Put an event on its topic, now."""
        self._number += 1
        subject, nth = "test", self._number
        if isinstance(data, chats.ChatFact):
            subject, nth = data.chat_id, data.version
        event = catalogue.fact(
            cause.as_cause() if cause else Cause(TENANT, f"cause-{self._number}"),
            data,
            source=source,
            subject=subject,
            time=self.now,
            nth=nth,
        )
        return self.put(event)

    def put(self, event: Event[Any]) -> Event[Any]:
        """Put this very event on its topic, once more if it is there."""
        topic = catalogue.topic_of(event.type)
        self.records[topic].append(
            Record(
                topic=topic,
                partition=0,
                offset=len(self.records[topic]),
                written_at=self.now + WRITE,
                value=cloudevents.encode(event),
                event=event,
                key=catalogue.key_of(event),
                digest=catalogue.digest_of(event),
            )
        )
        self.wait(milliseconds=30)
        return event

    def open_for_business(self) -> None:
        """Describe a tenant with one department and Ann and Ben in it, both of whom sign in."""
        self.say(
            directory.TenantDocument(
                id=TENANT,
                revision=1,
                name="Acme",
                first_line_department="sales",
                lease_seconds=3,
                grace_seconds=2,
            ),
            "desk",
        )
        for agent in ("ann", "ben"):
            self.say(
                directory.AgentDocument(id=agent, revision=1, name=agent, departments=("sales",), capacity=2),
                "desk",
            )
            self.say(AgentSignedIn(agent_id=agent, session_id=f"{agent}-1"), "driver")
            self.agent(agent, "online", 1)

    def agent(self, agent: str, state: str, version: int) -> None:
        """Let presence say an agent's state."""
        self.say(
            AgentChanged(agent_id=agent, state=state, cause="test", since=self.now, version=version),
            "presence",
        )

    def beat(self, *agents: str) -> None:
        """Let sessions live on."""
        for agent in agents:
            self.say(AgentHeartbeat(agent_id=agent, session_id=f"{agent}-1"), "driver")

    def write(self, customer: str, message_id: str, *, sent_at: datetime | None = None) -> Event[Any]:
        """Let a customer write."""
        event = self.say(
            inbound_messages.MessageReceived(
                channel="whatsapp",
                business_address=BUSINESS,
                customer_address=customer,
                provider="whatsapp_cloud",
                provider_message_id=message_id,
                sent_at=sent_at or self.now,
                received_at=sent_at or self.now,
                content=Text(text="hello"),
            ),
            "driver",
        )
        record = self.records["inbound-messages.v1"][-1]
        self.published.append(
            Published(record.topic, record.partition, record.offset, event.id, "customer", repeat=False)
        )
        return event

    def can(self, agent: str, *skills: str) -> None:
        """Let the directory say what an agent can do."""
        document = directory.AgentDocument(
            id=agent, revision=2, name=agent, departments=("sales",), capacity=2, skills=skills
        )
        self.say(document, "desk")

    def open(self, chat_id: str, message: Event[Any], *skills: str) -> None:
        """Let routing open a chat with a message, unplaced."""
        data = message.data
        self.chats[chat_id] = chats.ChatOpened(
            chat_id=chat_id,
            version=0,
            assignment_version=0,
            state="queued",
            pair=PairRef(
                channel=data.channel,
                business_address=data.business_address,
                customer_address=data.customer_address,
            ),
            customer_id="customer",
            department_id="sales",
            opened_at=self.now,
            opened_by="customer",
            last_word="none",
        )
        self.tell(chat_id, chats.ChatOpened, cause=message, skills=skills or None)
        self.add(chat_id, message)

    def add(self, chat_id: str, message: Event[Any]) -> None:
        """Let routing append a customer's message."""
        data = message.data
        self.tell(
            chat_id,
            chats.ChatMessageAdded,
            cause=message,
            last_word="customer",
            message_id=data.provider_message_id,
            direction="inbound",
            author=Actor(role="customer"),
            content=data.content,
            sent_at=data.sent_at,
            received_at=data.received_at,
        )

    def assign(self, chat_id: str, agent: str, *, presence_version: int = 1, **told: Any) -> None:
        """Let routing give a chat to an agent."""
        self.loads[agent] += 1
        why = a_placement(Agent("acme", agent, capacity=9, state="online", presence_version=presence_version))
        self.tell(
            chat_id,
            chats.ChatAssigned,
            state="assigned",
            agent_id=agent,
            assignment_version=self.chats[chat_id].assignment_version + 1,
            agent_load=self.loads[agent],
            **{"why": why, **told},
        )

    def offer(
        self, chat_id: str, to: str, *, to_department_id: str | None = None, kind: str = "transfer"
    ) -> None:
        """Let a chat be offered to an agent by who holds it, or out of the queue."""
        self.loads[to] += 1
        self.offers[chat_id] = to
        self.tell(
            chat_id,
            chats.ChatOffered,
            kind=kind,
            to=to,
            to_department_id=to_department_id,
            expires_at=self.now + timedelta(minutes=20),
            agent_load=self.loads[to],
            why={"receiver": a_candidate(to)},
        )

    def end_offer(self, chat_id: str, outcome: str) -> None:
        """Let an offer be over."""
        to = self.offers.pop(chat_id)
        self.loads[to] -= 1
        self.tell(chat_id, chats.ChatOfferEnded, outcome=outcome, to=to, agent_load=self.loads[to])

    def accept(self, chat_id: str, **told: Any) -> None:
        """Let a chat go to whom it was offered to."""
        to = self.offers[chat_id]
        self.end_offer(chat_id, "accepted")
        self.loads[to] += 1
        self._free(chat_id)
        self.tell(
            chat_id,
            chats.ChatTransferred,
            by=Actor(role="agent", id=self.chats[chat_id].agent_id),
            agent_id=to,
            assignment_version=self.chats[chat_id].assignment_version + 1,
            agent_load=self.loads[to],
            **{"why": {"receiver": a_candidate(to)}, **told},
        )

    def queue(self, chat_id: str) -> None:
        """Let a chat wait."""
        self._free(chat_id)
        full = a_placement(Agent("acme", "ann", capacity=1, load=1, state="online"))
        self.tell(chat_id, chats.ChatQueued, state="queued", agent_id=None, why=full)

    def divert(self, chat_id: str, ticket_id: str) -> None:
        """Let routing make a chat a ticket, and tickets open it."""
        self._free(chat_id)
        diverted = self.tell(
            chat_id,
            chats.ChatDiverted,
            state="diverted",
            agent_id=None,
            ticket_id=ticket_id,
            reason="no_agents_online",
            why=a_placement(Agent("acme", "ann", capacity=1)),
        )
        chat = self.chats[chat_id]
        self.tickets[ticket_id] = tickets.TicketOpened(
            ticket_id=ticket_id,
            chat_id=chat_id,
            version=0,
            state="unassigned",
            reason="no_agents_online",
            pair=chat.pair,
            customer_id=chat.customer_id,
            opened_at=self.now,
            last_message_at=self.now,
        )
        self.tell_ticket(ticket_id, tickets.TicketOpened, cause=diverted)

    def reply(self, chat_id: str, request_id: str) -> Event[Any]:
        """Let the agent write, routing append it and ask for it to be sent."""
        chat = self.chats[chat_id]
        command = self.say(
            ChatReply(
                by=Actor(role="agent", id=chat.agent_id),
                chat_id=chat_id,
                request_id=request_id,
                content=Text(text="yes"),
                pair=chat.pair,
            ),
            "driver",
        )
        self.tell(
            chat_id,
            chats.ChatMessageAdded,
            cause=command,
            last_word="business",
            message_id=request_id,
            request_id=request_id,
            direction="outbound",
            author=Actor(role="agent", id=chat.agent_id),
            content=Text(text="yes"),
            sent_at=self.now,
            received_at=self.now,
        )
        return self.request(chat.pair, request_id, cause=command)

    def request(self, pair: PairRef, request_id: str, cause: Event[Any] | None = None) -> Event[Any]:
        """Ask for a message to be sent."""
        return self.say(
            MessageSend(
                request_id=request_id,
                **pair.model_dump(),
                requested_at=self.now,
                content=Text(text="yes"),
                purpose="chat",
            ),
            "routing" if cause else "another-system",
            cause=cause,
        )

    def call(self, request_id: str, **call: Any) -> None:
        """Let a request reach the provider, which takes it."""
        told: dict[str, Any] = {"free_form": True, "taken": True, "answer": "accepted", **call}
        self.calls.append(Call(at=self.now, request=(TENANT, request_id), **told))
        self.wait(milliseconds=10)

    def deliver(self, request: Event[Any], *states: str, **fields: Any) -> None:
        """Let outbound tell what became of a request."""
        asked = request.data
        for state in states:
            kind = getattr(deliveries, f"Delivery{state.title().replace('_', '')}")
            self.say(
                kind(
                    request_id=asked.request_id,
                    purpose=asked.purpose,
                    channel=asked.channel,
                    business_address=asked.business_address,
                    customer_address=asked.customer_address,
                    at=self.now,
                    **fields,
                ),
                "outbound",
                cause=request,
            )

    def answer(self, chat_id: str, request_id: str) -> Event[Any]:
        """Let an agent's reply go all the way to the customer."""
        request = self.reply(chat_id, request_id)
        self.call(request_id)
        self.deliver(request, "accepted", "sent", "delivered")
        return request

    def close(self, chat_id: str, *, wrap_up: timedelta | None = None) -> None:
        """Let the agent end the chat, and keep its slot for a while."""
        chat = self.chats[chat_id]
        by = Actor(role="agent", id=chat.agent_id)
        command = self.say(ChatClose(by=by, chat_id=chat_id, pair=chat.pair), "driver")
        self._free(chat_id)
        if wrap_up is not None and chat.agent_id is not None:
            self.wrap_ups[chat_id] = chat.agent_id
            self.loads[chat.agent_id] += 1
        self.tell(
            chat_id,
            chats.ChatClosed,
            cause=command,
            state="closed",
            agent_id=None,
            previous_agent_id=chat.agent_id,
            by=by,
            reason="done",
            wrap_up_until=None if wrap_up is None else self.now + wrap_up,
        )

    def end_wrap_up(self, chat_id: str) -> None:
        """Let a slot be free that was held after a chat's end."""
        agent = self.wrap_ups.pop(chat_id)
        self.loads[agent] -= 1
        self.tell(chat_id, chats.ChatWrapUpEnded, reason="over", agent_load=self.loads[agent])

    def tell(
        self,
        chat_id: str,
        of: type[chats.ChatFact],
        /,
        *,
        cause: Event[Any] | None = None,
        **change: Any,
    ) -> Event[Any]:
        """Let routing say the next version of a chat."""
        known = {name: getattr(self.chats[chat_id], name) for name in chats.ChatFact.model_fields}
        known |= {"agent_load": None, "why": None, "version": self.chats[chat_id].version + 1}
        self.chats[chat_id] = of(**{**known, **change})
        return self.say(self.chats[chat_id], "routing", cause=cause)

    def tell_ticket(
        self, ticket_id: str, kind: type[tickets.TicketFact], cause: Event[Any] | None = None, **change: Any
    ) -> None:
        """Let tickets say the next version of a ticket."""
        known = {name: getattr(self.tickets[ticket_id], name) for name in tickets.TicketFact.model_fields}
        known |= {"version": self.tickets[ticket_id].version + 1}
        self.tickets[ticket_id] = kind(**{**known, **change})
        self.say(self.tickets[ticket_id], "tickets", cause=cause)

    def rewrite(self, topic: str, match: Callable[[Event[Any]], bool], **change: Any) -> None:
        """Let the events that match have been told with other data."""
        found = 0
        for n, record in enumerate(self.records[topic]):
            if record.event is not None and match(record.event):
                event = replace(record.event, data=record.event.data.model_copy(update=change))
                self.records[topic][n] = replace(record, event=event, value=cloudevents.encode(event))
                found += 1
        assert found, f"nothing on {topic} matches"

    def drop(self, topic: str, match: Callable[[Event[Any]], bool]) -> None:
        """Let the events that match never have been told."""
        kept = [one for one in self.records[topic] if one.event is None or not match(one.event)]
        assert len(kept) < len(self.records[topic]), f"nothing on {topic} matches"
        self.records[topic] = kept

    def history(self) -> History:
        """Return the past with the rows that go with it, looked at four times a second throughout."""
        taken_at = self.now + timedelta(seconds=1)
        looks = int((taken_at - NOON) / timedelta(seconds=0.25)) + 5
        times = [NOON + timedelta(seconds=0.25 * n) for n in range(looks)]
        readings = tuple(Reading(at, at - timedelta(milliseconds=100)) for at in times)
        return History(
            taken_at=taken_at,
            topics={topic: tuple(found) for topic, found in self.records.items()},
            published=tuple(self.published),
            databases=self._databases(),
            calls=tuple(self.calls),
            readings=dict.fromkeys(HANDLES, readings),
        )

    def _free(self, chat_id: str) -> None:
        if (agent := self.chats[chat_id].agent_id) is not None:
            self.loads[agent] -= 1

    def _databases(self) -> Databases:
        return Databases(
            chats={
                (TENANT, one.chat_id): ChatRow(
                    pair_key=_pair_key(one.pair),
                    state=one.state,
                    version=one.version,
                    assignment_version=one.assignment_version,
                    agent_id=one.agent_id,
                    ticket_id=one.ticket_id,
                    offered_to=self.offers.get(one.chat_id),
                    wrapped_up_by=self.wrap_ups.get(one.chat_id),
                )
                for one in self.chats.values()
            },
            loads={(TENANT, agent): load for agent, load in self.loads.items()},
            tickets={
                (TENANT, one.ticket_id): TicketRow(
                    pair_key=_pair_key(one.pair),
                    state=one.state,
                    version=one.version,
                    agent_id=one.agent_id,
                )
                for one in self.tickets.values()
            },
            standings={
                (TENANT, event.data.agent_id): (event.data.state, event.data.version)
                for event in self._events("agents.v1")
            },
            sends={
                (TENANT, event.data.request_id): event.type.split(".")[2]
                for event in self._events("deliveries.v1")
            },
            books={service: self._books(service) for service in HANDLES},
        )

    def _events(self, topic: str) -> list[Event[Any]]:
        return [record.event for record in self.records[topic] if record.event is not None]

    def _books(self, service: str) -> Books:
        topics = {catalogue.topic_of(wire_type) for wire_type in HANDLES[service]}
        heard = [record for topic in topics for record in self.records[topic]]
        return Books(
            handles=HANDLES[service],
            positions={(record.topic, record.partition): record.offset + 1 for record in heard},
            seen=frozenset(
                record.digest
                for record in heard
                if record.digest is not None and record.event and record.event.type in HANDLES[service]
            ),
            parked=tuple(self.parked[service]),
        )


def a_candidate(agent: str, presence_version: int = 1) -> Candidate:
    """Somebody online, as a decision records them."""
    return candidate(somebody(agent, presence_version))


def somebody(agent: str, presence_version: int = 1) -> Agent:
    """Somebody online with nothing to do."""
    sales = frozenset({"sales"})
    return Agent(
        "acme", agent, capacity=9, departments=sales, state="online", presence_version=presence_version
    )


def a_preference(agent: str, placement: JsonObject) -> JsonObject:
    """What routing records of giving a chat to who had the pair's last one, where they end it just now."""
    found = Assign(somebody("anybody"), placement)
    closing = Closing("c0", agent, NOON)
    why = prefer(found, somebody(agent), closing, Department("acme", "sales"), NOON).why
    return cast(JsonObject, json.loads(json.dumps(why)))


def a_placement(agent: Agent, asks: Mapping[str, Any] | None = None) -> JsonObject:
    """What routing records of placing a chat where there is only this agent; ``asks`` is of its skills."""
    choice = replace(choose([agent]), skills=asks)
    why = place(Department("acme", "sales"), None, choice, ahead=0, now=NOON).why
    return cast(JsonObject, json.loads(json.dumps(why)))


def a_day() -> Past:
    """A past in which everything happens once, and as it should."""
    past = Past()
    past.open_for_business()
    hello = past.write("+27820000001", "m1")
    past.open("c1", hello)
    past.assign("c1", "ann")
    past.answer("c1", "r1")
    past.add("c1", past.write("+27820000001", "m2"))
    past.answer("c1", "r2")
    past.close("c1")
    past.beat("ann", "ben")
    past.open("c2", past.write("+27820000002", "m3"))
    past.divert("c2", "t1")
    past.open("c3", past.write("+27820000003", "m4"))
    past.queue("c3")
    past.assign("c3", "ben")
    past.beat("ann", "ben")
    return past


def judged(past: Past) -> dict[int, Verdict]:
    """Check a past; the verdicts by their invariant."""
    return {verdict.id: verdict for verdict in check(past.history())}


def _pair_key(pair: PairRef) -> str:
    return Pair.of(TENANT, pair.channel, pair.business_address, pair.customer_address).key
