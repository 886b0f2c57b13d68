"""A small office on the real store: two departments, Ann who works for both, customers who are numbers."""

from datetime import timedelta
from typing import Any

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatReply
from shared.contracts.chats import ChatFact
from shared.contracts.content import Text
from shared.contracts.directory import RoutingRule, RoutingRulesDocument
from shared.contracts.event import Model
from shared.contracts.inbound_messages import Hints
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import unique
from tests.pipeline.builders import SetClock
from tests.routing.contact import Contact
from tests.routing.wrongs import (
    HELD_UNASSIGNED,
    LEFT_BEHIND,
    MISCOUNTED,
    OFFERED_IN_VAIN,
    STUCK,
    UNRELAXED,
    WAIT_FOR_NOBODY,
)


class Office:
    """Sales, with Ann (5 chats); care for who writes `care`. Customers are numbers; time goes by as said."""

    def __init__(self, database: Database) -> None:
        self.clock = SetClock()
        self.contact = Contact(database, workers=3, clock=self.clock)
        self._versions: dict[str, int] = {}

    async def open(self) -> None:
        rule = RoutingRule(department="care", keyword="care")
        await self.contact.hear(
            desk.a_tenant(),
            desk.a_department("sales"),
            desk.a_department("care"),
            RoutingRulesDocument(id="rules", revision=1, rules=(rule,)),
        )
        await self.contact.has_heard_everything()
        await self.agent("ann", capacity=5, departments=("sales", "care"))

    async def agent(self, name: str, state: str = "online", **document: Any) -> None:
        await self.contact.hear(desk.an_agent_document(name, **document))
        await self.is_now(name, state)

    async def is_now(self, agent: str, *states: str, swept: bool = True, draining: bool = False) -> None:
        """Let presence say these states, one after the other, before anybody sweeps."""
        for state in states:
            self._versions[agent] = self._versions.get(agent, 0) + 1
            await self.contact.hear(
                desk.agent_changed(agent, state, self._versions[agent], draining=draining)
            )
        if swept:
            await self.contact.sweep()

    async def writes(self, *customers: int, words: str = "hello", **hinted: Any) -> None:
        hints = Hints(**hinted) if hinted else None
        for customer in customers:
            self.clock.time += timedelta(seconds=1)
            message = desk.a_message(
                words, customer=f"+278200000{customer:02}", sent_at=self.clock.time, hints=hints
            )
            await self.contact.hear(message)
        await self.contact.sweep()

    async def chat_id(self, customer: int) -> str:
        rows = await self.contact.rows(
            f"select chat_id from chats where customer_address like '%{customer:02}'"
        )
        return str(rows[0][0])

    async def answers(self, agent: str, customer: int) -> None:
        command = ChatReply(
            by=Actor(role="agent", id=agent),
            chat_id=await self.chat_id(customer),
            request_id=unique("r-"),
            content=Text(text="here I am"),
        )
        await self.contact.hear(command)

    async def hears(self, *inputs: Model) -> None:
        await self.contact.hear(*inputs)
        await self.contact.sweep()

    async def goes_by(self, **duration: float) -> None:
        self.clock.time += timedelta(**duration)
        await self.contact.sweep()

    async def chats(self) -> dict[int, tuple[str, str | None]]:
        """Return each customer's chat: its state and who holds it."""
        rows = await self.contact.rows("select customer_address, state, agent_id from chats")
        return {int(row[0][-2:]): (row[1], row[2]) for row in rows}

    async def queue(self, department: str = "sales") -> list[int]:
        rows = await self.contact.rows(
            f"select customer_address from chats where state = 'queued' and department_id = '{department}'"
            " order by priority desc, waiting_since, chat_id"
        )
        return [int(row[0][-2:]) for row in rows]

    async def said(self, kind: type[ChatFact]) -> list[Any]:
        return [event.data for _, event in await self.contact.said() if isinstance(event.data, kind)]

    async def has_nothing_wrong(self) -> None:
        for query in (
            *(MISCOUNTED, STUCK, LEFT_BEHIND, WAIT_FOR_NOBODY),
            *(HELD_UNASSIGNED, OFFERED_IN_VAIN, UNRELAXED),
        ):
            assert await self.contact.rows(query) == []
        assert await self.contact.rows("select * from parked_records") == []
        versions: dict[str, int] = {}
        for said in await self.said(ChatFact):
            assert said.version == versions.get(said.chat_id, 0) + 1
            versions[said.chat_id] = said.version
