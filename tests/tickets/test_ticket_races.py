"""Agents close tickets while messages arrive and routing assigns: nobody's message is lost.

Routing stands here as the few rules that concern tickets (docs/rules.md, 3 and 6); the two topics
between it and tickets are queues that deliver at any moment, in order.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from services.tickets.decisions.folding import fold
from services.tickets.model import Facts, Ticket, TicketKey
from shared.contracts.chats import ChatFact
from shared.contracts.event import Model
from shared.contracts.tickets import TicketClosed
from tests.tickets.builders import (
    NOON,
    SUPERVISOR,
    an_agent,
    an_event,
    assigned,
    at,
    chat_closed,
    diverted,
    finish,
    give,
    message_added,
    queued,
)

Step = Literal["message", "somebody online", "all full", "wait ran out", "agent closes chat"]


@dataclass(frozen=True)
class Chat:
    id: str
    version: int
    state: str
    ticket: str | None = None
    messages: tuple[int, ...] = ()
    closed_with_ticket_at: int | None = None


@dataclass
class Routing:
    """Routing's word about one pair."""

    chats: list[Chat] = field(default_factory=list)
    tickets: int = 0
    said: deque[ChatFact] = field(default_factory=deque)

    @property
    def open_chat(self) -> Chat | None:
        return self.chats[-1] if self.chats and self.chats[-1].state != "closed" else None

    def step(self, step: Step) -> None:
        chat = self.open_chat
        match step, chat.state if chat else "none":
            case "message", "none":
                self.chats.append(Chat(f"c{len(self.chats)}", 1, "diverted", messages=(1,)))
                self.divert(self.new_ticket())
            case "message", state:
                version = self.chats[-1].version + 1
                self.change(messages=(*self.chats[-1].messages, version))
                self.say(message_added, state=state)
            case "somebody online", "diverted" | "queued":
                self.change(state="assigned")
                self.say(assigned)
                self.change_quietly(ticket=None)
            case "all full", "diverted":
                self.change(state="queued")
                self.say(queued)
            case "wait ran out", "queued":
                self.divert(self.chats[-1].ticket or self.new_ticket())
            case "agent closes chat", "assigned":
                self.change(state="closed")
                self.say(chat_closed)
            case _:
                pass

    def hear(self, closed: TicketClosed) -> None:
        chat = self.open_chat
        if chat is None or chat.ticket != closed.ticket_id:
            return
        if chat.state == "diverted" and chat.version == closed.chat_version:
            self.change(state="closed", closed_with_ticket_at=closed.chat_version)
            self.say(chat_closed)
        elif chat.state == "diverted":
            self.divert(self.new_ticket())
        else:
            self.change_quietly(ticket=None)

    def new_ticket(self) -> str:
        self.tickets += 1
        return f"t{self.tickets}"

    def divert(self, ticket: str) -> None:
        self.change(state="diverted", ticket=ticket)
        self.say(diverted)

    def change(self, **changes: object) -> None:
        self.change_quietly(version=self.chats[-1].version + 1, **changes)

    def change_quietly(self, **changes: object) -> None:
        self.chats[-1] = replace(self.chats[-1], **changes)  # type: ignore[arg-type]  # a test's own fields

    def say(self, fact: object, **more: object) -> None:
        chat = self.chats[-1]
        self.said.append(fact(chat.id, version=chat.version, ticket=chat.ticket, **more))  # type: ignore[operator]  # a builder


@dataclass
class Tickets:
    """The real fold over a store that is two dictionaries."""

    facts: Facts = field(default_factory=lambda: Facts({}, {}))
    said: deque[Model] = field(default_factory=deque)

    def take(self, data: Model) -> None:
        folded = fold(self.facts, [an_event(data, time=NOON)], at(1))
        self.facts = Facts(
            {**self.facts.tickets, **folded.tickets}, {**self.facts.documents, **folded.documents}
        )
        self.said += [event.data for event in folded.outgoing]

    @property
    def open_tickets(self) -> dict[TicketKey, Ticket]:
        return {key: ticket for key, ticket in self.facts.tickets.items() if ticket.is_open}


@dataclass
class World:
    routing: Routing = field(default_factory=Routing)
    tickets: Tickets = field(default_factory=Tickets)

    def deliver_chats(self) -> None:
        if self.routing.said:
            self.tickets.take(self.routing.said.popleft())

    def deliver_tickets(self) -> None:
        if self.tickets.said:
            heard = self.tickets.said.popleft()
            if isinstance(heard, TicketClosed):
                self.routing.hear(heard)

    def settle(self) -> None:
        while self.routing.said or self.tickets.said:
            self.deliver_chats()
            self.deliver_tickets()

    def act(self, act: str, ticket: int) -> None:
        match act:
            case "deliver chats":
                self.deliver_chats()
            case "deliver tickets":
                self.deliver_tickets()
            case "close":
                self.tickets.take(finish(f"t{ticket}", by=SUPERVISOR))
            case "assign":
                self.tickets.take(give(f"t{ticket}", to="ada"))
            case "message" | "somebody online" | "all full" | "wait ran out" | "agent closes chat" as step:
                self.routing.step(step)
            case _:
                raise AssertionError(act)


_ACTS = st.tuples(
    st.sampled_from(
        [
            "message",
            "message",
            "somebody online",
            "all full",
            "wait ran out",
            "agent closes chat",
            "close",
            "close",
            "assign",
            "deliver chats",
            "deliver chats",
            "deliver tickets",
        ]
    ),
    st.integers(min_value=1, max_value=3),
)


@given(st.lists(_ACTS, max_size=40))
def test_whatever_crosses_on_the_way_no_chat_is_diverted_without_its_open_ticket(
    acts: list[tuple[str, int]],
) -> None:
    world = World()
    world.tickets.take(an_agent("ada"))
    for act, ticket in acts:
        world.act(act, ticket)
    world.settle()

    chat = world.routing.open_chat
    waiting = chat is not None and chat.state in ("diverted", "queued") and chat.ticket is not None
    expected = {chat.ticket} if chat is not None and waiting else set()
    assert {key.ticket_id for key in world.tickets.open_tickets} == expected
    for ended in world.routing.chats:
        if ended.closed_with_ticket_at is not None:
            assert all(version <= ended.closed_with_ticket_at for version in ended.messages)


@given(st.lists(_ACTS, max_size=40))
def test_a_ticket_closed_while_nothing_is_on_the_way_closes_its_chat(acts: list[tuple[str, int]]) -> None:
    world = World()
    for act, ticket in acts:
        world.act(act, ticket)
    world.settle()
    chat = world.routing.open_chat
    if chat is None or chat.state != "diverted":
        return

    world.tickets.take(finish(str(chat.ticket)))
    world.settle()

    assert world.routing.open_chat is None
    assert not world.tickets.open_tickets


def test_a_message_that_crosses_the_close_opens_the_next_ticket_over_the_same_chat() -> None:
    world = World()
    world.routing.step("message")
    world.settle()
    world.routing.step("message")

    world.tickets.take(finish("t1"))
    world.settle()

    (chat,) = world.routing.chats
    assert (chat.state, chat.ticket) == ("diverted", "t2")
    (ticket,) = world.tickets.open_tickets.values()
    assert (ticket.key.ticket_id, ticket.chat_id) == ("t2", chat.id)


def test_a_chat_assigned_while_its_ticket_is_closed_goes_on_with_its_agent() -> None:
    world = World()
    world.routing.step("message")
    world.settle()
    world.routing.step("somebody online")

    world.tickets.take(finish("t1"))
    world.settle()

    assert world.routing.chats[-1].state == "assigned"
    assert not world.tickets.open_tickets
