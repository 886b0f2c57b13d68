"""What can be seen of the centre from its topics while it runs, by those who act and those who watch."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.agents import AgentChanged
from shared.contracts.chats import ChatCommandRefused, ChatFact
from shared.contracts.deliveries import (
    DeliveryAccepted,
    DeliveryDelivered,
    DeliveryInDoubt,
    DeliveryRead,
    DeliveryRefused,
    DeliverySent,
)
from shared.contracts.event import Event
from shared.contracts.tickets import TicketCommandRefused, TicketFact


@dataclass(slots=True)
class Scene:
    """The latest of every chat, ticket and agent that was heard, and how often things were told."""

    chats: dict[str, ChatFact] = field(default_factory=dict)
    """Those that are not closed."""
    tickets: dict[str, TicketFact] = field(default_factory=dict)
    """Those that are not closed."""
    agents: dict[str, AgentChanged] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    """Requests that the provider has; a receipt may overtake its answer."""
    counted: Counter[str] = field(default_factory=Counter)

    def hear(self, event: Event[Any]) -> None:
        """Take in one event."""
        match event.data:
            case ChatFact() as chat:
                self._count(event.type)
                _keep(self.chats, chat.chat_id, chat, closed=chat.state == "closed")
            case TicketFact() as ticket:
                self._count(event.type)
                _keep(self.tickets, ticket.ticket_id, ticket, closed=ticket.state == "closed")
            case AgentChanged() as agent:
                self._count(f"agent.{agent.cause}")
                self.agents[agent.agent_id] = agent
            case ChatCommandRefused() | TicketCommandRefused():
                self._count("command_refused")
            case DeliveryAccepted() | DeliverySent() | DeliveryDelivered() | DeliveryRead() as delivery:
                self.taken.add(delivery.request_id)
            case DeliveryRefused() | DeliveryInDoubt():
                self._count(event.type)
            case _:
                pass

    def of_state(self, state: str) -> int:
        """Count the chats in a state."""
        return sum(chat.state == state for chat in self.chats.values())

    def online(self) -> int:
        """Count the agents who are online."""
        return sum(agent.state == "online" for agent in self.agents.values())

    def told(self, word: str) -> int:
        """Return how often something was told, e.g. ``chat.opened``."""
        return self.counted[word]

    def _count(self, wire_type: str) -> None:
        self.counted[wire_type.removeprefix("chatdesk.").removesuffix(".v1")] += 1


def _keep(kept: dict[str, Any], key: str, fact: Any, *, closed: bool) -> None:
    """Keep the newest version. An event may come twice, never out of order within its chat."""
    if closed:
        kept.pop(key, None)
    elif key not in kept or kept[key].version < fact.version:
        kept[key] = fact
