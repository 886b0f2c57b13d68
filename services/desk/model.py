"""The documents people edit about a tenant, and what may become of an edit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

from shared.contracts.directory import (
    AgentDocument,
    CalendarDocument,
    ChannelDocument,
    DepartmentDocument,
    DirectoryDocument,
    RoutingRulesDocument,
    TemplateDocument,
    TenantDocument,
)

KINDS: Mapping[str, type[DirectoryDocument]] = MappingProxyType(
    {
        "tenant": TenantDocument,
        "calendar": CalendarDocument,
        "department": DepartmentDocument,
        "agent": AgentDocument,
        "channel": ChannelDocument,
        "template": TemplateDocument,
        "routing_rules": RoutingRulesDocument,
    }
)
"""Every kind of document by the word it has in keys, in the order people read them."""

_WORDS = {model: kind for kind, model in KINDS.items()}


@dataclass(frozen=True, slots=True, order=True)
class DocumentKey:
    """A document of a tenant. Its topic's key is ``tenant:kind:id``."""

    tenant_id: str
    kind: str
    id: str

    @classmethod
    def of(cls, tenant_id: str, document: DirectoryDocument) -> "DocumentKey":
        """Return the key of a tenant's document."""
        return cls(tenant_id, _WORDS[type(document)], document.id)


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it stands, and the newest revision of it that was read back from its topic."""

    document: DirectoryDocument
    echoed_revision: int = 0
    retired_at: datetime | None = None
    removed: bool = False
    """It is no longer on its topic; its revision counts on should somebody make it anew."""

    @property
    def revision(self) -> int:
        """How often the document was written."""
        return self.document.revision


def is_same(one: DirectoryDocument, other: DirectoryDocument) -> bool:
    """Tell whether two documents say the same, whatever their revisions."""
    return one == other.model_copy(update={"revision": one.revision})


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a set of documents: in which of them (by position), at which field."""

    nth: int | None
    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A business address that another tenant's channel document holds already."""

    channel: str
    business_address: str
    """Canonical."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A document that somebody wants, upon the revision they saw; ``before`` is what they saw."""

    key: DocumentKey
    wanted: DirectoryDocument
    before: DirectoryDocument | None

    @property
    def expected_revision(self) -> int:
        """The revision the edit stands upon, 0 for a document that was not there."""
        return self.before.revision if self.before else 0

    @property
    def changes(self) -> bool:
        """Whether what is wanted differs from what was seen."""
        return self.before is None or not is_same(self.wanted, self.before)


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a set of documents would do. ``untouched`` are stored and not in the set."""

    tenant_id: str
    edits: tuple[Edit, ...]
    untouched: tuple[DocumentKey, ...]


@dataclass(frozen=True, slots=True)
class Invalid:
    """The set contradicts itself or what is stored; nothing is written."""

    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The document is what was wanted."""


@dataclass(frozen=True, slots=True)
class Write:
    """The edit stands, as ``document``, whose revision is the next one."""

    document: DirectoryDocument


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody else wrote the document since it was looked at."""

    key: DocumentKey
    expected_revision: int
    revision: int


@dataclass(frozen=True, slots=True)
class Removed:
    """The document has left its topic, by this removal (``is_new``) or an earlier one."""

    key: DocumentKey
    is_new: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """The document cannot be removed yet, for each of these reasons."""

    reasons: tuple[str, ...]


Verdict: TypeAlias = Unchanged | Write | Conflict


@dataclass(frozen=True, slots=True)
class Applied:
    """The edits that were written; an empty one means that everything stood already."""

    written: tuple[DocumentKey, ...]


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Nothing was written."""

    conflicts: tuple[Conflict, ...]
