"""The working copy of a batch: what it found, what it changed, and what it has to say.

A fold over a batch starts with one `Floor` and ends with its changes; nothing else sees it. Each verb
changes a chat in one way and says so on ``chats.v1``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from services.routing.decisions.choice import NO_OTHERS, NO_SKILLS, Ranking, ShortlistEndsError
from services.routing.decisions.placement import CONTINUES_WITHIN
from services.routing.decisions.slots import held_until
from services.routing.model import (
    NOTHING_KNOWN,
    PARTED,
    Agent,
    Calendar,
    Changes,
    Chat,
    Closing,
    Department,
    Documents,
    Facts,
    HandOver,
    Key,
    Offer,
    State,
    due_name,
)
from shared.contracts import chats
from shared.contracts.actors import Actor
from shared.contracts.catalogue import fact
from shared.contracts.event import Cause, Event, Model, derived_id
from shared.contracts.fields import Channel
from shared.contracts.pairs import PairRef
from shared.platform.outcome import Due, Outcome, Received, Rejection

SOURCE = "routing"
SERVE_QUEUE = "serve_queue"
SERVE_TAKEABLE = "serve_takeable"
AGENT_LOST = "agent_lost"
WAITED_TOO_LONG = "waited_too_long"
WAIT_LIMITS = "wait_limits"
RELAX_SKILLS = "relax_skills"
CUSTOMER_SILENT = "customer_silent"
PENDING_OVER = "pending_over"
ANSWER_OVERDUE = "answer_overdue"
DEPARTMENT_RETIRED = "department_retired"
HAND_OVER = "hand_over"
OFFER_OVER = "offer_over"
RECEIVER_LEFT = "receiver_left"
DEPARTMENT_CLOSES = "department_closes"
WRAP_UP_OVER = "wrap_up_over"
_MOMENT = timedelta(microseconds=1)
_NONE: Mapping[frozenset[str], Ranking] = {}
SYSTEM = Actor(role="system")

FactT = TypeVar("FactT", bound=chats.ChatFact)


@dataclass(slots=True)
class Floor:
    """The contact centre as one batch sees it."""

    facts: Facts
    now: datetime
    outcome: Outcome = field(default_factory=Outcome)
    chats: dict[Key, Chat] = field(init=False)
    agents: dict[Key, Agent] = field(init=False)
    hand_overs: list[HandOver] = field(default_factory=list)
    handed_over: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    _open: dict[str, Key] = field(init=False)
    _ahead: dict[Key, int] = field(init=False)
    _rankings: dict[Key, dict[frozenset[str], Ranking]] = field(default_factory=dict)
    _members: dict[Key, list[Key]] | None = None
    _turns: dict[Key, str] = field(default_factory=dict)
    _closings: dict[str, Closing] = field(default_factory=dict)
    _last_assigned_at: datetime | None = None
    _touched_chats: dict[Key, None] = field(default_factory=dict)
    _touched_agents: dict[Key, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chats = dict(self.facts.chats)
        self.agents = dict(self.facts.agents)
        self._open = {c.pair.key: c.key for c in self.chats.values() if c.state is not State.CLOSED}
        self._ahead = dict(self.facts.queue_lengths)

    def changes(self) -> Changes:
        """Return everything that is different from the facts."""
        return Changes(
            tuple(self.chats[key] for key in self._touched_chats),
            tuple(self.agents[key] for key in self._touched_agents),
            self.outcome,
            frozenset(self._touched_chats.keys() - self.facts.chats.keys()),
            self._turns,
            self.hand_overs,
            self.handed_over,
            self._closings,
        )

    def directory(self, tenant_id: str) -> Documents:
        """Return what is known of a tenant's directory."""
        return self.facts.directory.get(tenant_id, NOTHING_KNOWN)

    def department(self, key: Key) -> Department | None:
        """Return a department, or None when no such document was heard."""
        return self.directory(key[0]).departments.get(key[1])

    def calendar(self, department: Department) -> Calendar | None:
        """Return the calendar a department goes by, or None: it names none, or an unknown one."""
        name = department.calendar_id
        return None if name is None else self.directory(department.tenant_id).calendars.get(name)

    def open_chat(self, pair_key: str) -> Chat | None:
        """Return the pair's open chat."""
        key = self._open.get(pair_key)
        return None if key is None else self.chats[key]

    def current(self, key: Key | None) -> Key | None:
        """Return the department that takes a department's chats: itself, unless it is retired."""
        return None if key is None else self.directory(key[0]).current(key)

    def can_place(self, key: Key | None) -> bool:
        """Say whether a department's members are locked, so that its chats may be placed now."""
        key = self.current(key)
        return key is not None and key in self.facts.locked

    def ranking(self, key: Key, skills: frozenset[str] = NO_SKILLS) -> Ranking:
        """Return the members of a locked department in order, for a chat that asks for these skills.

        Raises ShortlistEndsError where of the members who were not read nobody asked for these skills.
        """
        rankings = self._rankings.setdefault(key, {})
        if skills not in rankings:
            others = self.facts.others.get(key, NO_OTHERS)
            if skills and others is not NO_OTHERS:
                if (asked_for := PARTED.join(sorted(skills))) not in others.skilled:
                    raise ShortlistEndsError(f"not all of {key} were read")
                others = others.skilled[asked_for]
            members = self._members_by_department().get(key, ())
            department = self.department(key)
            strategy = department.strategy if department is not None else "least_loaded"
            turn = self.turn(key)
            rankings[skills] = Ranking(members, self.agents, strategy, turn, others, skills=skills)
        return rankings[skills]

    def turn(self, key: Key) -> str:
        """Return whom the strategy of a locked department chose last, where it goes by that."""
        return self._turns.get(key) or self.facts.turns.get(key, "")

    def members(self, key: Key) -> list[Agent]:
        """Return all members of a locked department. Raises ShortlistEndsError where not all were read."""
        if key in self.facts.others:
            raise ShortlistEndsError(f"not all of {key} were read")
        return [self.agents[member] for member in self._members_by_department().get(key, ())]

    def _members_by_department(self) -> Mapping[Key, Sequence[Key]]:
        """Look at each agent once, however many departments a batch places chats into."""
        if self._members is None:
            self._members = {}
            for agent in self.agents.values():
                for department in ((agent.tenant_id, name) for name in agent.departments):
                    if agent.takes_chats_of(department):
                        self._members.setdefault(department, []).append(agent.key)
        return self._members

    def ahead(self, key: Key) -> int:
        """Return how many wait in a locked department for somebody to be found."""
        return self._ahead.get(key, 0)

    def turn_taken(self, department: Department, agent: Agent) -> None:
        """Note whom the department's strategy chose, where the next choice depends on it."""
        if department.strategy == "round_robin":
            self._turns[department.key] = agent.agent_id
            for ranking in self._rankings.get(department.key, {}).values():
                ranking.turn = agent.agent_id

    def reject(self, received: Received, reason: str, detail: str) -> None:
        """Turn an input away for good, with a sentence for whoever sent it."""
        self.outcome.rejected.append(Rejection(received, reason, detail))

    def sweep(self, kind: str, key: Key) -> None:
        """Ask for work on other pairs, once this batch is committed."""
        self.outcome.schedule.append(Due(kind, due_name(key), key[0], self.now, sweep=True))

    def open(self, cause: Cause, chat: Chat, why: Mapping[str, Any] | None = None) -> Chat:
        """Begin a chat; soon after the pair's last one it continues that. ``why`` tells its department."""
        self._open[chat.pair.key] = chat.key
        closing = self.closing(chat.pair.key)
        told: dict[str, Any] = {"skills": tuple(chat.skills.split(PARTED))} if chat.skills else {}
        if closing is not None and self.now - closing.at <= CONTINUES_WITHIN:
            told["continues"] = closing.chat_id
        return self.tell(cause, chat.after(), chats.ChatOpened, why=why, **told)

    def end_wrap_up(self, cause: Cause, chat: Chat, reason: str, **told: Any) -> Chat:
        """Give back the slot that was held after a chat's end."""
        if (key := chat.wrapped_up_by) is None:
            return chat
        load = self.free_slot(key).load if key in self.agents else None
        self.outcome.cancel.append((WRAP_UP_OVER, due_name(chat.key)))
        closing = self.closing(chat.pair.key)
        if closing is not None and closing.chat_id == chat.chat_id:
            self._closings[chat.pair.key] = replace(closing, wrapping_up=False)
        told = {"reason": reason, "agent_load": load, **told}
        return self.tell(cause, chat.after(wrap_up_until=None), chats.ChatWrapUpEnded, **told)

    def closing(self, pair_key: str) -> Closing | None:
        """Return the end of the pair's last chat."""
        return self._closings.get(pair_key) or self.facts.closings.get(pair_key)

    def move(self, cause: Cause, chat: Chat, department_id: str, **told: Any) -> Chat:
        """Change a chat's department; one that waits leaves that queue and has yet to enter the other."""
        before = chat.department_id
        if chat.state is State.QUEUED:
            chat = self.end_offer(cause, chat, "moved")
        moved = self._leave_queue(chat).after(department_id=department_id, queued_at=None)
        return self.tell(cause, moved, chats.ChatMoved, previous_department_id=before, **told)

    def assign(self, cause: Cause, chat: Chat, agent: Agent, *, into: str | None = None, **told: Any) -> Chat:
        """Give a chat to an agent, and ``into`` a department; whoever had it gets the slot back."""
        chat = self.end_offer(cause, chat, "assigned")
        return self.give(cause, chat, agent, chats.ChatAssigned, into=into, slots=1, told=told)

    def give(
        self,
        cause: Cause,
        chat: Chat,
        agent: Agent,
        kind: type[FactT],
        *,
        into: str | None,
        slots: int,
        told: Mapping[str, Any],
    ) -> Chat:
        """Do so for a chat offered to nobody; ``slots`` is 0 if the agent's load counts it already."""
        chat = self._leave_queue(self.release(chat))
        agent = self.agents[agent.key]
        agent = agent.but(load=agent.load + slots, last_assigned_at=self._next_assigned_at())
        self._agent_changed(agent)
        assigned = chat.after(
            state=State.ASSIGNED,
            agent_id=agent.agent_id,
            department_id=into or chat.department_id,
            assignment_version=chat.assignment_version + 1,
            queued_at=None,
            passed_by="",
            owes_since=self.now,
        )
        self.expect_answer(assigned)
        self.tell(cause, assigned, kind, agent_load=agent.load, **told)
        return self.forget_ticket(assigned)

    def _next_assigned_at(self) -> datetime:
        """Return now, or just after the last assignment known: within a batch, too, one follows another."""
        last = self._last_assigned_at
        if last is None:
            found = [agent.last_assigned_at for agent in self.agents.values()]
            found += [others.last_assigned_at for others in self.facts.others.values()]
            last = max((at for at in found if at is not None), default=None)
        self._last_assigned_at = self.now if last is None else max(self.now, last + _MOMENT)
        return self._last_assigned_at

    def move_on(self, cause: Cause, chat: Chat) -> Chat:
        """Bring a chat to the department that took over its own; one whose department stands stays there.

        It keeps its state and its wait. What its new department makes of it is another question.
        """
        target = self.current(chat.department)
        if target is None or target == chat.department:
            return chat
        if chat.state is State.QUEUED:
            chat = self.end_offer(cause, chat, DEPARTMENT_RETIRED)
        moved = chat.after(department_id=target[1])
        if chat.state is State.QUEUED and chat.queued_at is not None:
            self._ahead[target] = self._ahead.get(target, 0) + 1
        told = {"previous_department_id": chat.department_id, "reason": DEPARTMENT_RETIRED}
        return self.tell(cause, moved, chats.ChatMoved, by=SYSTEM, **told)

    def divert(self, cause: Cause, chat: Chat, reason: str, **told: Any) -> Chat:
        """Make the chat a ticket; one that is a ticket already stays the same ticket."""
        if chat.state is State.DIVERTED:
            return chat
        chat = self.end_offer(cause, chat, reason)
        chat = self._leave_queue(self.release(chat))
        ticket_id = chat.ticket_id or derived_id(cause.id, "ticket", chat.chat_id)
        diverted = chat.after(
            state=State.DIVERTED, agent_id=None, ticket_id=ticket_id, queued_at=None, passed_by=""
        )
        return self.tell(cause, diverted, chats.ChatDiverted, reason=reason, **told)

    def forget_ticket(self, chat: Chat) -> Chat:
        """Let go of a ticket that ends, with the assignment that names it or by hand; the next is another."""
        return chat if chat.ticket_id is None else self.keep(chat.but(ticket_id=None))

    def next_ticket(self, cause: Cause, chat: Chat, reason: str, **told: Any) -> Chat:
        """Give a diverted chat another ticket: the customer wrote after its ticket was closed."""
        ticket_id = derived_id(cause.id, "ticket", chat.chat_id)
        return self.tell(cause, chat.after(ticket_id=ticket_id), chats.ChatDiverted, reason=reason, **told)

    def close(self, cause: Cause, chat: Chat, **told: Any) -> Chat:
        """End a chat. Where its department lets agents wrap up, the slot that it took stays held for that."""
        chat = self.end_offer(cause, chat, "closed")
        until = self._wrap_up(chat)
        chat = self._leave_queue(self.release(chat, keeps_slot=until is not None))
        self._open.pop(chat.pair.key, None)
        if chat.last_word == "business":
            self.expect_nothing(chat)
        closing = Closing(chat.chat_id, chat.previous_agent_id, self.now, until is not None)
        self._closings[chat.pair.key] = closing
        chat = chat.after(state=State.CLOSED, wrap_up_until=until)
        return self.tell(cause, chat, chats.ChatClosed, wrap_up_until=until, **told)

    def _wrap_up(self, chat: Chat) -> datetime | None:
        key = self.current(chat.department)
        if chat.state is not State.ASSIGNED or chat.agent is None or key is None:
            return None
        until = held_until(self.agents[chat.agent], self.department(key), self.now)
        if until is not None:
            due = Due(WRAP_UP_OVER, due_name(chat.key), chat.tenant_id, until, sweep=True)
            self.outcome.schedule.append(due)
        return until

    def answer_due(self, chat: Chat) -> datetime | None:
        """Return when the chat's agent has left the customer without an answer for too long; None: never."""
        if chat.state is not State.ASSIGNED or chat.flagged or chat.last_word != "customer":
            return None
        department = self.department(chat.department) if chat.department is not None else None
        patience = (department or Department("", "")).answer_timeout
        return None if chat.owes_since is None else chat.owes_since + patience

    def expect_answer(self, chat: Chat) -> None:
        """Limit how long the chat's agent may leave the customer without an answer, if they owe one."""
        if (limit := self.answer_due(chat)) is not None:
            self.outcome.schedule.append(Due(ANSWER_OVERDUE, due_name(chat.key), chat.tenant_id, limit))

    def expect_nothing(self, chat: Chat) -> None:
        """Stop counting the agent's silence, or the customer's."""
        kind = CUSTOMER_SILENT if chat.last_word == "business" else ANSWER_OVERDUE
        self.outcome.cancel.append((kind, due_name(chat.key)))

    def release(self, chat: Chat, *, keeps_slot: bool = False) -> Chat:
        """Take a chat from its agent, whose slot is then free for whoever waits in their departments."""
        if chat.agent is None or chat.state is State.CLOSED:
            return chat
        if chat.state is State.PENDING:
            self.outcome.cancel.append((PENDING_OVER, due_name(chat.key)))
            return chat.but(previous_agent_id=chat.agent_id, agent_id=None, pending_until=None)
        if chat.last_word == "customer":
            self.expect_nothing(chat)
        if not keeps_slot:
            self.free_slot(chat.agent)
        return chat.but(previous_agent_id=chat.agent_id, agent_id=None)

    def hold_out(self, cause: Cause, chat: Chat, offer: Offer, why: Any) -> Chat:
        """Offer a chat to an agent, who has a slot taken for it; out of the queue, until that ends."""
        receiver = self.fill_slot((chat.tenant_id, offer.to))
        self.outcome.schedule.append(Due(OFFER_OVER, due_name(chat.key), chat.tenant_id, offer.expires_at))
        if chat.state is State.QUEUED:
            self._count_waiting(chat, -1)
        return self.tell(
            cause,
            chat.after(offer=offer),
            chats.ChatOffered,
            kind=offer.kind,
            to=offer.to,
            to_department_id=offer.department_id,
            by=offer.by,
            note=offer.note,
            expires_at=offer.expires_at,
            agent_load=receiver.load,
            why=why,
        )

    def end_offer(
        self, cause: Cause, chat: Chat, outcome: str, *, accepted: bool = False, **told: Any
    ) -> Chat:
        """End the offer of a chat, if there is one: its receiver has the slot back, or the chat in it."""
        if (offer := chat.offer) is None:
            return chat
        key = (chat.tenant_id, offer.to)
        receiver = self.agents[key] if accepted else self.free_slot(key)
        self.outcome.cancel.append((OFFER_OVER, due_name(chat.key)))
        if chat.state is State.QUEUED and chat.department is not None:
            self._count_waiting(chat, 1)
            self.sweep(SERVE_QUEUE, chat.department)
        told = {"outcome": outcome, "to": offer.to, "agent_load": receiver.load, **told}
        return self.tell(cause, chat.after(offer=None), chats.ChatOfferEnded, **told)

    def free_slot(self, key: Key) -> Agent:
        """Give a slot back to an agent, for whoever waits in their departments."""
        agent = self.agents[key]
        agent = agent.but(load=agent.load - 1)
        self._agent_changed(agent)
        for department_id in sorted(agent.departments):
            self.sweep(SERVE_QUEUE, (agent.tenant_id, department_id))
        return agent

    def fill_slot(self, key: Key) -> Agent:
        """Count one chat more for an agent, over the capacity if need be: the chat is theirs already."""
        agent = self.agents[key]
        agent = agent.but(load=agent.load + 1)
        self._agent_changed(agent)
        return agent

    def agent_state(self, agent: Agent) -> None:
        """Take over what is known of an agent by now."""
        before = self.agents.get(agent.key, Agent(*agent.key))
        if (before.departments, before.roles) != (agent.departments, agent.roles):
            self._members = None
            for department_id in before.departments | agent.departments:
                self._rankings.pop((agent.tenant_id, department_id), None)
        self._agent_changed(agent)

    def tell(self, cause: Cause, chat: Chat, kind: type[FactT], /, **told: Any) -> Chat:
        """Keep a chat as it is after a change and say what happened to it."""
        self.keep(chat)
        data = kind.of(chat_fields(chat) | told)
        self.say(cause, data, subject=chat.chat_id, pair_key=chat.pair.key, nth=chat.version)
        return chat

    def say(self, cause: Cause, data: Model, *, subject: str, pair_key: str | None, nth: int = 0) -> None:
        """Put an event into the outcome; without a ``pair_key`` its data name the pair, if there is one."""
        event: Event[Model] = fact(
            cause, data, source=SOURCE, subject=subject, time=self.now, pair_key=pair_key, nth=nth
        )
        self.outcome.outgoing.append(event)

    def limit_wait(self, chat: Chat, since: datetime | None = None) -> None:
        """Set the end of a chat's wait, which began now unless it is said since when it counts."""
        department = self.department(chat.department) if chat.department is not None else None
        limit = (since or self.now) + (department or Department("", "")).max_wait
        self.outcome.schedule.append(Due(WAITED_TOO_LONG, due_name(chat.key), chat.tenant_id, limit))

    def limit_skills(self, chat: Chat) -> None:
        """Set the end of a chat's wait for somebody with its skills, from its entry into the queue."""
        if not chat.skills or chat.queued_at is None:
            return
        department = self.department(chat.department) if chat.department is not None else None
        limit = chat.queued_at + (department or Department("", "")).relax_skills_after
        self.outcome.schedule.append(Due(RELAX_SKILLS, due_name(chat.key), chat.tenant_id, limit))

    def enter_queue(self, cause: Cause, chat: Chat, why: Any, reason: str | None) -> Chat:
        """Let a chat wait; one that somebody had, or that waited before, says for which ``reason`` again."""
        chat = self.release(chat)
        self._count_waiting(chat, 1)
        queued = chat.after(
            state=State.QUEUED,
            queued_at=self.now,
            waiting_since=chat.waiting_since or self.now,
            passed_by="",
            skills_relaxed=False,
        )
        self.limit_skills(queued)
        if reason is not None:
            return self.tell(cause, queued, chats.ChatRequeued, reason=reason, why=why)
        return self.tell(cause, queued, chats.ChatQueued, why=why)

    def _leave_queue(self, chat: Chat) -> Chat:
        if chat.state is not State.QUEUED or chat.queued_at is None:
            return chat
        self.outcome.cancel.append((WAITED_TOO_LONG, due_name(chat.key)))
        if chat.skills:
            self.outcome.cancel.append((RELAX_SKILLS, due_name(chat.key)))
        self._count_waiting(chat, -1)
        return chat

    def _count_waiting(self, chat: Chat, change: int) -> None:
        """Count how many wait in a queue for somebody to be found; of a chat that does not, nothing."""
        if chat.department is not None:
            self._ahead[chat.department] = max(0, self._ahead.get(chat.department, 0) + change)

    def keep(self, chat: Chat) -> Chat:
        """Put a chat into the working copy, to be saved."""
        self.chats[chat.key] = chat
        self._touched_chats[chat.key] = None
        return chat

    def _agent_changed(self, agent: Agent) -> None:
        self.agents[agent.key] = agent
        self._touched_agents[agent.key] = None
        for department_id in agent.departments:
            for ranking in self._rankings.get((agent.tenant_id, department_id), _NONE).values():
                ranking.changed(agent)


def chat_fields(chat: Chat) -> dict[str, Any]:
    """Return what every fact about a chat carries (docs/contracts.md, 5)."""
    return {
        "chat_id": chat.chat_id,
        "version": chat.version,
        "assignment_version": chat.assignment_version,
        "state": chat.state.value,
        "pair": _pair_ref(chat.pair.channel, chat.business_address, chat.customer_address),
        "customer_id": chat.customer_id,
        "department_id": chat.department_id,
        "agent_id": chat.agent_id,
        "previous_agent_id": chat.previous_agent_id,
        "ticket_id": chat.ticket_id,
        "priority": chat.priority,
        "opened_at": chat.opened_at,
        "opened_by": chat.opened_by,
        "last_inbound_at": chat.last_inbound_at,
        "waiting_since": chat.waiting_since if chat.state in {State.QUEUED, State.DIVERTED} else None,
        "last_word": chat.last_word,
    }


@lru_cache(maxsize=4096)
def _pair_ref(channel: Channel, business_address: str, customer_address: str) -> PairRef:
    """Build a pair once for the several facts that a message gives."""
    return PairRef(channel=channel, business_address=business_address, customer_address=customer_address)
