"""What chats ask for, and from when each makes do with anybody, as their facts tell it."""

from collections.abc import Iterator, Mapping

from ops.checker.history import Key
from ops.checker.story import Story
from ops.checker.stretches import Span, Stretch
from shared.contracts.chats import ChatMoved, ChatOpened, ChatQueued, ChatRequeued, ChatSkillsRelaxed

NONE: frozenset[str] = frozenset()


def asked_for(story: Story) -> Mapping[Key, frozenset[str]]:
    """Return the skills that each chat asks for; chats that ask for none are absent."""
    return {
        chat: frozenset(told.event.data.skills)
        for chat, facts in story.facts.items()
        for told in facts
        if isinstance(told.event.data, ChatOpened) and told.event.data.skills
    }


def phases(story: Story, wait: Stretch, skills: frozenset[str]) -> Iterator[tuple[Span, frozenset[str]]]:
    """Yield when a chat surely waited, each time with the skills that it held to then."""
    if not skills:
        yield wait.surely, NONE
        return
    began, ended = wait.began.event.data.version, wait.ended.event.data.version if wait.ended else None
    relaxed = False
    for told in story.facts[wait.chat]:
        fact = told.event.data
        if ended is not None and fact.version > ended:
            break
        if isinstance(fact, ChatQueued | ChatRequeued | ChatMoved):
            relaxed = False
        elif isinstance(fact, ChatSkillsRelaxed):
            relaxed = True
            if fact.version > began:
                yield wait.surely.within(Span(wait.surely.start, told.event.time)), skills
                yield wait.surely.within(Span(told.record.written_at, wait.surely.end)), NONE
                return
    yield wait.surely, NONE if relaxed else skills
