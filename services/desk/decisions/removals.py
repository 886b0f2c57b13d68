"""The second step of a removal: whether a retired document may leave its topic for good. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.desk.decisions import coherence
from services.desk.model import DocumentKey, Kept, Removed, Stored
from shared.contracts.directory import DirectoryDocument
from shared.contracts.topics import RETENTION_DAYS

STAYS_RETIRED = timedelta(days=RETENTION_DAYS)
"""As long as any topic holds records that may name it, a service that starts anew has to know it."""


def remove(key: DocumentKey, stored: Mapping[DocumentKey, Stored], now: datetime) -> Removed | Kept:
    """Judge a removal beside all the tenant's documents. What is removed already may be removed again."""
    found = stored.get(key)
    if found is None:
        there = ", ".join(sorted(one.id for one in stored if one.kind == key.kind)) or "none"
        return Kept((f"is not there; there is {there}",))
    if found.removed:
        return Removed(key, is_new=False)
    if found.retired_at is None:
        return Kept(("is not retired: say `retired: true` of it and apply first",))
    reasons = [f"is still named by {named}" for named in _named_by(key, stored)]
    if now < (possible := found.retired_at + STAYS_RETIRED):
        reasons.append(
            f"was retired at {found.retired_at:%Y-%m-%d %H:%M} UTC and has to stay {STAYS_RETIRED.days} days,"
            f" until {possible:%Y-%m-%d %H:%M}: so long topics hold records that may name it"
        )
    return Kept(tuple(reasons)) if reasons else Removed(key, is_new=True)


def _named_by(key: DocumentKey, stored: Mapping[DocumentKey, Stored]) -> list[str]:
    """Return what would fit together were it still in use, and does not without it."""
    there = {one: found.document for one, found in stored.items() if not found.removed}
    without = {one: document for one, document in there.items() if one != key}
    there[key] = there[key].model_copy(update={"retired": False, "move_to": None})
    return [
        f"{one.kind} {one.id} ({'.'.join(map(str, path))})"
        for one, path in sorted(_mistakes(key, without) - _mistakes(key, there))
    ]


def _mistakes(
    key: DocumentKey, documents: Mapping[DocumentKey, DirectoryDocument]
) -> set[tuple[DocumentKey, tuple[str | int, ...]]]:
    keys = list(documents)
    found = coherence.problems(key.tenant_id, [*documents.values()], ())
    return {(keys[problem.nth], problem.path) for problem in found if problem.nth is not None}
