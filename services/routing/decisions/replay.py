"""A decision taken again from what it recorded (`placement.rested_on`), by the very rules that took it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any, assert_never, cast

from services.routing.decisions.calendars import is_open
from services.routing.decisions.choice import NO_SKILLS, Candidate, Choice, Verdict, candidate, choose
from services.routing.decisions.commands import judge_named
from services.routing.decisions.placement import (
    Assign,
    Divert,
    Hold,
    Placement,
    Queue,
    place,
    prefer,
    refused,
    rested_on,
)
from services.routing.decisions.skills import held_to
from services.routing.model import Agent, Calendar, Closing, Department, Hours
from shared.contracts import chats

_STATES = {Verdict.AWAY: "away", Verdict.OFFLINE: "offline"}
_ALWAYS = ((Hours(time(0), time(0)),),) * 7
_NEVER: tuple[tuple[Hours, ...], ...] = ((),) * 7
_BESIDE = frozenset({"silent", "passed_by", "fallbacks", "receiver", "has_slot", "wrap_up_of"})
"""What a record may hold beside the inputs of a placement."""

_DECISIONS = (
    chats.ChatAssigned,
    chats.ChatQueued,
    chats.ChatRequeued,
    chats.ChatDiverted,
    chats.ChatOffered,
    chats.ChatTransferred,
)

_WAITS = (chats.ChatQueued, chats.ChatRequeued)
_WAITED_FOR = ({"mode": "offer"}, {"verdict": "department_missing"})
"""The whole record of a wait for somebody who was found to be asked, and for a document."""

CalendarOf = Callable[[str, int], Calendar | None]
"""Returns a calendar of the tenant by its id and revision, None where it is not known any more."""


def unlike(fact: chats.ChatFact, at: datetime, calendar_of: CalendarOf) -> Iterator[str]:
    """Say in what a fact differs, exactly, from the decision that its recorded inputs lead to."""
    if (why := fact.why) is None:
        if isinstance(fact, _DECISIONS):
            yield "it records nothing that it rested on"
        return
    match why:
        case {"max_wait_seconds": _}:
            yield from _unlike_its_limit(fact, why, at)
        case {"ticket_saw_version": saw, "chat_version": version}:
            if not _is_divert(fact, "written_after_close") or not saw < version == fact.version - 1:
                yield "the ticket that was closed had seen its last word"
        case {"receiver": _}:
            yield from _unlike_by_hand(fact, why, at, calendar_of)
        case {"strategy": _}:
            yield from _unlike_its_placement(fact, why, at, calendar_of)
            yield from _unlike_its_extras(fact, why)
        case {"rule": _} if isinstance(fact, chats.ChatOpened):
            pass
        case _ if isinstance(fact, _WAITS) and why in _WAITED_FOR:
            pass
        case _:
            yield "it records nothing by which it can be taken again"
    yield from _unlike_its_fallbacks(why, at, calendar_of)


def _unlike_its_fallbacks(why: Mapping[str, Any], at: datetime, calendar_of: CalendarOf) -> Iterator[str]:
    """Each fallback that was asked in vain takes nobody, by its own record."""
    for asked in cast(Sequence[Mapping[str, Any]], why.get("fallbacks") or ()):
        found = replay(asked, at, _calendar(asked, calendar_of))
        if not _same(refused(found), _inputs(asked)):
            yield f"of a fallback its inputs come back as {_exactly(refused(found))}"


def _unlike_its_placement(
    fact: chats.ChatFact, why: Mapping[str, Any], at: datetime, calendar_of: CalendarOf
) -> Iterator[str]:
    """The department's rules lead to this outcome, and record just these inputs."""
    found = replay(why, at, _calendar(why, calendar_of))
    # Whoever was silent has had their time: the next is not asked, wherever the chat is.
    gift = chats.ChatOffered if why.get("mode") == "offer" and "silent" not in why else chats.ChatAssigned
    if (problem := _unlike_placement(found, fact, gift)) is not None:
        yield problem
    if not _same(found.why, _inputs(why)):
        yield f"its inputs come back as {_exactly(found.why)}"


def _unlike_its_limit(fact: chats.ChatFact, why: Mapping[str, Any], at: datetime) -> Iterator[str]:
    """A wait ends as a ticket, no earlier than its limit; later, where a timer was."""
    if not _is_divert(fact, "waited_too_long"):
        yield f"a wait that is over makes a ticket, waited_too_long, and no {type(fact).__name__}"
    limit = datetime.fromisoformat(why["since"]) + timedelta(seconds=why["max_wait_seconds"])
    if at < limit:
        yield f"it might have waited until {limit}"


def _unlike_by_hand(
    fact: chats.ChatFact, why: Mapping[str, Any], at: datetime, calendar_of: CalendarOf
) -> Iterator[str]:
    """Whoever was named got it, and could; of a department that is open, whoever its strategy put first."""
    given = _given(fact)
    if why["receiver"][0] != given:
        yield f"{given} got it, not {why['receiver'][0]}"
    receiver = _agent(why["receiver"], Department("", ""), NO_SKILLS)
    if not _same(candidate(receiver), why["receiver"]):
        yield f"the one named comes back as {_exactly(candidate(receiver))}"
    refusal = judge_named(receiver, None)
    if refusal is not None and not (refusal == "agent_full" and why.get("has_slot")):
        yield f"{given} is to be refused it: {refusal}"
    if "shortlist" in why:
        yield from _unlike_the_next(given, why, at, calendar_of)


def unlike_refusal(refused: chats.ChatCommandRefused) -> Iterator[str]:
    """Say in what a refusal differs from what follows from the recorded state of whoever was named."""
    if (why := refused.why) is None:
        return
    receiver = _agent(why["receiver"], Department("", ""), NO_SKILLS)
    if not _same(candidate(receiver), why["receiver"]):
        yield f"the one named comes back as {_exactly(candidate(receiver))}"
    if judge_named(receiver, None) != refused.reason:
        yield f"it is {judge_named(receiver, None) or 'allowed'}, told was {refused.reason}"


def _unlike_the_next(
    given: str | None, why: Mapping[str, Any], at: datetime, calendar_of: CalendarOf
) -> Iterator[str]:
    """The department is open, and its strategy puts this member first."""
    department, choice = _department(why), choice_of(why)
    if choice.agent is None or choice.agent.agent_id != given:
        yield f"the strategy does not choose {given}"
    calendar = _calendar_as_known(why, _calendar(why, calendar_of))
    opened = None if calendar is None else is_open(calendar, at)
    if opened is False or (calendar is None and department.calendar_id is not None):
        yield f"{department.department_id} is to refuse it: department_closed"
    turn = why.get("last_turn", "")
    again = rested_on(department, calendar, choice, opened=opened, turn=turn)
    if not _same(again, _inputs(why)):
        yield f"its inputs come back as {_exactly(again)}"


def _unlike_its_extras(fact: chats.ChatFact, why: Mapping[str, Any]) -> Iterator[str]:
    """Who was left out of a choice was, unless nobody else could be found; a kept slot is its agent's."""
    given, available = _given(fact), [one[0] for one in why["shortlist"] if one[1] == Verdict.AVAILABLE]
    named = {one[0] for one in why["shortlist"]}
    if "silent" in why:
        told = isinstance(fact, chats.ChatAssigned) and fact.reason == "agent_silent"
        if not told or fact.previous_agent_id != why["silent"][-1]:
            yield f"it is the chat of {why['silent'][-1]}, who was silent"
        if left := named & {*why["silent"]}:
            yield f"considered were {', '.join(sorted(left))}, who were silent"
    elif isinstance(fact, chats.ChatAssigned) and fact.reason == "agent_silent":
        yield "it does not record who was silent"
    passed = {*why.get("passed_by", ())}
    if named & passed and not passed.issuperset(available):
        yield f"{', '.join(sorted(named & passed))} passed on it while others could be asked"
    if "wrap_up_of" in why and not (why.get("last_agent", {}).get("preferred") and why["ahead"] == 0):
        yield f"{given} has no claim to the slot held for chat {why['wrap_up_of']}"


def _is_divert(fact: chats.ChatFact, reason: str) -> bool:
    return isinstance(fact, chats.ChatDiverted) and fact.reason == reason


def _given(fact: chats.ChatFact) -> str | None:
    return fact.to if isinstance(fact, chats.ChatOffered) else fact.agent_id


def _unlike_placement(found: Placement, fact: chats.ChatFact, gift: type[chats.ChatFact]) -> str | None:
    """Say what the fact should have told instead; ``gift`` tells that somebody was found."""
    match found:
        case Assign(agent):
            if isinstance(fact, gift) and _given(fact) == agent.agent_id:
                return None
            what = f"{gift.__name__} to {agent.agent_id}"
        case Queue() | Hold():
            if isinstance(fact, _WAITS):
                return None
            what = "left to wait"
        case Divert(reason, next_open_at):
            if isinstance(fact, chats.ChatDiverted) and (fact.reason, fact.next_open_at) == (
                reason,
                next_open_at,
            ):
                return None
            if isinstance(fact, chats.ChatMoved) and fact.reason == reason:
                return None
            what = f"diverted as {reason}, open again at {next_open_at}"
        case _:
            assert_never(found)
    return f"by its inputs it is {what}, told was {type(fact).__name__}"


def _inputs(why: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in why.items() if key not in _BESIDE}


def _calendar(why: Mapping[str, Any], calendar_of: CalendarOf) -> Calendar | None:
    named = why["calendar"]
    return None if named is None or named["revision"] is None else calendar_of(named["id"], named["revision"])


def _same(one: Any, other: Any) -> bool:
    return _exactly(one) == _exactly(other)


def _exactly(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def replay(why: Mapping[str, Any], at: datetime, calendar: Calendar | None = None) -> Placement:
    """Place a chat by these inputs, as of ``at``; ``why`` of the answer is equal to them but for extras.

    ``calendar`` is the recorded revision of it. Without it the recorded verdict counts, and no moment at
    which the department opens or closes can be told. Raises KeyError for what is no record of a placement.
    """
    department = _department(why)
    choice = choice_of(why)
    calendar = _calendar_as_known(why, calendar)
    turn = why.get("last_turn", "")
    found = place(department, calendar, choice, ahead=why["ahead"], now=at, turn=turn)
    if (last_agent := why.get("last_agent")) is None or not isinstance(found, Assign):
        return found
    closing = Closing("", None, datetime.fromisoformat(last_agent["closed_at"]))
    before = _agent(last_agent["candidate"], department, held_to(why))
    return prefer(found, before, closing, department, at)


def _calendar_as_known(why: Mapping[str, Any], calendar: Calendar | None) -> Calendar | None:
    """Return the calendar of a record, or one of the recorded verdict; None where there was none to ask."""
    known = why["calendar"]
    if known is None or known["revision"] is None:
        return None
    return calendar or Calendar("UTC", _ALWAYS if known["open"] else _NEVER, revision=known["revision"])


def choice_of(why: Mapping[str, Any]) -> Choice:
    """Choose among the recorded candidates. How many there were beside them is as recorded."""
    department = _department(why)
    skills = held_to(why)
    agents = [_agent(one, department, skills) for one in why["shortlist"]]
    chosen = choose(agents, department.strategy, why.get("last_turn", ""), skills)
    return Choice(chosen.agent, chosen.shortlist, why["counts"], why.get("skills"))


def _department(why: Mapping[str, Any]) -> Department:
    calendar, last_agent = why["calendar"], why.get("last_agent")
    named = Department(
        "",
        why["department"]["id"],
        calendar_id=calendar and calendar["id"],
        when_full=why["when_full"],
        strategy=why["strategy"],
        mode=why.get("mode", "push"),
        revision=why["department"]["revision"],
    )
    if last_agent is None:
        return named
    within = timedelta(seconds=last_agent["within_seconds"])
    return replace(named, last_agent_within=within)


def _agent(recorded: Candidate, department: Department, skills: frozenset[str]) -> Agent:
    agent_id, found, load, capacity, presence_version, given = recorded
    return Agent(
        department.tenant_id,
        agent_id,
        capacity=capacity,
        departments=frozenset({department.department_id}),
        state=_STATES.get(Verdict(found), "online"),
        draining=found == Verdict.DRAINING,
        presence_version=presence_version,
        load=load,
        last_assigned_at=None if given is None else datetime.fromisoformat(given),
        skills=frozenset() if found == Verdict.LACKS_SKILL else skills,
    )
