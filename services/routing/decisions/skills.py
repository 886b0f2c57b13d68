"""Skills that chats ask for: first of those who have them, after a wait of anybody (docs/rules.md, 3)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.routing.decisions.choice import NO_SKILLS, Choice
from services.routing.model import PARTED, Chat, Department, Tenant
from shared.contracts.inbound_messages import MessageReceived

MOST = 20
"""Skills that a chat asks for at most; those of the rule come before those of the hints."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The skills that a chat asks for. ``relaxed``: somebody who lacks one will do if nobody else is free."""

    skills: tuple[str, ...]
    relaxed: bool


def asked_for(tenant: Tenant, place: int | None, message: MessageReceived) -> str:
    """Return the skills that a new chat with this message asks for, sorted, parted by `PARTED`.

    ``place`` is that of the rule that it goes by.
    """
    hinted = message.hints.skills if message.hints is not None else ()
    ruled = tenant.rules[place].skills if place is not None else ()
    if not hinted and not ruled:
        return ""
    found = dict.fromkeys(ruled)
    for written in hinted:
        found |= dict.fromkeys(filter(None, written.strip().lower().split(PARTED)))
    return PARTED.join(sorted([*found][:MOST]))


def asked(chat: Chat, department: Department) -> Asked | None:
    """Return what a chat that is to be placed asks for."""
    if not chat.skills:
        return None
    waits_for_anybody = chat.queued_at is not None and chat.skills_relaxed
    return Asked(tuple(chat.skills.split(PARTED)), waits_for_anybody or not department.relax_skills_after)


def preferred(chat: Chat) -> Asked | None:
    """Return what a chat asks for that people or timers take from somebody: its wait is over."""
    return Asked(tuple(chat.skills.split(PARTED)), relaxed=True) if chat.skills else None


def choose_for(wanted: Asked | None, choose: Callable[[frozenset[str]], Choice]) -> Choice:
    """Choose among those with the skills that are wanted; relaxed, among all where none of them is free."""
    if wanted is None:
        return choose(NO_SKILLS)
    found = choose(frozenset(wanted.skills))
    if found.agent is None and wanted.relaxed:
        return replace(choose(NO_SKILLS), skills=_recorded(wanted, held_to=False))
    return replace(found, skills=_recorded(wanted, held_to=True))


def held_to(why: Mapping[str, Any]) -> frozenset[str]:
    """Return the skills without which nobody could be chosen, by what was recorded."""
    recorded = why.get("skills")
    return frozenset(recorded["asked"]) if recorded is not None and recorded["held_to"] else NO_SKILLS


def _recorded(wanted: Asked, *, held_to: bool) -> Mapping[str, Any]:
    return {"asked": wanted.skills, "relaxed": wanted.relaxed, "held_to": held_to}
