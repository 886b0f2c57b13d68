"""What becomes of each record of a batch, as tables: no database, no Kafka."""

from dataclasses import dataclass, field

import pytest

from shared.contracts.catalogue import echoes_of
from shared.contracts.errors import Rejected
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import MessageRevoked
from shared.platform.pipeline import decode
from shared.platform.records import Decoded, Item, Record, Tombstone, Undecodable
from shared.platform.triage import Admission, Facts, Fate, triage
from tests.desk_events import a_message, agent_changed, an_event
from tests.pipeline.builders import ANN, BOB, a_note, a_record, a_send, pair_of
from tests.pipeline.counting import HANDLES

TICKET = "acme:ticket:ticket-1"


def an_item(said: Model | Event[Model]) -> Decoded:
    item = decode(a_record(said))
    assert isinstance(item, Decoded)
    return item


def a_message_item(message_id: str = "m1", customer: str = ANN) -> Decoded:
    return an_item(a_message(message_id=message_id, customer=customer))


def a_version(version: int, customer: str = ANN) -> Decoded:
    return an_item(a_note(version, customer=customer))


def an_unhandled(customer: str = ANN) -> Decoded:
    return an_item(
        MessageRevoked.model_validate(a_message(customer=customer).model_dump() | {"target": "m0"})
    )


def an_unhandled_version(version: int) -> Decoded:
    """Build a ticket's version whose type the service does not handle."""
    item = a_version(version)
    event = an_event(item.event.data)
    return Decoded(item.record, _as_tagged(event), item.key, item.digest, item.body, item.version)


def _as_tagged(event: Event[Model]) -> Event[Model]:
    return Event(
        event.id, event.source, "chatdesk.ticket.tagged.v1", "", event.time, event.tenant_id, data=event.data
    )


BROKEN = Undecodable(Record("inbound-messages.v1", 3, 14, None, b"{"), Rejected("broken_json", "at line 1"))
GONE = Tombstone(Record("agents.v1", 0, 1, b"acme:ann", None))
M1, M2, BOBS = a_message_item("m1"), a_message_item("m2"), a_message_item("m3", BOB)
V1, V2, V3, V4 = map(a_version, range(1, 5))
UNHANDLED, UNHANDLED_V2 = an_unhandled(), an_unhandled_version(2)
SEND, SAME_SEND, OTHER_SEND = an_item(a_send()), an_item(a_send()), an_item(a_send(said="another"))


@dataclass(frozen=True)
class Case:
    """A batch with what is known about it, and what becomes of it, record by record."""

    batch: list[Item]
    handled: list[Decoded]
    parked: list[tuple[str, bool]] = field(default_factory=list)
    repeats: int = 0
    seen: list[Decoded] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    conflicting: list[Decoded] = field(default_factory=list)


CASES = {
    "new events are handled in order": Case([M1, BOBS, M2], [M1, BOBS, M2]),
    "an event seen before is a repeat": Case([M1, M2], [M2], repeats=1, seen=[M1]),
    "the second of one batch is a repeat": Case([M1, M1, M2], [M1, M2], repeats=1),
    "a broken record is parked alone": Case([BROKEN, M1], [M1], [("broken_json", False)]),
    "a tombstone passes by": Case([GONE, M1], [M1]),
    "a type nobody handles passes by": Case([UNHANDLED, M1], [M1]),
    "an event behind a parked key is parked with it": Case(
        [M1, BOBS, M2], [BOBS], [("behind_parked", True)] * 2, blocked={pair_of(ANN)}
    ),
    "a type nobody handles passes by behind a parked key": Case([UNHANDLED], [], blocked={pair_of(ANN)}),
    "a repeat behind a parked key is only a repeat": Case(
        [M1], [], repeats=1, seen=[M1], blocked={pair_of(ANN)}
    ),
    "the next version is handled": Case([V2, V3], [V2, V3], versions={TICKET: 1}),
    "the first version read is taken as it comes": Case([V3, V4], [V3, V4]),
    "a gap parks its version and what follows": Case(
        [V2, V4, M1], [V2], [("version_gap", True), ("behind_parked", True)], versions={TICKET: 1}
    ),
    "a gap does not touch another key": Case(
        [V3, BOBS], [BOBS], [("version_gap", True)], versions={TICKET: 1}
    ),
    "an older version has no effect": Case([V1, V2, V3], [V3], versions={TICKET: 2}),
    "a version nobody handles still counts": Case([UNHANDLED_V2, V3], [V3], versions={TICKET: 1}),
    "a version nobody handles waits behind its key, so that replay finds no gap": Case(
        [UNHANDLED_V2], [], [("behind_parked", True)], blocked={pair_of(ANN)}, versions={TICKET: 1}
    ),
    "a send asked for again is a repeat": Case([SAME_SEND], [], repeats=1, seen=[SEND]),
    "a request id with another body is parked alone": Case(
        [OTHER_SEND, M1], [M1], [("request_id_conflict", False)], seen=[SEND], conflicting=[OTHER_SEND]
    ),
    "a request id with another body in one batch is parked alone": Case(
        [SEND, OTHER_SEND, SAME_SEND],
        [SEND],
        [("request_id_conflict", False)],
        repeats=1,
        conflicting=[OTHER_SEND],
    ),
    "an empty batch is nothing": Case([], []),
}


def sorted_out(case: Case) -> Fate:
    known = {item.digest for item in case.seen}
    digests = {item.digest for item in case.batch if isinstance(item, Decoded)}
    conflicting = frozenset(item.digest + (item.body or b"") for item in case.conflicting)
    facts = Facts(Admission(frozenset(digests - known), conflicting), case.blocked, case.versions)
    return triage(case.batch, frozenset(HANDLES), facts)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_fate(case: Case) -> None:
    fate = sorted_out(case)
    assert [one.event.id for one in fate.handle] == [item.event.id for item in case.handled]
    assert [(one.reason, one.blocks_key) for one in fate.park] == case.parked
    assert len(fate.repeats) == case.repeats


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_no_record_vanishes(case: Case) -> None:
    """Each is handled, parked, a repeat, or passes by: a tombstone, a type nobody handles, an old version."""
    fate = sorted_out(case)
    told = [one.record for one in fate.handle]
    told += [one.record for one in fate.park]
    told += [one.record for one in fate.repeats]
    passed = [item for item in case.batch if item.record not in told]
    for item in passed:
        old = isinstance(item, Decoded) and item.version is not None
        unhandled = isinstance(item, Decoded) and item.event.type not in HANDLES
        assert isinstance(item, Tombstone) or unhandled or old


def test_versions_are_remembered_up_to_the_gap() -> None:
    assert sorted_out(Case([V2, V4], [], versions={TICKET: 1})).versions == {TICKET: 2}


def test_record_parked_alone_is_told_by_its_partition() -> None:
    (parked,) = sorted_out(Case([BROKEN], [])).park
    assert (parked.key, parked.tenant_id) == ("inbound-messages.v1/3", "")


def test_a_repeat_of_what_a_service_reads_back_from_its_own_compacted_topic_is_handed_over() -> None:
    """It may be the last record of its key: only the owner can see that and say the newest again."""
    echo = an_item(agent_changed())
    known = Facts(Admission(), frozenset(), {})
    types = frozenset({echo.event.type})
    assert triage([echo, echo], types, known).handle == []
    assert len(triage([echo, echo], types, known, echoes_of("presence")).handle) == 2
    assert echoes_of("presence") == types
