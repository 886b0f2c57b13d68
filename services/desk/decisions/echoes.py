"""The documents as said on their topic, and what reading them back calls for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.desk.model import DocumentKey, Stored
from shared.contracts import catalogue
from shared.contracts.directory import DirectoryDocument
from shared.contracts.event import Cause, Event, Model, derived_id
from shared.contracts.keys import joined
from shared.platform.outcome import End

SOURCE = "desk"
TOPIC = "directory.v1"


@dataclass(slots=True)
class Folded:
    """What a batch of one's own documents, read back, changes and calls for."""

    adopted: dict[DocumentKey, DirectoryDocument] = field(default_factory=dict)
    """Newer than what is stored, as after a restore from a backup: the topic knows better."""
    echoed: dict[DocumentKey, int] = field(default_factory=dict)
    """The newest revision read back."""
    asserted: list[Event[Model]] = field(default_factory=list)
    """Said again: a late repeat of an older revision may be the last that the topic keeps of its key."""
    ended: list[DocumentKey] = field(default_factory=list)
    """Removed, and read back once more: the topic is to forget them again."""


def fold(
    events: Sequence[tuple[Event[Model], DirectoryDocument]],
    stored: Mapping[DocumentKey, Stored],
    now: datetime,
) -> Folded:
    """Judge every document that was read back, key by key; each key's are in the order of its topic."""
    read: dict[DocumentKey, list[tuple[Event[Model], DirectoryDocument]]] = {}
    for event, document in events:
        read.setdefault(DocumentKey.of(event.tenant_id, document), []).append((event, document))
    folded = Folded()
    for key, found in read.items():
        _judge(key, found, stored.get(key), folded, now)
    return folded


def _judge(
    key: DocumentKey,
    found: Sequence[tuple[Event[Model], DirectoryDocument]],
    stored: Stored | None,
    folded: Folded,
    now: datetime,
) -> None:
    last_event, last = found[-1]
    newest = max((document for _, document in found), key=lambda document: document.revision)
    echoed = max(newest.revision, stored.echoed_revision if stored else 0)
    folded.echoed[key] = echoed
    if stored is not None and stored.removed and newest.revision <= stored.revision:
        folded.ended.append(key)
        return
    current = stored.document if stored else newest
    if stored is None or newest.revision > stored.revision:
        current = folded.adopted[key] = newest
    if last.revision < echoed:
        folded.asserted.append(said(last_event.as_cause(), key, current, now))


def end(key: DocumentKey) -> End:
    """Return the end of a document on its topic."""
    return End(TOPIC, joined(key.tenant_id, key.kind, key.id))


def edited(key: DocumentKey, document: DirectoryDocument, now: datetime) -> Event[Model]:
    """Return the event of an edit. Its id follows from what was written, as nothing else caused it."""
    content = document.model_dump_json(by_alias=True)
    cause = Cause(key.tenant_id, derived_id(SOURCE, key.kind, key.id, content))
    return said(cause, key, document, now)


def said(cause: Cause, key: DocumentKey, document: DirectoryDocument, now: datetime) -> Event[Model]:
    """Return the event that tells a document, whole."""
    return catalogue.fact(cause, document, source=SOURCE, subject=f"{key.kind}:{key.id}", time=now)
