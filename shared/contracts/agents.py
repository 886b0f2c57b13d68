"""``agents.v1``: the state presence holds for each agent."""

from typing import Literal, TypeAlias

from shared.contracts.actors import Actor
from shared.contracts.event import Model
from shared.contracts.fields import Count, Flag, Id, Time, Word

AgentState: TypeAlias = Literal["online", "away", "offline"]


class AgentChanged(Model):
    """The whole state of an agent: ``cause`` says what changed it, ``by`` who, ``reason`` why it is so."""

    agent_id: Id
    state: AgentState
    reason: Word | None = None
    draining: Flag = False
    cause: Word
    by: Actor | None = None
    since: Time
    version: Count
