"""A tenant's file is applied again and again, and routing goes by it: command, desk, Kafka, routing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
import pytest

from ops.topics import read
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatClose
from shared.contracts.chats import ChatFact
from shared.contracts.event import Event, Model
from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.directory.shell import Shell
from tests.pipeline.waiting import until_holds
from tests.topics import publish, until_events

pytestmark = pytest.mark.servers

FILE = f"""\
tenant: {{id: acme, name: Acme, first_line_department: service}}
departments:
  - {{id: service, name: Service}}
  - {{id: sales, name: Sales}}
  - {{id: returns, name: Returns}}
agents:
  - {{id: ada, name: Ada, departments: [service], capacity: 3}}
  - {{id: bob, name: Bob, departments: [sales], capacity: 1}}
  - {{id: cy, name: Cy, departments: [returns], capacity: 1}}
channels:
  - {{id: main, channel: whatsapp, provider: test, business_address: "{desk.BUSINESS}", secret_ref: TOKEN}}
routing_rules:
  - {{keyword: return, department: returns}}
"""
_BEHIND = (
    "select count(*) from desk.documents d where kind in ('agent', 'department')"
    " and not exists (select from routing.agents a where a.agent_id = d.id and a.revision = d.revision)"
    " and not exists (select from routing.documents r where r.id = d.id and r.revision = d.revision)"
)
"""How many documents routing has not read yet as they stand."""
HELD = ["opened", "message_added", "assigned"]
"""All that happened to a chat that was given to somebody at once and left alone."""
Stands: TypeAlias = tuple[str, str | None, str | None]
"""A chat's state, department and agent."""
CLOSED: Stands = ("closed", "service", None)


@dataclass
class Day:
    """A day on an installation whose desk and routing run. Each customer has one chat."""

    installation: Installation
    shell: Shell
    text: str = FILE
    chats: dict[str, ChatFact] = field(default_factory=dict)
    """Each customer's chat as it stands."""
    told: dict[str, list[str]] = field(default_factory=dict)
    """What happened to each customer's chat."""

    async def apply(self, old: str, new: str) -> None:
        """Change the file, apply it, and wait until routing has every document of it."""
        assert old in self.text
        self.text = self.text.replace(old, new)
        answer = await self.shell.apply(self.shell.file(self.text))
        assert answer.code == 0, answer
        connection = await asyncpg.connect(self.installation.settings.database_url)
        try:
            await until_holds(lambda: connection.fetchval(_BEHIND), lambda behind: behind == 0)
        finally:
            await connection.close()

    async def say(self, *said: Model) -> None:
        await publish(self.installation.settings, [desk.an_event(one) for one in said])

    async def write(self, customer: str, words: str = "hello") -> None:
        await self.say(desk.a_message(words, customer=customer))

    async def close(self, customer: str) -> None:
        chat = self.chats[customer]
        await self.say(ChatClose(by=Actor(role="agent", id=chat.agent_id or ""), chat_id=chat.chat_id))

    async def until_stands(self, expected: Mapping[str, Stands]) -> None:
        """Wait until every customer's chat stands so, and remember what happened to each."""

        def stand(events: Sequence[Event[Any]]) -> bool:
            self.chats, self.told = {}, {}
            for event in events:
                if isinstance(event.data, ChatFact):
                    customer = event.data.pair.customer_address
                    self.chats[customer] = event.data
                    self.told.setdefault(customer, []).append(event.type.split(".")[2])
            return {
                customer: (chat.state, chat.department_id, chat.agent_id)
                for customer, chat in self.chats.items()
            } == expected

        await until_events(self.installation.settings, "chats.v1", stand)


@pytest.fixture
async def day(installation: Installation, processes: Processes, shell: Shell) -> Day:
    processes.start("desk").until_ready()
    processes.start("routing").until_ready()
    started = Day(installation, shell)
    await started.apply("", "")
    await started.say(*(desk.agent_changed(name) for name in ("ada", "bob", "cy")))
    return started


async def test_what_is_applied_changes_what_routing_does_and_cuts_nothing(day: Day) -> None:
    await _a_lowered_capacity_stops_new_chats_and_cuts_nothing(day)
    await _a_raised_capacity_drains_the_queue(day)
    await _who_leaves_a_department_keeps_their_chats(day)
    await _a_retired_department_hands_on_what_waits_and_leaves_what_is_held(day)
    await _a_removed_department_is_off_its_topic_and_what_is_held_stays(day)
    await _a_late_record_of_it_revives_nothing(day)
    await _whoever_makes_it_anew_has_it_at_once(day)


async def test_skills_that_are_asked_for_and_learned_count_at_once(day: Day) -> None:
    rule = "  - {keyword: hola, department: sales, skills: [Spanish]}\n"
    await day.apply("routing_rules:\n", f"routing_rules:\n{rule}")
    await day.write("+281", "hola")
    await day.until_stands({"+281": ("queued", "sales", None)})

    await day.apply("name: Bob,", "name: Bob, skills: [spanish, french],")

    await day.until_stands({"+281": ("assigned", "sales", "bob")})


async def _a_lowered_capacity_stops_new_chats_and_cuts_nothing(day: Day) -> None:
    for customer in ("+271", "+272", "+273"):
        await day.write(customer)
    held: dict[str, Stands] = dict.fromkeys(("+271", "+272", "+273"), ("assigned", "service", "ada"))
    await day.until_stands(held)

    await day.apply("departments: [service], capacity: 3", "departments: [service], capacity: 2")
    await day.write("+274")

    await day.until_stands(held | {"+274": ("queued", "service", None)})
    assert [day.told[customer] for customer in held] == [HELD] * 3
    await day.close("+271")  # which leaves two, and two is all she may hold now
    await day.until_stands(held | {"+271": CLOSED, "+274": ("queued", "service", None)})
    await day.close("+272")
    await day.until_stands(
        held
        | {
            "+271": CLOSED,
            "+272": CLOSED,
            "+274": ("assigned", "service", "ada"),
        }
    )
    assert day.chats["+274"].agent_load == 2


async def _a_raised_capacity_drains_the_queue(day: Day) -> None:
    stood = _standing(day)
    await day.write("+275")
    await day.write("+276")
    waiting: dict[str, Stands] = dict.fromkeys(("+275", "+276"), ("queued", "service", None))
    await day.until_stands(stood | waiting)

    await day.apply("departments: [service], capacity: 2", "departments: [service], capacity: 4")

    await day.until_stands(stood | dict.fromkeys(waiting, ("assigned", "service", "ada")))


async def _who_leaves_a_department_keeps_their_chats(day: Day) -> None:
    stood = _standing(day)

    await day.apply("departments: [service], capacity: 4", "departments: [sales], capacity: 5")
    await day.write("+273", "are you there?")
    await day.write("+277")

    await day.until_stands(stood | {"+277": ("diverted", "service", None)})
    assert day.told["+273"] == [*HELD, "message_added"]


async def _a_retired_department_hands_on_what_waits_and_leaves_what_is_held(day: Day) -> None:
    stood = _standing(day)
    await day.write("+278", "return this")
    await day.until_stands(stood | {"+278": ("assigned", "returns", "cy")})
    await day.write("+279", "return that")
    await day.until_stands(
        stood | {"+278": ("assigned", "returns", "cy"), "+279": ("queued", "returns", None)}
    )

    await day.apply("name: Returns}", "name: Returns, retired: true, move_to: sales}")

    moved: dict[str, Stands] = {
        "+278": ("assigned", "returns", "cy"),
        "+279": ("assigned", "sales", "bob"),
    }
    await day.until_stands(stood | moved)
    assert day.told["+278"] == HELD
    assert day.told["+279"] == ["opened", "message_added", "queued", "moved", "assigned"]
    await day.write("+280", "return the other")
    await day.until_stands(stood | moved | {"+280": ("assigned", "sales", "ada")})


RETIRED = "  - {id: returns, name: Returns, retired: true, move_to: sales}\n"
_REMOVE = ("remove", "acme", "department", "returns")


async def _a_removed_department_is_off_its_topic_and_what_is_held_stays(day: Day) -> None:
    stood = _standing(day)
    refused = await day.shell.run(*_REMOVE)
    assert (refused.code, refused.out) == (1, [])
    assert [line.partition(" (")[0] for line in refused.err[:2]] == [
        "department returns of acme is still named by agent cy",
        "department returns of acme is still named by routing_rules default",
    ]
    assert "has to stay 30 days" in refused.err[2]
    assert refused.err[3:] == ["nothing was removed"]
    await day.apply("departments: [returns], capacity: 1", "departments: [sales], capacity: 1")
    await day.apply("keyword: return, department: returns", "keyword: return, department: sales")
    await _as_if_a_month_had_passed(day)

    removed = await day.shell.run(*_REMOVE)

    assert removed.code == 0, removed
    assert removed.out == ["department returns of acme is removed", "published by the running desk service"]
    assert await _ends(day) == 1
    assert (await day.shell.run(*_REMOVE)).out == ["department returns of acme was removed before"]
    await day.write("+278", "and another thing")
    await until_events(day.installation.settings, "chats.v1", lambda found: _messages_of("+278", found) == 2)
    await day.until_stands(stood)
    day.text = day.text.replace(RETIRED, "")
    await day.apply("", "")
    assert (await day.shell.run("plan", str(day.shell.file(day.text)))).code == 0


async def _a_late_record_of_it_revives_nothing(day: Day) -> None:
    """As from a producer that was stopped for long: the topic would keep it as the last of its key."""
    stood = _standing(day)
    await day.say(desk.a_department("returns", revision=1))

    await until_holds(lambda: _ends(day), lambda ends: ends == 2)
    await day.write("+281", "return it")
    await day.until_stands(stood | {"+281": ("queued", "sales", None)})


async def _whoever_makes_it_anew_has_it_at_once(day: Day) -> None:
    stood = _standing(day)
    await day.apply("agents:\n", "  - {id: returns, name: Returns, fallback: sales}\nagents:\n")
    await day.apply("keyword: return, department: sales", "keyword: return, department: returns")
    await day.apply("departments: [sales], capacity: 1", "departments: [returns], capacity: 2")

    await day.write("+282", "return this too")

    await day.until_stands(stood | {"+282": ("assigned", "returns", "cy")})


async def _as_if_a_month_had_passed(day: Day) -> None:
    connection = await asyncpg.connect(day.installation.settings.database_url)
    try:
        await connection.execute(
            "update desk.documents set retired_at = retired_at - interval '31 days' where id = 'returns'"
        )
    finally:
        await connection.close()


async def _ends(day: Day) -> int:
    settings = day.installation.settings
    topic = read(settings.kafka, settings.topic_prefix + "directory.v1")
    records = [(record.key, record.value) async for record in topic]
    return records.count((b"acme:department:returns", None))


def _messages_of(customer: str, events: Sequence[Event[Any]]) -> int:
    added = (event.data for event in events if event.type == "chatdesk.chat.message_added.v1")
    return sum(one.pair.customer_address == customer for one in added)


def _standing(day: Day) -> dict[str, Stands]:
    return {customer: (one.state, one.department_id, one.agent_id) for customer, one in day.chats.items()}
