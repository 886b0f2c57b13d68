"""8: what is told is committed, what is committed is told, in order and without gaps."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from ops.checker.history import Key, Record
from ops.checker.story import Story, Told
from ops.checker.verdict import Verdict
from shared.contracts.chats import ChatMessageAdded
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pairs import PairChanged

_NAME = "events are committed effects, all of them told, no gaps"


def effects(story: Story) -> Verdict:
    """Compare what each service told with the rows it kept."""
    rows = story.history.databases
    pairs = _pairs(story)
    standings = {key: list(told.values()) for key, told in story.agents.items()}
    broken = [
        *_gaps("chat", story.chats),
        *_gaps("ticket", story.tickets),
        *_unlike("chat", story.chats, {key: (row.version,) for key, row in rows.chats.items()}, _version),
        *_unlike("chat", story.facts, {k: (r.state, r.agent_id) for k, r in rows.chats.items()}, _holder),
        *_unlike("ticket", story.tickets, {k: (r.version, r.state) for k, r in rows.tickets.items()}, _stage),
        *_unlike("agent", standings, rows.standings, lambda one: (one.event.data.state, *_version(one))),
        *_unlike(
            "pair", pairs, {key: (version,) for key, version in rows.pairs.items() if version}, _version
        ),
        *_unlike("send", story.deliveries, {key: (state,) for key, state in rows.sends.items()}, _status),
        *_going_back("agent", standings),
        *_going_back("pair", pairs),
        *_replies_unlike_sends(story),
        *_told_differently(story),
        *_unreadable(story),
        *_untold(story),
    ]
    told = sum(map(len, (*story.chats.values(), *story.tickets.values(), *story.deliveries.values())))
    told += sum(map(len, (*standings.values(), *pairs.values())))
    return Verdict(8, _NAME, told, broken)


def _version(told: Told) -> tuple[int]:
    return (told.event.data.version,)


def _holder(told: Told) -> tuple[str, str | None]:
    return (told.event.data.state, told.event.data.agent_id)


def _stage(told: Told) -> tuple[int, str]:
    return (told.event.data.version, told.event.data.state)


def _status(told: Told) -> tuple[str]:
    return (told.event.type.split(".")[2],)


def _pairs(story: Story) -> dict[Key, list[Told]]:
    found: dict[Key, list[Told]] = {}
    for told in story.told("pairs.v1"):
        if isinstance(told.event.data, PairChanged):
            found.setdefault((told.tenant_id, told.event.pair_key or ""), []).append(told)
    return found


def _gaps(what: str, told: Mapping[Key, list[Told]]) -> Iterator[str]:
    """Versions are told as 1, 2, 3 and so on."""
    for (_, one_id), facts in told.items():
        versions = [one.event.data.version for one in facts]
        if versions != list(range(1, len(versions) + 1)):
            at = next(n for n, version in enumerate(versions, 1) if version != n)
            yield f"{what} {one_id} is told as version {versions[at - 1]} where {at} belongs"


def _going_back(what: str, told: Mapping[Key, list[Told]]) -> Iterator[str]:
    """A compacted topic may lose versions between, but its first occurrences only grow."""
    for (_, one_id), states in told.items():
        versions = [one.event.data.version for one in states]
        if versions != sorted(set(versions)):
            yield f"{what} {one_id} is told in versions {versions}"


def _unlike(
    what: str,
    told: Mapping[Key, list[Told]],
    rows: Mapping[Key, tuple[object, ...]],
    read: Callable[[Told], tuple[object, ...]],
) -> Iterator[str]:
    """What was told last is what is kept, and nothing is kept or told alone."""
    for key, facts in told.items():
        last = read(facts[-1])
        kept = rows.get(key)
        if kept is None:
            yield f"{what} {key[1]} is told, but not kept"
        elif kept != last:
            yield f"{what} {key[1]} is kept as {_words(kept)}, but told as {_words(last)}"
    for key in rows.keys() - told.keys():
        yield f"{what} {key[1]} is kept as {_words(rows[key])}, but never told"


def _words(values: Iterable[object]) -> str:
    return "/".join(str(value) for value in values)


def _replies_unlike_sends(story: Story) -> Iterator[str]:
    """Every reply within a chat was asked to be sent, and routing asked for nothing else."""
    replies = {
        (told.tenant_id, told.event.data.request_id)
        for told in story.told("chats.v1")
        if isinstance(told.event.data, ChatMessageAdded) and told.event.data.direction == "outbound"
    }
    asked = {
        key
        for key, told in story.requests.items()
        if told.event.source == "routing" and isinstance(told.event.data, MessageSend)
        if told.event.data.purpose == "chat"
    }
    for request in replies - asked:
        yield f"reply {request[1]} is in its chat, but was never asked to be sent"
    for request in asked - replies:
        yield f"{request[1]} was asked to be sent, but is in no chat"


def _told_differently(story: Story) -> Iterator[str]:
    """An event told twice is the same both times."""
    for topic, records in story.history.topics.items():
        first: dict[tuple[str, str, str], Record] = {}
        for record in records:
            if (event := record.event) is None:
                continue
            known = first.setdefault((event.tenant_id, event.source, event.id), record)
            if known.value != record.value and topic != "inbound-messages.v1":
                yield f"{event.id} is told differently at {known.where} and {record.where}"


def _unreadable(story: Story) -> Iterator[str]:
    """What nobody but our services says can be read by everybody."""
    ours = {"chats.v1", "tickets.v1", "deliveries.v1", "pairs.v1", "agents.v1", "senders.v1"}
    for topic, records in story.history.topics.items():
        if topic in ours or topic.endswith("dead-letters.v1"):
            for record in records:
                if record.problem is not None:
                    yield f"{record.where} is no event ({record.problem})"


def _untold(story: Story) -> Iterator[str]:
    for service, books in story.history.databases.books.items():
        if books.unsent:
            yield f"{books.unsent} events of {service} wait in its outbox"
