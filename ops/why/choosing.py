"""Tells how a chat's department and agent were chosen, from what the decision recorded."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ops.why.naming import words

_STRATEGIES = {
    "least_loaded": "whoever holds the fewest chats",
    "round_robin": "each in turn",
    "longest_idle": "whoever has gone longest without a new chat",
}
_PARTS = 6
"""Of a recorded candidate: id, verdict, load, capacity, version of their state, last given a chat."""
_PASSED_OVER = {
    "lacks_skill": "passed over, lacks a skill",
    "full": "passed over, full",
    "draining": "passed over, finishing up",
    "away": "passed over, away",
    "offline": "passed over, offline",
}


def rule(why: Mapping[str, Any]) -> Iterator[str]:
    """Tell which rule chose the department."""
    if "rule" not in why:
        return
    revisions = why.get("rules")
    known = revisions.items() if isinstance(revisions, Mapping) else ()
    of = ", ".join(f"{name} as of its revision {revision}" for name, revision in known)
    if isinstance(why["rule"], int):
        yield f"by rule {why['rule'] + 1} of {of}"
    else:
        yield "to the first line" + (f", since no rule of {of} matches" if of else "")


def placement(why: Mapping[str, Any]) -> Iterator[str]:
    """Tell by what a chat was placed, and who was considered."""
    yield from _strategy(why)
    yield from _documents(why)
    if ahead := why.get("ahead"):
        yield f"{ahead} waited before it"
    if isinstance(asks := why.get("skills"), Mapping):
        yield _skills(asks)
    if why.get("last_turn"):
        yield f"{why['last_turn']} had the turn before"
    if why.get("wrap_up_of"):
        yield f"in the slot that was held to wrap up chat {why['wrap_up_of']}, so it overtakes nobody"
    named = why.get("receiver") or ()
    if _is_candidate(named) and "strategy" not in why:
        slot = "; one of these slots is for this chat" if why.get("has_slot") else ""
        yield f"named by hand: {_candidate(named)}{slot}"
    if isinstance(last := why.get("last_agent"), Mapping) and _is_candidate(last.get("candidate")):
        yield _last_agent(last)
    yield from _people(why)
    for asked in why.get("fallbacks") or ():
        if isinstance(asked, Mapping):
            yield f"fallback {_named(asked.get('department'))} was asked: {words(str(asked.get('verdict')))}"


def _strategy(why: Mapping[str, Any]) -> Iterator[str]:
    offers = why.get("mode") == "offer"
    if strategy := why.get("strategy"):
        chosen = _STRATEGIES.get(strategy, words(str(strategy)))
        yield f"the department {'offers' if offers else 'gives'} chats to {chosen} ({strategy})"
    elif offers:
        yield "the department offers chats: somebody is there, who is asked first"


def _skills(asks: Mapping[str, Any]) -> str:
    """Tell what a chat asks for, and whether that was held to."""
    told = f"the chat asks for {', '.join(map(str, asks.get('asked') or ()))}"
    if not asks.get("relaxed"):
        return f"{told}: held to while it waits for somebody with it"
    return told + (
        ": who has it came first" if asks.get("held_to") else ": nobody with it was free, anybody would do"
    )


def _documents(why: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(department := why.get("department"), Mapping):
        yield f"by department {_named(department)} as of its revision {department.get('revision')}"
    if isinstance(calendar := why.get("calendar"), Mapping):
        if calendar.get("revision") is None:
            yield f"calendar {_named(calendar)} had not arrived"
        else:
            verdict = {True: "open", False: "closed"}.get(calendar.get("open"), "not asked")  # type: ignore[arg-type]
            yield f"{verdict} by calendar {_named(calendar)} as of its revision {calendar['revision']}"


def _people(why: Mapping[str, Any]) -> Iterator[str]:
    shortlist = [one for one in why.get("shortlist") or () if _is_candidate(one)]
    for place, one in enumerate(shortlist, start=1):
        yield f"{place}. {_candidate(one)}"
    if counts := why.get("counts"):
        told = ", ".join(f"{count} {words(verdict)}" for verdict, count in counts.items())
        more = sum(counts.values()) - len(shortlist)
        yield f"of the members: {told}" + (f"; {more} of them are not named" if more > 0 else "")
    elif "counts" in why:
        yield "the department has no members"


def _candidate(one: Sequence[Any]) -> str:
    agent_id, verdict, load, capacity, _, given = one
    since = f"last given a chat at {given}" if given else "given none yet"
    passed = f"; {_PASSED_OVER[verdict]}" if verdict in _PASSED_OVER else ""
    return f"{agent_id}: {load} of {capacity} slots taken, {since}{passed}"


def _last_agent(last: Mapping[str, Any]) -> str:
    told = (
        f"had this customer's last chat, closed at {last.get('closed_at')}: {_candidate(last['candidate'])}"
    )
    if last.get("preferred"):
        return told
    late = last["candidate"][1] == "available"
    return told + (", but too long ago to be preferred" if late else "")


def _named(document: Any) -> str:
    return str(document.get("id")) if isinstance(document, Mapping) else str(document)


def _is_candidate(one: Any) -> bool:
    return isinstance(one, Sequence) and not isinstance(one, str) and len(one) == _PARTS
