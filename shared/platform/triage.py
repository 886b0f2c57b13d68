"""What becomes of each record of a batch, decided before any handler sees it. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from shared.platform.limit import BEHIND
from shared.platform.outcome import Received
from shared.platform.records import Decoded, Item, Parked, Record, Tombstone, Undecodable


@dataclass(frozen=True, slots=True)
class Admission:
    """Which of the offered events are new, and which bring a known request id with another body."""

    fresh: frozenset[bytes] = frozenset()
    conflicting: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the journal knows about a batch, read after its new events were claimed."""

    admission: Admission
    blocked: AbstractSet[str]
    versions: Mapping[str, int]


@dataclass(slots=True)
class Fate:
    """One batch, sorted by what becomes of its records. What is in no list passes by."""

    handle: list[Received] = field(default_factory=list)
    park: list[Parked] = field(default_factory=list)
    repeats: list[Decoded] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    closing: set[str] = field(default_factory=set)
    """Parked keys of which a missing version has come: their gap may be closed now."""


def triage(
    items: Sequence[Item], handles: frozenset[str], facts: Facts, repeatable: AbstractSet[str] = frozenset()
) -> Fate:
    """Sort a batch in order (docs/pipeline.md, 1 and 4).

    Undecodable records and reused request ids are parked alone. An event whose key is parked, or
    whose version leaves a gap, is parked with its key, so that nothing is folded over a hole.
    Repeats of ``repeatable`` types are handled: they do no harm, or are what a service listens for when
    it reads its own compacted topic back, since a late one may be the last record of its key.
    """
    fate = Fate()
    blocked = set(facts.blocked)
    taken: set[bytes] = set()
    for item in items:
        if isinstance(item, Undecodable):
            fate.park.append(_alone(item.record, item.error.reason, item.error.detail))
            continue
        if isinstance(item, Tombstone) or _passes_by(item, handles):
            continue
        if item.event.type in handles - repeatable and _is_repeat(item, facts.admission, taken):
            _repeat(item, facts.admission, fate)
        elif item.key in blocked:
            fate.park.append(_behind(item))
            if _closes_gap(item, facts, fate):
                fate.closing.add(item.key)
        elif (gap := _gap(item, facts, fate)) is not None:
            blocked.add(item.key)
            fate.park.append(gap)
        elif not _is_outdated(item, facts, fate):
            _accept(item, handles, fate)
        taken.add(item.digest)
    return fate


def _passes_by(item: Decoded, handles: frozenset[str]) -> bool:
    """What nobody handles here parks behind nothing, unless its version is needed to close a gap."""
    return item.event.type not in handles and item.version is None


def _is_repeat(item: Decoded, admission: Admission, taken: AbstractSet[bytes]) -> bool:
    return item.digest not in admission.fresh or item.digest in taken


def _repeat(item: Decoded, admission: Admission, fate: Fate) -> None:
    if item.body is not None and item.digest + item.body in admission.conflicting:
        detail = "this request id was used before for another message; use a new one"
        fate.park.append(_alone(item.record, "request_id_conflict", detail, item.event.tenant_id))
    else:
        fate.repeats.append(item)


def _last_version(subject: str, facts: Facts, fate: Fate) -> int | None:
    return fate.versions.get(subject, facts.versions.get(subject))


def _is_outdated(item: Decoded, facts: Facts, fate: Fate) -> bool:
    """A version at or below the last one is a duplicate, whatever its id."""
    if item.version is None:
        return False
    last = _last_version(item.version[0], facts, fate)
    return last is not None and item.version[1] <= last


def _closes_gap(item: Decoded, facts: Facts, fate: Fate) -> bool:
    if item.version is None:
        return False
    last = _last_version(item.version[0], facts, fate)
    return last is not None and item.version[1] == last + 1


def _gap(item: Decoded, facts: Facts, fate: Fate) -> Parked | None:
    """The first version read of a subject is taken as it comes: older ones may have expired."""
    if item.version is None:
        return None
    subject, version = item.version
    last = _last_version(subject, facts, fate)
    if last is None or version <= last + 1:
        return None
    detail = f"version {last + 1} of {subject} has not been read, this is version {version}"
    return _with_key(item, "version_gap", detail)


def _accept(item: Decoded, handles: frozenset[str], fate: Fate) -> None:
    if item.version is not None:
        fate.versions[item.version[0]] = item.version[1]
    if item.event.type in handles:
        fate.handle.append(Received(item.event, item.record))


def _behind(item: Decoded) -> Parked:
    return _with_key(item, BEHIND, "an earlier event of the same key is parked; this one waits behind it")


def _with_key(item: Decoded, reason: str, detail: str) -> Parked:
    return Parked(
        item.record,
        item.event.tenant_id,
        item.key,
        reason,
        detail,
        blocks_key=True,
        admitted=True,
        version=item.version,
    )


def _alone(record: Record, reason: str, detail: str, tenant_id: str = "") -> Parked:
    return Parked(record, tenant_id, f"{record.topic}/{record.partition}", reason, detail, blocks_key=False)
