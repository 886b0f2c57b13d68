"""How long a chat was in a state, as far as it can be known from outside.

A commit lies between the time its event carries and the time the event was written. So a state surely
lasted from when its beginning was written to the time its end carries; and at most from the time its
beginning carries to when its end was written. What is judged by the sure part is never judged wrongly.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.checker.history import Key
from ops.checker.story import Story, Told
from shared.contracts.chats import ChatClosed, ChatFact, ChatOffered, ChatOfferEnded, ChatWrapUpEnded


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` to ``end``; empty when the end is not after the start."""

    start: datetime
    end: datetime

    def __bool__(self) -> bool:
        return self.end > self.start

    def within(self, other: "Span") -> "Span":
        """Return what two spans have in common."""
        return Span(max(self.start, other.start), min(self.end, other.end))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A chat in one state, whose is told by ``what``: an agent's id, a department's."""

    chat: Key
    what: Key
    began: Told
    ended: Told | None
    surely: Span
    at_most: Span


def slots(story: Story) -> Iterator[Stretch]:
    """Yield each time a chat took a slot of an agent: held by them, offered to them, or being wrapped up."""
    yield from _stretches(story, lambda fact, _: fact.agent_id if fact.state == "assigned" else None)
    yield from _stretches(story, lambda _, offered_to: offered_to)
    yield from _wrapped_up(story)


def unanswered(story: Story) -> Iterator[Stretch]:
    """Yield each time an agent held a chat whose last word was the customer's."""
    return _stretches(
        story,
        lambda fact, _: fact.agent_id if fact.state == "assigned" and fact.last_word == "customer" else None,
    )


def queued(story: Story) -> Iterator[Stretch]:
    """Yield each time a chat waited in a department while nobody was asked to take it."""
    return _stretches(
        story,
        lambda fact, offered_to: (
            fact.department_id if fact.state == "queued" and offered_to is None else None
        ),
    )


def _stretches(story: Story, what: Callable[[Any, str | None], str | None]) -> Iterator[Stretch]:
    """Yield what lasted; ``what`` is told a fact and to whom the chat was offered after it."""
    for chat, facts in story.facts.items():
        began: Told | None = None
        was: str | None = None
        offered_to: str | None = None
        for told in facts:
            offered_to = _offered_to(told.event.data, offered_to)
            now = what(told.event.data, offered_to)
            if began is not None and now != was:
                yield _stretch(story, chat, was, began, told)
                began = None
            if began is None and now is not None:
                began = told
            was = now
        if began is not None:
            yield _stretch(story, chat, was, began, None)


def _wrapped_up(story: Story) -> Iterator[Stretch]:
    """Yield each time a slot stayed held after a chat's end."""
    for chat, facts in story.facts.items():
        began: Told | None = None
        for told in facts:
            if isinstance(told.event.data, ChatClosed) and told.event.data.wrap_up_until is not None:
                began = told
            elif began is not None and isinstance(told.event.data, ChatWrapUpEnded):
                yield _stretch(story, chat, began.event.data.previous_agent_id, began, told)
                began = None
        if began is not None:
            yield _stretch(story, chat, began.event.data.previous_agent_id, began, None)


def _offered_to(fact: ChatFact, before: str | None) -> str | None:
    match fact:
        case ChatOffered(to=to):
            return to
        case ChatOfferEnded():
            return None
        case _:
            return before


def _stretch(story: Story, chat: Key, what: str | None, began: Told, ended: Told | None) -> Stretch:
    taken_at = story.history.taken_at
    surely = Span(began.record.written_at, ended.event.time if ended else taken_at)
    at_most = Span(began.event.time, ended.record.written_at if ended else taken_at)
    return Stretch(chat, (chat[0], what or ""), began, ended, surely, at_most)
