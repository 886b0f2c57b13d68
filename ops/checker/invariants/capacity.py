"""3: load never exceeds capacity."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ops.checker.history import Key
from ops.checker.story import Story, Told, steps
from ops.checker.stretches import Stretch, slots
from ops.checker.verdict import Verdict
from shared.contracts.chats import ChatAssigned, ChatClosed, ChatOffered, ChatPendingUnmarked, ChatTransferred

_NAME = "load never above capacity"


def capacity(story: Story) -> Verdict:
    """Judge every assignment and offer by the load it told of, and by the slots surely taken meanwhile.

    Who accepts an offer has had its slot since it was made.
    """
    held: dict[Key, list[Stretch]] = defaultdict(list)
    for stretch in slots(story):
        held[stretch.what].append(stretch)
    given = [
        told
        for facts in story.facts.values()
        for told in facts
        if isinstance(told.event.data, ChatAssigned | ChatOffered) and not _had_its_slot(told)
    ]
    broken = [*_told_too_much(story, given), *_held_too_many(story, held), *_miscounted(story)]
    return Verdict(3, _NAME, len(given), broken)


def _told_too_much(story: Story, given: Iterable[Told]) -> Iterator[str]:
    for told in given:
        fact = told.event.data
        agent_id = fact.to if isinstance(fact, ChatOffered) else fact.agent_id
        most = _most(story, (told.tenant_id, agent_id), told)
        if fact.agent_load is None or not 1 <= fact.agent_load <= most:
            yield f"chat {fact.chat_id} made the load of {agent_id} {fact.agent_load}, of {most}"


def _most(story: Story, agent: Key, told: Told) -> int:
    """Return the greatest capacity that routing may have gone by when it told this."""
    return max(
        (
            document.event.data.capacity
            for document, newer in steps(story.agent_documents.get(agent, ()))
            if document.event.time <= told.record.written_at
            and not (newer is not None and story.surely_read("routing", newer.record, told.event.time))
        ),
        default=0,
    )


def _held_too_many(story: Story, held: dict[Key, list[Stretch]]) -> Iterator[str]:
    """Count the chats an agent surely held at once, whatever the events say of their load.

    A pending chat that woke, and an offer that was accepted, may exceed the capacity and are left out; so
    are chats from before a capacity was lowered, for only what is new is judged. A wrap-up is nothing new:
    it is counted for what comes while it lasts.
    """
    for agent, stretches in held.items():
        counted = [one for one in stretches if one.surely and not _theirs_before(one)]
        moments = sorted(
            [(one.surely.start, 1, one) for one in counted] + [(one.surely.end, 0, one) for one in counted],
            key=lambda moment: moment[:2],
        )
        load = 0
        for _, begins, stretch in moments:
            load += 1 if begins else -1
            new = begins and not isinstance(stretch.began.event.data, ChatClosed)
            if new and load > (most := _most(story, agent, stretch.began)):
                yield f"{agent[1]} held {load} chats of {most} when chat {stretch.chat[1]} came"


def _theirs_before(stretch: Stretch) -> bool:
    return _had_its_slot(stretch.began) or isinstance(stretch.began.event.data, ChatPendingUnmarked)


def _had_its_slot(told: Told) -> bool:
    match told.event.data:
        case ChatTransferred() | ChatAssigned(reason="accepted"):
            return True
        case _:
            return False


def _miscounted(story: Story) -> Iterator[str]:
    """In the end the load that routing keeps is what it keeps for the agent: held, offered, wrapped up."""
    counted: dict[Key, int] = defaultdict(int)
    for (tenant_id, _), chat in story.history.databases.chats.items():
        if chat.state == "assigned" and chat.agent_id is not None:
            counted[(tenant_id, chat.agent_id)] += 1
        if chat.offered_to is not None:
            counted[(tenant_id, chat.offered_to)] += 1
        if chat.wrapped_up_by is not None:
            counted[(tenant_id, chat.wrapped_up_by)] += 1
    for agent, load in story.history.databases.loads.items():
        if load != counted[agent]:
            yield f"{agent[1]} is kept with a load of {load} and has {counted[agent]} slots taken by chats"
