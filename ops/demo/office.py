"""Everybody who is neither customer nor agent: supervisor, ticket desk, another system, mischief."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from random import Random  # noqa: TID251 - the demo plays people; the services draw no lots
from typing import Any

from ops.demo.centre import (
    AGENTS,
    BILLING,
    FIRST_LINE,
    ON_THE_FLOOR,
    PAUSED_TEMPLATE,
    SALES,
    SUPERVISOR,
    SUPPORT,
    TEMPLATE,
)
from ops.demo.driver import DESK, GATEWAY, OTHER_SYSTEM, Driver
from ops.demo.scene import Scene
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentHeartbeat
from shared.contracts.chat_commands import ChatAssign, ChatClose, ChatReply
from shared.contracts.content import Template, Text
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.ticket_commands import TicketAssign, TicketClose
from shared.platform.clock import Clock

_SUPERVISOR = Actor(role="supervisor", id=SUPERVISOR)
_CRM = Actor(role="system", id="crm")


class Office:
    """Acts at random, a little every second, by what the topics told so far."""

    def __init__(self, seed: int, driver: Driver, scene: Scene, clock: Clock) -> None:
        self._dice = Random(f"office/{seed}")  # noqa: S311 - reproducible on purpose
        self._driver = driver
        self._scene = scene
        self._clock = clock
        self._asked = 0

    async def run(self, customers: Iterable[str]) -> None:
        """Act until cancelled."""
        pool = list(customers)
        acts: list[Callable[[], None]] = [
            self._assign_to_an_agent,
            self._assign_to_a_department,
            self._write_as_supervisor,
            self._assign_ticket,
            self._close_ticket,
            lambda: self._send_template(self._dice.choice(pool)),
        ]
        weights = (4, 1, 1, 4, 3, 3)
        while True:
            await asyncio.sleep(self._dice.uniform(0.1, 0.4))
            self._dice.choices(acts, weights)[0]()

    def _assign_to_an_agent(self) -> None:
        """Give somebody's chat, or a waiting one, to anybody: who is full or gone is refused."""
        chat = self._any([one for one in self._scene.chats.values() if one.state in {"queued", "assigned"}])
        if chat is not None:
            agent = self._dice.choice(AGENTS if self._dice.random() < 0.3 else ON_THE_FLOOR)  # noqa: PLR2004
            command = ChatAssign(by=_SUPERVISOR, chat_id=chat.chat_id, pair=chat.pair, agent_id=agent)
            self._driver.say(command, DESK)

    def _assign_to_a_department(self) -> None:
        chat = self._any([one for one in self._scene.chats.values() if one.state == "queued"])
        if chat is not None:
            department = self._dice.choice((SALES, SUPPORT, BILLING))
            self._driver.say(
                ChatAssign(by=_SUPERVISOR, chat_id=chat.chat_id, pair=chat.pair, department_id=department),
                DESK,
            )

    def _write_as_supervisor(self) -> None:
        """A supervisor never writes to a customer: refused."""
        chat = self._any([one for one in self._scene.chats.values() if one.state == "assigned"])
        if chat is not None:
            self._asked += 1
            command = ChatReply(
                by=_SUPERVISOR,
                chat_id=chat.chat_id,
                pair=chat.pair,
                request_id=f"{SUPERVISOR}-{self._asked}",
                content=Text(text="let me answer this one"),
            )
            self._driver.say(command, DESK)

    def _assign_ticket(self) -> None:
        ticket = self._any(list(self._scene.tickets.values()))
        if ticket is not None:
            agent = "nobody" if self._dice.random() < 0.1 else self._dice.choice(AGENTS)  # noqa: PLR2004
            command = TicketAssign(by=_SUPERVISOR, ticket_id=ticket.ticket_id, agent_id=agent)
            self._driver.say(command, DESK)

    def _close_ticket(self) -> None:
        """Whoever has a ticket closes it; now and then somebody who has not tries to."""
        ticket = self._any([one for one in self._scene.tickets.values() if one.state == "assigned"])
        if ticket is not None:
            agent = "nobody" if self._dice.random() < 0.1 else ticket.agent_id  # noqa: PLR2004
            by = Actor(role="agent", id=agent)
            self._driver.say(TicketClose(by=by, ticket_id=ticket.ticket_id, note="settled by phone"), DESK)

    def _send_template(self, customer: str) -> None:
        """Another system sends of its own accord; some of its requests come twice, one way or another."""
        self._asked += 1
        name = PAUSED_TEMPLATE if self._dice.random() < 0.2 else TEMPLATE  # noqa: PLR2004
        send = MessageSend(
            request_id=f"crm-{self._asked}",
            channel="whatsapp",
            business_address=FIRST_LINE,
            customer_address=customer,
            by=_CRM,
            requested_at=self._clock.now(),
            content=Template(name=name, language="en"),
            purpose="outreach",
        )
        event = self._driver.say(send, OTHER_SYSTEM)
        draw = self._dice.random()
        if draw < 0.1:  # noqa: PLR2004
            self._driver.repeat(event, OTHER_SYSTEM)
        elif draw < 0.15:  # noqa: PLR2004
            other = send.model_copy(update={"content": Template(name="another", language="en")})
            self._driver.say(other, OTHER_SYSTEM)

    def make_mischief(self, customer: str) -> None:
        """Publish what no system should: it ends as dead letters or a refusal, and holds up nobody else."""
        now = self._clock.now()
        message = MessageReceived(
            channel="whatsapp",
            business_address=FIRST_LINE,
            customer_address=customer,
            provider="whatsapp_cloud",
            provider_message_id="wamid.broken",
            sent_at=now,
            received_at=now,
            content=Text(text="x"),
        )
        whole = self._driver.encoded(message, GATEWAY)
        for broken in (
            b"{ this is no JSON",
            whole.replace(b'"content"', b'"contents"'),
            whole.replace(b'"whatsapp"', b'"pigeon"'),
            whole.replace(b"message.received.v1", b"message.sung.v1"),
            whole.replace(b'+00:00"', b'"').replace(b'Z"', b'"'),
        ):
            self._driver.garble("inbound-messages.v1", customer, broken, GATEWAY)
        self._driver.garble(
            "outbound-messages.v1",
            customer,
            self._driver.encoded(_a_send(customer, now), OTHER_SYSTEM).replace(b'"request_id"', b'"rid"'),
            OTHER_SYSTEM,
        )
        self._driver.say(AgentHeartbeat(agent_id="nobody", session_id="nobody-1"), DESK)
        self._driver.say(ChatClose(by=_SUPERVISOR, chat_id="no-such-chat"), DESK)

    def _any(self, candidates: list[Any]) -> Any:
        return self._dice.choice(candidates) if candidates else None


def _a_send(customer: str, now: datetime) -> MessageSend:
    return MessageSend(
        request_id="crm-broken",
        channel="whatsapp",
        business_address=FIRST_LINE,
        customer_address=customer,
        requested_at=now,
        content=Text(text="x"),
        purpose="outreach",
    )
