"""How a command is refused: with its reason and, where it helps, who is available now."""

from services.routing.decisions.choice import Verdict, verdict
from services.routing.decisions.floor import Floor
from services.routing.model import Chat
from shared.contracts import chats
from shared.contracts.chat_commands import ChatAssign, ChatCommand
from shared.platform.outcome import Received


def chat_of(floor: Floor, received: Received, command: ChatCommand) -> Chat | None:
    """Return the chat a command is about, if it is known."""
    return floor.chats.get((received.event.tenant_id, command.chat_id))


def refuse(floor: Floor, received: Received, command: ChatCommand, chat: Chat | None, reason: str) -> None:
    """Answer with the reason and, where a chat was to be given away, with who could take it now."""
    event = received.event
    floor.say(
        event.as_cause(),
        chats.ChatCommandRefused(
            command_id=event.id,
            reason=reason,
            by=command.by,
            chat_id=command.chat_id,
            version=chat.version if chat else None,
            pair=command.pair,
            request_id=getattr(command, "request_id", None),
            available=_available(floor, chat, command),
        ),
        subject=command.chat_id,
        pair_key=chat.pair.key if chat else event.pair_key,
    )


def _available(floor: Floor, chat: Chat | None, command: ChatCommand) -> chats.Availability | None:
    """Return who is available in the departments a chat was to go to: the one asked for, and its own."""
    if not isinstance(command, ChatAssign) or chat is None:
        return None
    asked = {name for name in (command.department_id, chat.department_id) if name is not None}
    departments = [
        key
        for key in ((chat.tenant_id, name) for name in sorted(asked))
        if floor.can_place(key) and floor.department(key) is not None
    ]
    free = [
        (name, agent.agent_id)
        for name in departments
        for agent in floor.agents.values()
        if agent.takes_chats_of(name) and verdict(agent) is Verdict.AVAILABLE
    ]
    return chats.Availability(
        departments=tuple(sorted({name[1] for name, _ in free})),
        agents=tuple(sorted({agent_id for _, agent_id in free})),
    )
