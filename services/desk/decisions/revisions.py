"""Compare-and-set on a document's revision. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from services.desk.model import (
    Conflict,
    Conflicted,
    DocumentKey,
    Edit,
    Plan,
    Stored,
    Unchanged,
    Verdict,
    Write,
    is_same,
)
from shared.contracts.directory import DirectoryDocument


def plan(tenant_id: str, wanted: Sequence[DirectoryDocument], stored: Mapping[DocumentKey, Stored]) -> Plan:
    """Set every wanted document beside the one that is stored."""
    keys = [DocumentKey.of(tenant_id, document) for document in wanted]
    stored = {key: one for key, one in stored.items() if not one.removed}
    return Plan(
        tenant_id,
        tuple(
            Edit(key, document, stored[key].document if key in stored else None)
            for key, document in zip(keys, wanted, strict=True)
        ),
        tuple(sorted(stored.keys() - set(keys))),
    )


def compare_and_set(edit: Edit, stored: Stored | None) -> Verdict:
    """An edit stands upon the revision its author saw; a document that is as wanted needs none.

    One that was removed is not there, but its revisions count on: who read them has to take the new one.
    """
    there = None if stored is None or stored.removed else stored
    revision = there.revision if there else 0
    if there is not None and is_same(edit.wanted, there.document):
        return Unchanged()
    if revision != edit.expected_revision:
        return Conflict(edit.key, edit.expected_revision, revision)
    last = stored.revision if stored else 0
    return Write(edit.wanted.model_copy(update={"revision": last + 1}))


def settle(
    edits: Iterable[Edit], stored: Mapping[DocumentKey, Stored]
) -> tuple[DirectoryDocument, ...] | Conflicted:
    """Return the documents to write, or every conflict: a set is applied whole or not at all."""
    verdicts = [compare_and_set(edit, stored.get(edit.key)) for edit in edits]
    conflicts = tuple(verdict for verdict in verdicts if isinstance(verdict, Conflict))
    if conflicts:
        return Conflicted(conflicts)
    return tuple(verdict.document for verdict in verdicts if isinstance(verdict, Write))
