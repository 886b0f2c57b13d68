"""5: no free-form WhatsApp message leaves while our ledger says that the window is closed."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from ops.checker.history import Call
from ops.checker.story import Story, Told
from ops.checker.verdict import Verdict
from shared.contracts.content import Reaction
from shared.contracts.deliveries import DeliveryFailed, DeliveryRefused
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.provider_events import CallReceived

WINDOW = timedelta(hours=24)
MARGIN = timedelta(seconds=10)
"""The window counts as closed so long before its 24 hours are over (docs/channels.md, 3)."""
ON_ITS_WAY = timedelta(seconds=5)
"""How long after the judgement a request may reach the provider: a busy machine, a new connection."""
CLOSED = frozenset({"131047", "63016", "131"})
"""The codes by which a provider says that the window is closed (docs/channels.md, 4)."""
_NAME = "nothing free-form outside the contact window"


def contact_window(story: Story) -> Verdict:
    """Judge every free-form call, every refusal for the window, and every contrary word of the provider."""
    words = _Words(story)
    calls = [call for call in story.history.calls if call.free_form and call.request in story.requests]
    refusals = [
        told
        for told in story.told("deliveries.v1")
        if isinstance(told.event.data, DeliveryRefused) and told.event.data.reason == "window_closed"
    ]
    contrary = [call for call in story.history.calls if call.code in CLOSED]
    broken = [
        *_sent_outside(story, words, calls),
        *_refused_inside(story, words, refusals, contrary),
        *_not_recorded_once(story, contrary),
        *_sent_again(story, words, calls, contrary),
    ]
    return Verdict(5, _NAME, len(calls) + len(refusals) + len(contrary), broken)


class _Words:
    """When each pair's customer spoke, and when that was published."""

    def __init__(self, story: Story) -> None:
        self._words: dict[str, list[tuple[datetime, datetime]]] = {}
        for told in (*story.told("inbound-messages.v1"), *story.told("provider-events.v1")):
            if (spoken_at := _spoken_at(told)) is not None:
                published = (told.record.written_at, spoken_at)
                self._words.setdefault(told.event.pair_key or "", []).append(published)
        self._latest = {pair: list(_latest(sorted(words))) for pair, words in self._words.items()}

    def last(self, pair_key: str, published_by: datetime) -> datetime | None:
        """Return the greatest time at which the customer spoke, by what was published by then."""
        known: Sequence[tuple[datetime, datetime]] = self._latest.get(pair_key, ())
        index = bisect_right(known, published_by, key=lambda word: word[0])
        return known[index - 1][1] if index else None

    def any_published(self, pair_key: str, after: datetime, by: datetime) -> bool:
        """Say whether a word of the customer was published in between."""
        return any(after < published <= by for published, _ in self._words.get(pair_key, ()))


def _spoken_at(told: Told) -> datetime | None:
    match told.event.data:
        case MessageReceived(channel="whatsapp") as message if not isinstance(message.content, Reaction):
            return min(message.sent_at, message.received_at)
        case CallReceived(channel="whatsapp") as call:
            return call.at
        case _:
            return None


def _latest(words: Iterable[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Late arrivals never lower it."""
    greatest: datetime | None = None
    for published, spoken in words:
        greatest = spoken if greatest is None else max(greatest, spoken)
        yield published, greatest


def _pair_of(story: Story, call: Call) -> str:
    return story.requests[call.request].event.pair_key or ""


def _sent_outside(story: Story, words: _Words, calls: Iterable[Call]) -> Iterator[str]:
    """By all that was published when the provider got it, the window was closed."""
    for call in calls:
        last = words.last(_pair_of(story, call), call.at)
        if last is None:
            yield f"request {call.request[1]} was sent free-form to a customer who never wrote"
        elif call.at > last + WINDOW - MARGIN + ON_ITS_WAY:
            yield f"request {call.request[1]} was sent free-form, {call.at - last} after the last word"


def _refused_inside(
    story: Story, words: _Words, refusals: Iterable[Told], contrary: Iterable[Call]
) -> Iterator[str]:
    """Refused although a message published before the request held the window open."""
    disproved = {_pair_of(story, call) for call in contrary if call.request in story.requests}
    for told in refusals:
        request = story.requests.get((told.tenant_id, told.event.data.request_id))
        if request is None or request.event.pair_key in disproved:
            continue
        last = words.last(request.event.pair_key or "", request.event.time)
        if last is not None and told.record.written_at < last + WINDOW - MARGIN:
            yield f"request {told.event.data.request_id} was refused, though the window was open"


def _not_recorded_once(story: Story, contrary: Iterable[Call]) -> Iterator[str]:
    counted = Counter(
        (told.tenant_id, told.event.data.request_id)
        for told in story.told("deliveries.v1")
        if isinstance(told.event.data, DeliveryFailed)
    )
    for call in contrary:
        if counted[call.request] != 1:
            yield f"the provider's no to {call.request[1]} is recorded {counted[call.request]} times"


def _sent_again(
    story: Story, words: _Words, calls: Iterable[Call], contrary: Iterable[Call]
) -> Iterator[str]:
    """After a provider's word nothing free-form goes to the pair until the customer writes again."""
    closed_at: dict[str, datetime] = {}
    for call in contrary:
        if call.request in story.requests:
            pair = _pair_of(story, call)
            closed_at[pair] = min(call.at, closed_at.get(pair, call.at))
    for call in calls:
        pair = _pair_of(story, call)
        closed = closed_at.get(pair)
        if closed is None or call.at <= closed + ON_ITS_WAY or call.code in CLOSED:
            continue
        if not words.any_published(pair, closed - ON_ITS_WAY, call.at):
            yield f"request {call.request[1]} was sent free-form after the provider had closed the window"
