"""Agent silent: a customer who was left without an answer goes to somebody else (docs/rules.md, 3)."""

from functools import partial

from services.routing.decisions.asking import choose_next
from services.routing.decisions.floor import Floor
from services.routing.decisions.placement import Assign, place
from services.routing.decisions.skills import choose_for, preferred
from services.routing.model import PARTED, Chat
from shared.contracts import chats
from shared.contracts.event import Cause
from shared.platform.outcome import Due


def answer_overdue(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """Give a chat to another agent of its department who is available; with nobody there, alert once.

    Inputs are read up to ``row.at`` and no further: an answer given after it may not be known yet.
    """
    due_at = floor.answer_due(chat)
    if due_at is None or chat.agent_id is None:
        return
    if due_at > row.at:  # a later word, another agent, or a longer patience
        floor.expect_answer(chat)
        return
    silent = PARTED.join(filter(None, (chat.were_silent, chat.agent_id)))
    if (found := _another(floor, chat, silent)) is None:
        alerted = chat.after(were_silent=silent)
        floor.tell(cause, alerted, chats.ChatAlerted, kind="answer_overdue", due_at=due_at)
        return
    chat = floor.move_on(cause, chat).but(were_silent=silent)
    why = {**found.why, "silent": silent.split(PARTED)}
    floor.assign(cause, chat, found.agent, reason="agent_silent", why=why)


def _another(floor: Floor, chat: Chat, silent: str) -> Assign | None:
    """Return who of the chat's department could go on with it, by its strategy, but for who was silent."""
    key = floor.current(chat.department)
    department = floor.department(key) if key is not None else None
    if key is None or department is None or not floor.can_place(key):
        return None
    turn, without = floor.turn(key), frozenset(silent.split(PARTED))
    others = partial(choose_next, floor.members(key), department.strategy, turn, without)
    choice = choose_for(preferred(chat), others)
    found = place(department, floor.calendar(department), choice, ahead=0, now=floor.now, turn=turn)
    if not isinstance(found, Assign):
        return None
    floor.turn_taken(department, found.agent)
    return found
