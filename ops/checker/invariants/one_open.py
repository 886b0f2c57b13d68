"""4: per pair at most one live chat and at most one open ticket."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from ops.checker.history import Key
from ops.checker.story import Story, Told
from ops.checker.verdict import Verdict
from shared.contracts.chats import ChatFact
from shared.contracts.tickets import TicketFact

_NAME = "one open chat and one open ticket a pair"


def one_open(story: Story) -> Verdict:
    """Replay each pair's chats and tickets in order, and look at the rows that are left."""
    chats = [told for told in story.told("chats.v1") if isinstance(told.event.data, ChatFact)]
    tickets = [told for told in story.told("tickets.v1") if isinstance(told.event.data, TicketFact)]
    pairs = {told.event.pair_key for told in chats}
    rows = story.history.databases
    broken = [
        *_two_at_once("chat", chats, "chat_id"),
        *_two_at_once("ticket", tickets, "ticket_id"),
        *_two_rows("chat", ((key[0], row.pair_key, row.state) for key, row in rows.chats.items())),
        *_two_rows("ticket", ((key[0], row.pair_key, row.state) for key, row in rows.tickets.items())),
    ]
    return Verdict(4, _NAME, len(pairs), broken)


def _two_at_once(what: str, told: Iterable[Told], name: str) -> Iterator[str]:
    """A diverted chat is not live but open, and a pair has one open chat (docs/rules.md, 3)."""
    open_now: dict[Key, set[str]] = defaultdict(set)
    for one in told:
        one_id = getattr(one.event.data, name)
        found = open_now[(one.tenant_id, one.event.pair_key or "")]
        if one.event.data.state == "closed":
            found.discard(one_id)
        elif one_id not in found:
            found.add(one_id)
            if len(found) > 1:
                yield f"a pair has the open {what}s {', '.join(sorted(found))} at {one.record.where}"


def _two_rows(what: str, rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    counted = Counter((tenant_id, pair_key) for tenant_id, pair_key, state in rows if state != "closed")
    for (_, pair_key), count in counted.items():
        if count > 1:
            yield f"{count} open {what}s are kept for {pair_key}"
