"""9: nobody is stuck: not in a queue beside an available agent, not with an agent who is gone."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from ops.checker.absences import Absences
from ops.checker.history import Key
from ops.checker.skills import NONE, asked_for, phases
from ops.checker.story import Story, steps
from ops.checker.stretches import Span, Stretch, queued, slots, unanswered
from ops.checker.verdict import Verdict

PATIENCE = timedelta(seconds=2)
"""How long after everything was read somebody may still wait in vain."""
Free = tuple[datetime, datetime, str, tuple[str, ...]]
"""When somebody was free: until, from, who, and what they can do."""
_NAME = "nobody waits beside a free agent, or with one who is gone"


def nobody_stuck(story: Story) -> Verdict:
    """Judge every wait in a queue and every unanswered chat, while inputs are caught up."""
    waits = list(queued(story))
    left_alone = list(unanswered(story))
    broken = [*_beside_available(story, waits), *_with_the_gone(story, left_alone)]
    return Verdict(9, _NAME, len(waits) + len(left_alone), broken)


def _beside_available(story: Story, waits: Iterable[Stretch]) -> Iterator[str]:
    free = _free_in_departments(story)
    parked = {one.key for one in story.history.databases.books["routing"].parked if one.blocks_key}
    asked = asked_for(story)
    for wait in waits:
        if not wait.surely or wait.began.event.pair_key in parked:
            continue
        for waited, skills in phases(story, wait, asked.get(wait.chat, NONE)):
            if (beside := _beside(story, waited, skills, free.get(wait.what, []))) is not None:
                lasted, agent_id = beside
                yield f"chat {wait.chat[1]} waited {lasted} beside {agent_id}, who had a slot"
                break


def _beside(
    story: Story, waited: Span, skills: frozenset[str], free: Sequence[Free]
) -> tuple[timedelta, str] | None:
    """Return how long somebody with these skills was free for a chat, and who; None: nobody was."""
    # They are sorted by their ends: the first that ends after the wait begins, and on.
    for end, start, agent_id, can in free[bisect_left(free, (waited.start, waited.start, "", ())) :]:
        if start >= waited.end or not skills.issubset(can):
            continue
        both = waited.within(Span(start, end))
        if _in_vain(story, both):
            return both.end - both.start, agent_id
    return None


def _in_vain(story: Story, span: Span) -> bool:
    """Say whether it lasted longer than it may after routing had read all that began it."""
    if span.end - span.start <= PATIENCE:
        return False
    caught_up = story.caught_up_at("routing", span.start)
    return caught_up is not None and span.end > max(caught_up, span.start) + PATIENCE


def _free_in_departments(story: Story) -> dict[Key, list[Free]]:
    """Return when each department had a member who surely was available, sorted.

    Only spans longer than the patience are of interest.
    """
    found: dict[Key, list[Free]] = defaultdict(list)
    held: dict[Key, list[Stretch]] = defaultdict(list)
    for stretch in slots(story):
        held[stretch.what].append(stretch)
    for agent, documents in story.agent_documents.items():
        for document, newer in steps(documents):
            data = document.event.data
            end = newer.event.time if newer else story.history.taken_at
            in_force = Span(document.record.written_at, end)
            for online in _online(story, agent):
                for slot in _with_a_slot(held[agent], data.capacity, online.within(in_force)):
                    if slot.end - slot.start > PATIENCE and not data.retired:
                        for department in data.departments:
                            free = (slot.end, slot.start, agent[1], data.skills)
                            found[(agent[0], department)].append(free)
    return {department: sorted(spans) for department, spans in found.items()}


def _online(story: Story, agent: Key) -> Iterator[Span]:
    """Yield when the agent surely was online and not draining, as presence told it."""
    for state, newer in steps(list(story.agents.get(agent, {}).values())):
        if state.event.data.state == "online" and not state.event.data.draining:
            end = newer.event.time if newer else story.history.taken_at
            yield Span(state.record.written_at, end)


def _with_a_slot(held: Iterable[Stretch], capacity: int, span: Span) -> Iterator[Span]:
    """Yield when the agent held fewer chats than they may, counting each as long as it may have lasted."""
    if not span:
        return
    moments = [(span.start, 0), (span.end, 0)]
    for stretch in held:
        both = stretch.at_most.within(span)
        if both:
            moments += [(both.start, 1), (both.end, -1)]
    load, since = 0, span.start
    for at, change in sorted(moments):
        if change and load < capacity <= load + change and at > since:
            yield Span(since, at)
        load += change
        if change < 0 and load == capacity - 1:
            since = at
    if load < capacity:
        yield Span(since, span.end)


def _with_the_gone(story: Story, left_alone: Iterable[Stretch]) -> Iterator[str]:
    absences = Absences(story)
    for stretch in left_alone:
        for absence in absences.of(stretch.what):
            both = stretch.surely.within(absence)
            if not both:
                continue
            judged_by = absences.judged_by(stretch.what, both.start)
            read = story.caught_up_at("routing", judged_by)
            if read is not None and both.end > read + PATIENCE:
                lasted = both.end - both.start
                yield f"chat {stretch.chat[1]} stayed {lasted} with {stretch.what[1]}, who was gone"
