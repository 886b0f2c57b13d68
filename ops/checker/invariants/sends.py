"""6: each send request reaches the provider at most once or is in doubt; none is dropped; pairs in order."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from ops.checker.history import Call, Key, Record
from ops.checker.story import Story
from ops.checker.verdict import Verdict

_NAME = "each send at most once or in doubt, none dropped, in order"
_HAS_IT = frozenset({"accepted", "sent", "delivered", "read", "played", "in_doubt", "unknown", "failed"})
"""What may be told of a message that the provider has: a receipt can say that it failed later."""


def sends(story: Story) -> Verdict:
    """Judge every request by the provider's log and by what was told of it."""
    calls: dict[Key, list[Call]] = defaultdict(list)
    for call in story.history.calls:
        calls[call.request].append(call)
    broken = [
        *_from_nowhere(story, calls),
        *_twice(calls),
        *_dropped(story, calls),
        *_left_out_of_order(story, calls),
    ]
    return Verdict(6, _NAME, len(story.requests), broken)


def _from_nowhere(story: Story, calls: Mapping[Key, list[Call]]) -> Iterator[str]:
    for request in calls.keys() - story.requests.keys():
        yield f"the provider got {request[1]}, which nobody asked to send"


def _twice(calls: Mapping[Key, list[Call]]) -> Iterator[str]:
    """Only what the provider surely turned down may be tried again."""
    for request, tries in calls.items():
        if (taken := sum(call.taken for call in tries)) > 1:
            yield f"the provider took {request[1]} {taken} times"
        for call in tries[:-1]:
            if call.taken or call.answer != "declined":
                yield f"{request[1]} was sent again after an answer that was {call.answer}"
                break


def _dropped(story: Story, calls: Mapping[Key, list[Call]]) -> Iterator[str]:
    """Every request has an end that was told, and the rows in the database agree."""
    parked = {
        (one.topic, one.partition, one.offset) for one in story.history.databases.books["outbound"].parked
    }
    for request, told in story.requests.items():
        states = {one.event.type.split(".")[2] for one in story.deliveries.get(request, ())}
        kept = story.history.databases.sends.get(request)
        record = told.record
        if (record.topic, record.partition, record.offset) in parked:
            continue
        if not states:
            yield f"nothing was told of {request[1]} ({record.where})"
        elif kept is None or kept in {"queued", "sending"}:
            yield f"{request[1]} is kept as {kept} in the end"
        if any(call.taken for call in calls.get(request, ())) and not states & _HAS_IT:
            yield f"the provider took {request[1]}, which was told as {', '.join(sorted(states))}"


def _left_out_of_order(story: Story, calls: Mapping[Key, list[Call]]) -> Iterator[str]:
    """Messages to one pair leave in the order of their requests' partition."""
    latest: dict[tuple[str, int], Record] = {}
    left = sorted(
        (tries[-1].at, request)
        for request, tries in calls.items()
        if tries[-1].taken and request in story.requests and not _was_in_doubt(story, request)
    )
    for _, request in left:
        told = story.requests[request]
        lane = (told.event.pair_key or "", told.record.partition)
        if (before := latest.get(lane)) is not None and before.offset > told.record.offset:
            yield f"{request[1]} ({told.record.where}) left after {before.where} of its pair"
        latest[lane] = told.record


def _was_in_doubt(story: Story, request: Key) -> bool:
    return any(told.event.type.endswith("in_doubt.v1") for told in story.deliveries.get(request, ()))
