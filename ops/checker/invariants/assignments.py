"""2: a chat has at most one agent, who was online and a member when they got it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ops.checker.history import Key
from ops.checker.replaying import unfounded
from ops.checker.skills import NONE, asked_for
from ops.checker.story import Story, Told, steps
from ops.checker.verdict import Verdict
from shared.contracts.chat_commands import ChatAssign, ChatHandOver
from shared.contracts.chats import ChatAssigned, ChatOffered, ChatTransferred
from shared.contracts.directory import AgentDocument

_NAME = "one agent a chat, online and a member when assigned"
_GIVES = (ChatAssigned, ChatTransferred)
_VERSION = 4
"""The place of the version of an agent's state in what is recorded of a candidate."""


def assignments(story: Story) -> Verdict:
    """Judge every assignment by what was told of its agent, and every other fact for leaving the agent be."""
    given = [told for facts in story.facts.values() for told in facts if isinstance(told.event.data, _GIVES)]
    broken = [
        *_changed_hands_silently(story),
        *_not_online(story, given),
        *_not_a_member(story, given),
        *_lacking(story),
        *_went_back(given),
        *unfounded(story),
    ]
    return Verdict(2, _NAME, len(given), broken)


def _changed_hands_silently(story: Story) -> Iterator[str]:
    """Between two assignments the agent of a chat stays, or the chat has none."""
    for (_, chat_id), facts in story.facts.items():
        for before, after in steps(facts):
            if after is None:
                continue
            was, now = before.event.data, after.event.data
            gives = isinstance(now, _GIVES)
            if now.agent_id is not None and now.agent_id != was.agent_id and not gives:
                yield f"chat {chat_id} went to {now.agent_id} with {after.event.type}, version {now.version}"
            if now.state == "assigned" and now.agent_id is None:
                yield f"chat {chat_id} is assigned to nobody at version {now.version}"
            if now.assignment_version != was.assignment_version + gives:
                yield f"chat {chat_id} counts its assignments wrongly at version {now.version}"


def _assigning_commands(story: Story) -> set[Key]:
    return {
        (told.tenant_id, told.event.id)
        for told in story.told("chat-commands.v1")
        if (isinstance(told.event.data, ChatAssign) and told.event.data.agent_id is not None)
        or (isinstance(told.event.data, ChatHandOver) and told.event.data.to_agent_id is not None)
    }


def _offered_by_name(story: Story) -> set[str]:
    """Return the transfers to whoever was named, regardless of department."""
    found = set()
    for facts in story.facts.values():
        into: str | None = None
        for told in facts:
            match told.event.data:
                case ChatOffered() as offered:
                    into = offered.to_department_id
                case ChatTransferred() if into is None:
                    found.add(told.event.id)
                case _:
                    pass
    return found


def _presence_version(told: Told) -> int | None:
    """Return the version of the agent's state that the decision says it went by."""
    fact = told.event.data
    why = fact.why or {}
    # Whoever had the pair's last chat comes before the strategy, which may have ranked them too low to name.
    last_agent = why.get("last_agent", {}).get("candidate")
    named = (*filter(None, [why.get("receiver"), last_agent]), *why.get("shortlist", ()))
    chosen = [one for one in named if one[0] == fact.agent_id]
    return int(chosen[0][_VERSION]) if chosen else None


def _not_online(story: Story, given: Iterable[Told]) -> Iterator[str]:
    for told in given:
        fact = told.event.data
        who = f"chat {fact.chat_id} went to {fact.agent_id}"
        version = _presence_version(told)
        states = story.agents.get((told.tenant_id, fact.agent_id), {})
        if version is None or version not in states:
            yield f"{who} by no state that presence ever told (version {version})"
            continue
        state = states[version].event.data
        if state.state != "online" or state.draining:
            yield f"{who}, who was {'draining' if state.draining else state.state} (version {version})"
        newer = states.get(version + 1)
        if newer is not None and story.surely_read("routing", newer.record, told.event.time):
            yield f"{who} by version {version} of their state, though version {version + 1} had been read"


def _not_a_member(story: Story, given: Iterable[Told]) -> Iterator[str]:
    by_hand = _assigning_commands(story)
    named = _offered_by_name(story)
    for told in given:
        fact = told.event.data
        if (told.tenant_id, told.event.causation_id or "") in by_hand or told.event.id in named:
            continue
        documents = _documents_in_force(story, told, (told.tenant_id, fact.agent_id))
        if not any(fact.department_id in one.departments for one in documents if not one.retired):
            yield f"chat {fact.chat_id} of {fact.department_id} went to {fact.agent_id}, who is no member"


def _lacking(story: Story) -> Iterator[str]:
    """Whoever was chosen has the skills that the chat holds to, and none that it asks for is forgotten."""
    asked = asked_for(story)
    for chat, facts in story.facts.items():
        for told in facts:
            fact = told.event.data
            if not isinstance(fact, ChatAssigned | ChatOffered) or "strategy" not in (why := fact.why or {}):
                continue
            recorded = why.get("skills", {})
            if set(recorded.get("asked", ())) != asked.get(chat, NONE):
                yield f"chat {fact.chat_id}, version {fact.version}, was not placed by the skills it asks for"
            if not recorded.get("held_to"):
                continue
            chosen = fact.to if isinstance(fact, ChatOffered) else fact.agent_id
            documents = _documents_in_force(story, told, (told.tenant_id, chosen or ""))
            if not any(set(recorded["asked"]) <= set(one.skills) for one in documents):
                yield f"chat {fact.chat_id} went to {chosen}, who lacks a skill that it asks for"


def _documents_in_force(story: Story, told: Told, agent: Key) -> Iterator[AgentDocument]:
    """Yield each revision that routing may have gone by."""
    for document, newer in steps(story.agent_documents.get(agent, ())):
        published = document.event.time <= told.record.written_at
        replaced = newer is not None and story.surely_read("routing", newer.record, told.event.time)
        if published and not replaced:
            yield document.event.data


def _went_back(given: Iterable[Told]) -> Iterator[str]:
    """A decision that surely came later goes by no older state of the agent."""
    by_agent: dict[Key, list[Told]] = defaultdict(list)
    for told in given:
        by_agent[(told.tenant_id, told.event.data.agent_id)].append(told)
    for (_, agent_id), decisions in by_agent.items():
        written = iter(sorted(decisions, key=lambda one: one.record.written_at))
        done, newest = next(written, None), 0
        for told in sorted(decisions, key=lambda one: one.event.time):
            while done is not None and done.record.written_at < told.event.time:
                newest = max(newest, _presence_version(done) or 0)
                done = next(written, None)
            if (_presence_version(told) or 0) < newest:
                yield f"chat {told.event.data.chat_id} went to {agent_id} by an older state than before"
