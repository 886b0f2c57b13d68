"""The demo's agents: they sign on, answer what they are given, step away, and some vanish."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random  # noqa: TID251 - the demo plays people; the services draw no lots
from typing import Any

from ops.demo.centre import AGENTS, ON_THE_FLOOR, TEMPLATE, capacity_of
from ops.demo.driver import DESK, Driver
from ops.demo.plan import BILLING_SHARE, MEAN_BURST
from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentHeartbeat, AgentSignedIn, AgentSignedOut, AgentStateSet
from shared.contracts.chat_commands import ChatClose, ChatReply
from shared.contracts.chats import ChatAssigned, ChatFact, ChatMessageAdded
from shared.contracts.content import Content, Template, Text
from shared.contracts.deliveries import DeliveryRefused
from shared.contracts.event import Event

HEARTBEAT_SECONDS = 0.8
STALE_SHARE = 0.3
"""How often an agent goes on writing into a chat that was taken from them meanwhile."""
FALLBACK_SHARE = 0.3
_HANDLING = 2.2
"""Seconds an agent of pace 1 has a chat, on average."""
_BUSY = 0.65
"""How busy the agents who stay are on average; the waves of customers do the rest."""
_STEADY_SHARE = 0.75
"""Of the slots, what is left when some are away, draining or gone."""
_ANSWERS = ("Good day, how can I help?", "One moment, I look it up.", "It is on its way.", "Anything else?")


def pace_for(rate: float) -> float:
    """Return by how much agents are slower than pace 1, so that they are just busy enough at a rate."""
    slots = _STEADY_SHARE * sum(capacity_of(agent) for agent in ON_THE_FLOOR)
    chats_a_second = rate / MEAN_BURST * (1 - BILLING_SHARE)
    return min(4.0, max(0.15, _BUSY * slots / chats_a_second / _HANDLING))


@dataclass(slots=True)
class _Desk:
    """One chat on an agent's screen."""

    chat: ChatFact
    unanswered: bool = False
    replies: int = 0
    enough: int = 1
    busy: bool = False


@dataclass(slots=True)
class SimulatedAgent:
    """One person. Acts through commands and signals alone, and knows only what topics told them."""

    name: str
    dice: Random
    driver: Driver
    pace: float
    present: bool = False
    """Their session lives. Who vanished is not present, though nobody was told."""
    away: bool = False
    session: int = 0
    desks: dict[str, _Desk] = field(default_factory=dict)
    _said: int = 0

    def sign_in(self) -> None:
        """Open a session."""
        self.session += 1
        self.present, self.away = True, False
        self.driver.say(AgentSignedIn(agent_id=self.name, session_id=self._session_id, by=self._me), DESK)
        self._turn_to_all()

    def sign_out(self) -> None:
        """End the session in good order."""
        self.present = False
        self.driver.say(AgentSignedOut(agent_id=self.name, session_id=self._session_id, by=self._me), DESK)

    def vanish(self) -> None:
        """Close the laptop."""
        self.present = False

    def step_away(self) -> None:
        """Leave for lunch; the chats stay."""
        self.away = True
        self._declare(state="away", reason="lunch")

    def come_back(self) -> None:
        """Come back from lunch."""
        self.away = False
        self._declare(state="online")
        self._turn_to_all()

    def drain(self) -> None:
        """Finish what there is and take no more."""
        self._declare(draining=True)

    def beat(self) -> None:
        """Keep the session alive."""
        if self.present:
            self.driver.say(AgentHeartbeat(agent_id=self.name, session_id=self._session_id), DESK)

    def hear(self, event: Event[Any]) -> None:
        """See what happened to a chat on one's screen."""
        fact = event.data
        if fact.state != "assigned" or fact.agent_id != self.name:
            self.desks.pop(fact.chat_id, None)
            return
        desk = self.desks.setdefault(fact.chat_id, _Desk(fact, enough=self.dice.randint(1, 2)))
        desk.chat = fact
        if isinstance(fact, ChatAssigned) or (
            isinstance(fact, ChatMessageAdded) and fact.direction == "inbound"
        ):
            desk.unanswered = fact.last_word == "customer"
        self._turn_to(desk)

    def refused(self, delivery: DeliveryRefused) -> None:
        """Hear that a reply did not go: outside the window a template does."""
        desk = self.desks.get(delivery.chat_id or "")
        if desk is not None and delivery.reason == "window_closed":
            self._reply(desk, Template(name=TEMPLATE, language="en"))

    def rest(self) -> None:
        """Put one's hands down; the session lives on."""
        self.away = True
        self.desks.clear()

    def _turn_to_all(self) -> None:
        for desk in self.desks.values():
            self._turn_to(desk)

    def _turn_to(self, desk: _Desk) -> None:
        if desk.busy or not self.present or self.away:
            return
        desk.busy = True
        quick = desk.unanswered
        delay = self.pace * (self.dice.uniform(0.4, 1.0) if quick else self.dice.uniform(0.5, 1.2))
        asyncio.get_running_loop().call_later(delay, self._act, desk)

    def _act(self, desk: _Desk) -> None:
        desk.busy = False
        if not self.present or self.away:
            return
        if self.desks.get(desk.chat.chat_id) is not desk:
            if self.dice.random() < STALE_SHARE:
                self._reply(desk, Text(text="(written into a chat that is no longer mine)"))
            return
        if desk.unanswered:
            self._reply(desk, Text(text=self.dice.choice(_ANSWERS)))
        elif desk.replies >= desk.enough:
            self._close(desk)
            return
        else:
            desk.replies += 1
        self._turn_to(desk)

    def _reply(self, desk: _Desk, content: Content) -> None:
        self._said += 1
        desk.unanswered = False
        desk.replies += 1
        fallback = Template(name=TEMPLATE, language="en") if self.dice.random() < FALLBACK_SHARE else None
        command = ChatReply(
            by=self._me,
            chat_id=desk.chat.chat_id,
            pair=desk.chat.pair,
            expected_assignment_version=desk.chat.assignment_version if self.dice.random() < 0.5 else None,  # noqa: PLR2004 - half
            request_id=f"{self.name}-{self._said}",
            content=content,
            fallback_template=fallback if isinstance(content, Text) else None,
        )
        self.driver.say(command, DESK)

    def _close(self, desk: _Desk) -> None:
        self.driver.say(ChatClose(by=self._me, chat_id=desk.chat.chat_id, pair=desk.chat.pair), DESK)

    def _declare(self, **change: Any) -> None:
        self.driver.say(
            AgentStateSet(agent_id=self.name, session_id=self._session_id, by=self._me, **change), DESK
        )

    @property
    def _me(self) -> Actor:
        return Actor(role="agent", id=self.name)

    @property
    def _session_id(self) -> str:
        return f"{self.name}-{self.session}"


Act = Callable[[SimulatedAgent], None]


@dataclass(frozen=True, slots=True)
class Move:
    """What an agent does at a time, in seconds from the start; ``told`` is worth a line in the progress."""

    at: float
    agent: str
    act: Act
    told: str | None = None


def shifts(seed: int, duration: float) -> list[Move]:
    """Decide who comes, goes, steps away and vanishes, in the order of time."""
    dice = Random(f"shifts/{seed}")  # noqa: S311 - reproducible on purpose
    floor = list(ON_THE_FLOOR)
    dice.shuffle(floor)
    gone, back, away, out, drained, late = floor[:2], floor[2], floor[3:5], floor[5], floor[6], floor[7]
    moves = [Move(dice.uniform(0.0, 1.5), agent, SimulatedAgent.sign_in) for agent in AGENTS if agent != late]
    moves.append(Move(0.25 * duration, late, SimulatedAgent.sign_in, f"{late} comes late"))
    moves += [
        Move(dice.uniform(0.2, 0.5) * duration, agent, SimulatedAgent.vanish, f"{agent} vanishes")
        for agent in (*gone, back)
    ]
    moves.append(Move(0.85 * duration, back, SimulatedAgent.sign_in, f"{back} is back"))
    for agent in away:
        leaves = dice.uniform(0.2, 0.4) * duration
        moves.append(Move(leaves, agent, SimulatedAgent.step_away, f"{agent} steps away"))
        moves.append(Move(leaves + 0.2 * duration, agent, SimulatedAgent.come_back, f"{agent} is back"))
    moves.append(Move(0.6 * duration, out, SimulatedAgent.sign_out, f"{out} signs out"))
    moves.append(Move(0.8 * duration, out, SimulatedAgent.sign_in, f"{out} signs in again"))
    moves.append(Move(0.7 * duration, drained, SimulatedAgent.drain, f"{drained} takes no more"))
    return sorted(moves, key=lambda move: move.at)


class Floor:
    """All agents of the demo."""

    def __init__(self, seed: int, rate: float, driver: Driver) -> None:
        pace = pace_for(rate)
        self._agents = {
            name: SimulatedAgent(name, Random(f"{name}/{seed}"), driver, pace)  # noqa: S311 - reproducible
            for name in AGENTS
        }
        self.idle = False
        """Whether they have stopped answering; their sessions live on."""

    def hear(self, event: Event[Any]) -> None:
        """Show agents what concerns them."""
        if self.idle:
            return
        match event.data:
            case ChatFact() as chat:
                for name in {chat.agent_id, chat.previous_agent_id} - {None}:
                    self._agents[name or ""].hear(event)
            case DeliveryRefused(by=Actor(id=str() as name)) as delivery if name in self._agents:
                self._agents[name].refused(delivery)
            case _:
                pass

    def move(self, move: Move) -> None:
        """Let an agent do something."""
        move.act(self._agents[move.agent])

    async def beat(self) -> None:
        """Keep everybody's session alive until cancelled."""
        while True:
            for agent in self._agents.values():
                agent.beat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def rest(self) -> None:
        """Let everybody put their hands down."""
        self.idle = True
        for agent in self._agents.values():
            agent.rest()
