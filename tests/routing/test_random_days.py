"""Random days of a contact centre on the real SQL: whatever happens, in whatever order, the rules hold.

After every step the invariants of docs/rules.md, 10, are asked of the database and of what was said.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ops.stack import Addresses
from services.routing.app import unlike, unlike_its_cause, unlike_refusal
from services.routing.decisions.remembered import Remembered
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatCancelOffer,
    ChatClose,
    ChatCommand,
    ChatDeclineOffer,
    ChatEndWrapUp,
    ChatFlag,
    ChatHandOver,
    ChatMarkPending,
    ChatReply,
    ChatSetDepartment,
    ChatSetPriority,
    ChatTake,
    ChatTransfer,
    ChatUnflag,
    ChatUnmarkPending,
)
from shared.contracts.chats import (
    ChatAlerted,
    ChatAssigned,
    ChatClosed,
    ChatCommandRefused,
    ChatFact,
    ChatFlagged,
    ChatMoved,
    ChatOffered,
    ChatOpened,
    ChatPendingUnmarked,
    ChatQueued,
    ChatRequeued,
    ChatSkillsRelaxed,
    ChatTransferred,
    ChatUnflagged,
)
from shared.contracts.content import Text
from shared.contracts.deliveries import DeliveryFailed
from shared.contracts.directory import RoutingRule, RoutingRulesDocument
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import Hints
from shared.platform.database import Database
from shared.platform.migrations import upgrade
from tests import desk_events as desk
from tests.conftest import create_database, drop_database, unique
from tests.pipeline.builders import SetClock
from tests.routing.contact import Contact
from tests.routing.wrongs import (
    HELD_UNASSIGNED,
    LEFT_BEHIND,
    MISCOUNTED,
    OFFERED_IN_VAIN,
    STUCK,
    UNRELAXED,
    UNSAID,
    UNTIMED,
    WAIT_FOR_NOBODY,
    WRAPPED_UP_BY_NOBODY,
)

pytestmark = pytest.mark.servers

ResultT = TypeVar("ResultT")
AGENTS = ("ann", "bob", "cleo")
DEPARTMENTS = ("sales", "help")
CUSTOMERS = tuple(f"+278200000{n:02}" for n in range(12))
SUPERVISOR = Actor(role="supervisor", id="sue")

agents = st.sampled_from(AGENTS)
departments = st.sampled_from(DEPARTMENTS)
memberships = st.sampled_from([("sales", "help"), ("sales",), ("help", "sales"), ("help",), ()])
customers = st.sampled_from(CUSTOMERS)
nth = st.integers(0, 20)
states = st.sampled_from(["online", "online", "online", "away", "offline"])
seldom = st.sampled_from([False, False, False, True])
skills = st.sampled_from([(), (), ("french",), ("french", "wine")])
capacities = st.sampled_from([1, 1, 2, 3])
minutes = st.sampled_from([0.1, 1, 5, 16, 61, 300])

TABLES = (
    "chats, pairs, agents, members, departments, documents, directories, hand_overs, handed_over,"
    " due, outbox, positions, processed_events"
)


@dataclass(frozen=True)
class Centre:
    """The database that all days share, and its clock."""

    contact: Contact
    clock: SetClock
    runner: asyncio.Runner

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self.runner.run(work)


class Days(RuleBasedStateMachine):
    """One centre; every step is heard by one worker and swept to its end."""

    centre: ClassVar[Centre]

    def __init__(self) -> None:
        super().__init__()
        self._states = dict.fromkeys(AGENTS, "offline")
        self._versions = dict.fromkeys(AGENTS, 0)
        self._capacities = dict.fromkeys(AGENTS, 1)
        self._skills: dict[str, tuple[str, ...]] = dict.fromkeys(AGENTS, ())
        self._asks: dict[str, tuple[str, ...]] = {}
        self._relaxed: set[str] = set()
        self._revision = 1
        self._last = 0
        self._chats: dict[str, ChatFact] = {}
        self._remembered: dict[str, Remembered] = {}
        self._flagged: set[str] = set()
        self._alerted: set[str] = set()
        self._requests: list[tuple[ChatFact, str]] = []

    def _hear(self, *inputs: Model) -> None:
        self.centre.run(self._heard(inputs))

    async def _heard(self, inputs: tuple[Model, ...]) -> None:
        await self.centre.contact.hear(*inputs)
        await self.centre.contact.sweep()
        for number, event in await self.centre.contact.said(self._last):
            self._last = number
            if isinstance(event.data, ChatFact):
                self._judge(event.data)
                assert self._unlike(event) == [], "decided otherwise than by what it recorded"
            if isinstance(event.data, ChatCommandRefused):
                assert list(unlike_refusal(event.data)) == [], "refused otherwise than by what it recorded"

    def _unlike(self, event: Event[ChatFact]) -> list[str]:
        remembered = self._remembered.get(event.data.chat_id, Remembered())
        self._remembered[event.data.chat_id] = remembered.after(event)
        found = [*unlike(event, {}), *remembered.unlike(event)]
        if (cause := self.centre.contact.heard.get(event.causation_id or "")) is not None:
            found += unlike_its_cause(event, cause, remembered.last)
        return found

    def _judge(self, said: ChatFact) -> None:
        before = self._chats.get(said.chat_id)
        assert said.version == (before.version if before else 0) + 1
        self._chats[said.chat_id] = said
        if isinstance(said, ChatFlagged | ChatUnflagged):
            (self._flagged.add if isinstance(said, ChatFlagged) else self._flagged.discard)(said.chat_id)
        if isinstance(said, ChatClosed) and said.reason == "customer_inactive":
            assert said.chat_id not in self._flagged, "a flagged chat was closed by a timer"
        if isinstance(said, ChatAlerted):
            assert said.chat_id not in self._alerted, "alerted twice"
            self._alerted.add(said.chat_id)
        elif (
            isinstance(said, ChatAssigned | ChatTransferred | ChatMoved | ChatPendingUnmarked | ChatUnflagged)
            or said.last_word != "customer"
        ):
            self._alerted.discard(said.chat_id)
        if isinstance(said, ChatPendingUnmarked):
            assert before is not None
            assert said.agent_id == before.agent_id, "woken with somebody else"
        self._judge_skills(said)
        if isinstance(said, ChatAssigned):
            assert said.agent_id is not None
            assert said.agent_load is not None
            had_it = before is not None and before.agent_id == said.agent_id and before.state == "assigned"
            had_it = had_it or said.reason == "accepted"
            assert had_it or said.agent_load <= self._capacities[said.agent_id], "over capacity"
            assert self._states[said.agent_id] == "online", "nobody is there"

        if isinstance(said, ChatOffered):
            assert (said.agent_load or 0) <= self._capacities[said.to], "offered over capacity"
            assert self._states[said.to] == "online", "offered to nobody"
        if isinstance(said, ChatTransferred):
            assert self._states[said.agent_id or ""] == "online", "nobody is there"

    def _judge_skills(self, said: ChatFact) -> None:
        """Who is chosen has the skills, while they are held to; people give and take as they like."""
        if isinstance(said, ChatOpened):
            self._asks[said.chat_id] = said.skills or ()
        elif isinstance(said, ChatSkillsRelaxed):
            self._relaxed.add(said.chat_id)
        elif isinstance(said, ChatQueued | ChatRequeued | ChatMoved):
            self._relaxed.discard(said.chat_id)
        asks = (said.why or {}).get("skills")
        given = said.to if isinstance(said, ChatOffered) else said.agent_id
        if not isinstance(said, ChatAssigned | ChatOffered) or given is None or asks is None:
            return
        assert set(asks["asked"]) == set(self._asks[said.chat_id])
        if asks["held_to"]:
            assert set(self._skills[given]) >= set(asks["asked"]), "lacks a skill"
        else:
            by_hand = getattr(said, "reason", "") in {"by_hand", "agent_silent"}
            by_hand = by_hand or getattr(said, "kind", "") == "transfer"
            assert by_hand or said.chat_id in self._relaxed, "given away too early"

    def _chat(self, n: int) -> ChatFact | None:
        """Choose among the chats that somebody has or waits for, now and then among all."""
        known = list(self._chats.values())
        live = [one for one in known if one.state in {"queued", "assigned", "pending"}]
        among = live if live and n else known
        return among[n % len(among)] if among else None

    @initialize()
    def begin(self) -> None:
        async def empty() -> None:
            async with self.centre.contact.database.transaction() as tx:
                await tx.exec_driver_sql(f"truncate {TABLES}")
            await self.centre.contact.has_heard_everything()

        self.centre.run(empty())
        self.centre.clock.time = desk.NOON
        self._hear(
            desk.a_tenant(),
            desk.a_department(DEPARTMENTS[0], wrap_up_seconds=120),
            desk.a_department(DEPARTMENTS[1]),
            RoutingRulesDocument(
                id="rules", revision=1, rules=(RoutingRule(department="help", keyword="help"),)
            ),
            *(desk.an_agent_document(one, capacity=1, departments=DEPARTMENTS) for one in AGENTS),
        )
        for agent in AGENTS[:2]:
            self.an_agent_comes_or_goes(agent, "online", draining=False)

    @rule(customer=customers, text=st.sampled_from(["hello", "help"]), asks=skills)
    def a_customer_writes(self, customer: str, text: str, asks: tuple[str, ...] = ()) -> None:
        hints = Hints(skills=asks) if asks else None
        self._hear(desk.a_message(text, customer=customer, sent_at=self.centre.clock.time, hints=hints))

    @rule(customer=customers, count=st.integers(2, 5))
    def a_customer_writes_a_burst(self, customer: str, count: int) -> None:
        self._hear(*(desk.a_message(customer=customer, sent_at=self.centre.clock.time) for _ in range(count)))

    @rule(agent=agents, state=states, draining=seldom)
    def an_agent_comes_or_goes(self, agent: str, state: str, *, draining: bool) -> None:
        self._versions[agent] += 1
        self._states[agent] = state
        self._hear(desk.agent_changed(agent, state, self._versions[agent], draining=draining))

    @rule(agent=agents, capacity=capacities, member_of=memberships, can=skills)
    def an_agent_s_document_changes(
        self, agent: str, capacity: int, member_of: tuple[str, ...], can: tuple[str, ...] = ()
    ) -> None:
        self._revision += 1
        self._capacities[agent], self._skills[agent] = capacity, can
        told: dict[str, Any] = {"capacity": capacity, "departments": member_of, "skills": can}
        self._hear(desk.an_agent_document(agent, revision=self._revision, **told))

    @rule(agent=agents, member_of=memberships)
    def an_agent_joins_or_leaves_departments(self, agent: str, member_of: tuple[str, ...]) -> None:
        self.an_agent_s_document_changes(agent, self._capacities[agent], member_of, self._skills[agent])

    @rule(agent=agents, department=departments)
    def one_agent_is_left_alone_with_a_crowd(self, agent: str, department: str) -> None:
        """Everybody else is there, but for the other department: whoever joins has somebody to serve."""
        (other,) = set(DEPARTMENTS) - {department}
        for one in AGENTS:
            if self._states[one] != "online":
                self.an_agent_comes_or_goes(one, "online", draining=False)
            works_for = (department,) if one == agent else (other,)
            self.an_agent_s_document_changes(one, 1 if one == agent else 3, works_for)
        for customer in CUSTOMERS[:3]:
            self.a_customer_writes(customer, "help" if department == "help" else "hello")

    @rule(
        department=departments,
        when_full=st.sampled_from(["queue", "ticket"]),
        mode=st.sampled_from(["push", "offer", "offer"]),
        wrap_up=st.sampled_from([0, 30, 600]),
        patience=st.sampled_from([30, 60, 300, 86_400]),
    )
    def a_department_s_document_changes(
        self, department: str, when_full: str, mode: str, wrap_up: int, patience: int
    ) -> None:
        self._revision += 1
        told: dict[str, Any] = {"when_full": when_full, "mode": mode, "take_allowed": True}
        told |= {"wrap_up_seconds": wrap_up, "relax_skills_seconds": patience}
        self._hear(desk.a_department(department, revision=self._revision, **told))

    @rule(n=nth, agent=st.none() | agents, department=st.none() | departments, stale=st.booleans())
    def a_supervisor_assigns(self, n: int, agent: str | None, department: str | None, *, stale: bool) -> None:
        if (chat := self._chat(n)) is not None:
            expected = chat.assignment_version + 1 if stale else None
            self._hear(
                ChatAssign(
                    by=SUPERVISOR,
                    chat_id=chat.chat_id,
                    agent_id=agent,
                    department_id=department,
                    expected_assignment_version=expected,
                )
            )
            if stale:
                assert self._chats[chat.chat_id].version == chat.version, "a stale command did something"

    @rule(n=nth, other=st.none() | agents)
    def an_agent_answers(self, n: int, other: str | None) -> None:
        if (chat := self._chat(n)) is not None:
            by = Actor(role="agent", id=other or chat.agent_id or "ann")
            request_id, words = unique("request-"), Text(text="here I am")
            self._requests.append((chat, request_id))
            self._hear(ChatReply(by=by, chat_id=chat.chat_id, request_id=request_id, content=words))

    @rule(n=nth)
    def an_answer_does_not_arrive(self, n: int) -> None:
        if self._requests:
            chat, request_id = self._requests[-1 - n % len(self._requests)]
            about: dict[str, Any] = {**dict(chat.pair), "request_id": request_id, "chat_id": chat.chat_id}
            self._hear(DeliveryFailed(**about, purpose="chat", at=self.centre.clock.time))

    @rule(n=nth, by_holder=st.booleans())
    def a_chat_is_closed(self, n: int, *, by_holder: bool) -> None:
        if (chat := self._chat(n)) is not None:
            by = Actor(role="agent", id=chat.agent_id or "ann") if by_holder else SUPERVISOR
            self._hear(ChatClose(by=by, chat_id=chat.chat_id))

    @rule(n=nth, by_agent=st.booleans())
    def somebody_is_done_with_what_a_chat_left_to_do(self, n: int, *, by_agent: bool) -> None:
        query = "select chat_id, previous_agent_id from chats where wrap_up_until is not null"
        if held := sorted(map(tuple, self.centre.run(self.centre.contact.rows(query)))):
            chat_id, agent = held[n % len(held)]
            by = Actor(role="agent", id=agent) if by_agent else SUPERVISOR
            self._hear(ChatEndWrapUp(by=by, chat_id=chat_id))
            assert (chat_id, agent) not in map(tuple, self.centre.run(self.centre.contact.rows(query)))

    @rule(agent=agents, to=st.none() | agents, department=st.none() | departments)
    def everything_of_an_agent_is_handed_over(
        self, agent: str, to: str | None, department: str | None
    ) -> None:
        asked = ChatHandOver(by=SUPERVISOR, agent_id=agent, to_agent_id=to, to_department_id=department)
        self._hear(asked)
        assert self.centre.run(self.centre.contact.rows("select * from hand_overs")) == []

    @rule(n=nth, by_holder=st.booleans(), hours=st.sampled_from([None, 0.5, 3]))
    def a_chat_is_parked(self, n: int, *, by_holder: bool, hours: float | None) -> None:
        if (chat := self._chat(n)) is not None:
            by = Actor(role="agent", id=chat.agent_id or "ann") if by_holder else SUPERVISOR
            until = None if hours is None else self.centre.clock.time + timedelta(hours=hours)
            self._hear(ChatMarkPending(by=by, chat_id=chat.chat_id, reason="internal", until=until))

    @rule(n=nth)
    def a_parked_chat_is_taken_up(self, n: int) -> None:
        if parked := [one for one in self._chats.values() if one.state == "pending"]:
            self._hear(ChatUnmarkPending(by=SUPERVISOR, chat_id=parked[n % len(parked)].chat_id))

    @rule(n=nth, department=departments, what=st.sampled_from(["flag", "unflag", "up", "down", "move"]))
    def a_supervisor_marks_or_moves_a_chat(self, n: int, department: str, what: str) -> None:
        if (chat := self._chat(n)) is not None:
            about: dict[str, Any] = {"by": SUPERVISOR, "chat_id": chat.chat_id}
            commands: dict[str, ChatCommand] = {
                "flag": ChatFlag(**about),
                "unflag": ChatUnflag(**about),
                "up": ChatSetPriority(**about, priority=1),
                "down": ChatSetPriority(**about, priority=-1),
                "move": ChatSetDepartment(**about, department_id=department),
            }
            self._hear(commands[what])

    @rule(n=nth, agent=st.none() | agents, department=st.none() | departments)
    def an_agent_offers_a_chat(self, n: int, agent: str | None, department: str | None) -> None:
        if (chat := self._chat(n)) is not None:
            by = Actor(role="agent", id=chat.agent_id or "ann")
            self._hear(ChatTransfer(by=by, chat_id=chat.chat_id, agent_id=agent, department_id=department))

    @rule(n=nth, agent=agents, what=st.sampled_from([ChatAcceptOffer, ChatDeclineOffer, ChatCancelOffer]))
    def an_offer_is_answered(self, n: int, agent: str, what: type[ChatCommand]) -> None:
        offered = self.centre.run(
            self.centre.contact.rows("select chat_id, offered_to from chats where offer is not null")
        )
        if offered:
            chat_id, to = sorted(map(tuple, offered))[n % len(offered)]
            self._hear(what(by=Actor(role="agent", id=to if n % 3 else agent), chat_id=chat_id))

    @rule(n=nth, agent=agents)
    def an_agent_takes_a_chat_that_waits(self, n: int, agent: str) -> None:
        if waiting := [one for one in self._chats.values() if one.state == "queued"]:
            chat_id = waiting[n % len(waiting)].chat_id
            self._hear(ChatTake(by=Actor(role="agent", id=agent), chat_id=chat_id))

    @rule(n=nth)
    def everybody_accepts_what_they_are_offered(self, n: int) -> None:
        offered = self.centre.run(
            self.centre.contact.rows("select chat_id, offered_to from chats where offer is not null")
        )
        for chat_id, to in sorted(map(tuple, offered))[: n + 1]:
            self._hear(ChatAcceptOffer(by=Actor(role="agent", id=to), chat_id=chat_id))

    @rule(minutes=minutes)
    def time_passes(self, minutes: float) -> None:
        self.centre.clock.time += timedelta(minutes=minutes)
        self._hear()

    @invariant()
    def loads_are_what_is_held(self) -> None:
        assert self.centre.run(self.centre.contact.rows(MISCOUNTED)) == []

    @invariant()
    def who_is_not_assigned_has_no_agent(self) -> None:
        assert self.centre.run(self.centre.contact.rows(HELD_UNASSIGNED)) == []

    @invariant()
    def nobody_waits_beside_somebody_free(self) -> None:
        assert self.centre.run(self.centre.contact.rows(STUCK)) == []

    @invariant()
    def nobody_waits_where_nobody_works(self) -> None:
        assert self.centre.run(self.centre.contact.rows(WAIT_FOR_NOBODY)) == []

    @invariant()
    def nobody_is_left_with_an_agent_who_is_gone(self) -> None:
        assert self.centre.run(self.centre.contact.rows(LEFT_BEHIND)) == []

    @invariant()
    def no_parked_chat_outlives_its_time(self) -> None:
        now = self.centre.clock.time.isoformat()
        late = f"select chat_id from chats where state = 'pending' and pending_until <= '{now}'"
        assert self.centre.run(self.centre.contact.rows(late)) == []

    @invariant()
    def whoever_owes_an_answer_is_timed_until_supervisors_know(self) -> None:
        owing = self.centre.run(self.centre.contact.rows(UNTIMED))
        assert {chat_id for (chat_id,) in owing} <= self._alerted

    @invariant()
    def no_offer_outlives_its_time_its_chat_or_its_receiver(self) -> None:
        assert self.centre.run(self.centre.contact.rows(OFFERED_IN_VAIN)) == []
        now = self.centre.clock.time.isoformat()
        late = (
            f"select 1 from chats where cast(cast(offer as jsonb) ->> 'expires_at' as timestamptz) <= '{now}'"
        )
        assert self.centre.run(self.centre.contact.rows(late)) == []

    @invariant()
    def no_wrap_up_outlives_its_time_or_is_forgotten(self) -> None:
        assert self.centre.run(self.centre.contact.rows(WRAPPED_UP_BY_NOBODY)) == []
        now = self.centre.clock.time.isoformat()
        late = f"select chat_id from chats where wrap_up_until <= '{now}'"
        assert self.centre.run(self.centre.contact.rows(late)) == []
        # The pair's row tells of it as long as the chat does, for its next chat to find it.
        unknown = """
            select p.pair_key from pairs p left join chats c on c.pair_key = p.pair_key
                and c.chat_id = p.last_chat_id
            where p.last_closed_at is not null and p.wrapping_up <> (c.wrap_up_until is not null)
        """
        assert self.centre.run(self.centre.contact.rows(unknown)) == []

    @invariant()
    def who_waits_for_skills_is_timed(self) -> None:
        assert self.centre.run(self.centre.contact.rows(UNRELAXED)) == []

    @invariant()
    def our_last_word_is_one_that_may_have_arrived(self) -> None:
        assert self.centre.run(self.centre.contact.rows(UNSAID)) == []

    @invariant()
    def nothing_was_put_aside(self) -> None:
        assert self.centre.run(self.centre.contact.rows("select * from parked_records")) == []
        assert self.centre.run(self.centre.contact.rows("select kind, key from due where attempts > 0")) == []


def run_days(servers: Addresses, *, days: int, steps: int) -> None:
    name = unique("days_")
    with asyncio.Runner() as runner:
        url = runner.run(create_database(servers, name))
        try:
            runner.run(asyncio.to_thread(upgrade, "routing", url))
            database = Database(url, "routing", connections=2)
            clock = SetClock()
            Days.centre = Centre(Contact(database, workers=1, clock=clock), clock, runner)
            run_state_machine_as_test(
                Days,
                settings=settings(
                    max_examples=days,
                    stateful_step_count=steps,
                    deadline=None,
                    print_blob=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
            runner.run(database.close())
        finally:
            runner.run(drop_database(servers, name))


def test_the_rules_hold_on_random_days(servers: Addresses) -> None:
    run_days(servers, days=30, steps=50)


@pytest.mark.long
def test_the_rules_hold_on_many_random_days(servers: Addresses) -> None:
    run_days(servers, days=60, steps=50)
