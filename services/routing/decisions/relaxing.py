"""The end of a wait for somebody with the skills that a chat asks for: from then on anybody may have it."""

from services.routing.decisions.floor import SERVE_QUEUE, Floor
from services.routing.model import PARTED, Chat, Key, State
from shared.contracts import chats
from shared.contracts.event import Cause
from shared.platform.outcome import Due


def relax_skills(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """Let a chat make do with anybody, and its queue be served, unless its wait ends after ``row.at``.

    Said once, it holds until the chat enters a queue anew, whatever its department's patience becomes.
    """
    if not _waits_for_skills(chat) or chat.queued_at is None or chat.department is None:
        return
    department = floor.department(chat.department)
    if department is not None and chat.queued_at + department.relax_skills_after > row.at:
        floor.limit_skills(chat)
        return
    relaxed = chat.after(skills_relaxed=True)
    floor.tell(cause, relaxed, chats.ChatSkillsRelaxed, skills=tuple(chat.skills.split(PARTED)))
    floor.sweep(SERVE_QUEUE, chat.department)


def limits_changed(floor: Floor, listed: tuple[Key, ...]) -> None:
    """Set the ends of these chats' waits by their department's present patience."""
    for key in listed:
        if (chat := floor.chats.get(key)) is not None and _waits_for_skills(chat):
            floor.limit_skills(chat)


def _waits_for_skills(chat: Chat) -> bool:
    return chat.state is State.QUEUED and chat.skills != "" and not chat.skills_relaxed
