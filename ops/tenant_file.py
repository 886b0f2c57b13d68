"""One tenant and its documents in a YAML file: what people write, checked with the line of each mistake."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ops import located_yaml
from ops.located_yaml import BadYaml, Located, Path
from services.desk.app import KINDS
from shared.contracts.directory import DirectoryDocument
from shared.contracts.plain_words import in_words

LISTS: Mapping[str, str] = {
    "calendars": "calendar",
    "departments": "department",
    "agents": "agent",
    "channels": "channel",
    "templates": "template",
}
"""The lists in a file, and the kind of document that each item is."""
TENANT, RULES = "tenant", "routing_rules"
RULES_ID = "default"
"""A tenant has one list of routing rules, so the file does not name it."""
_KEPT_BY_THE_DESK = ("revision",)


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a file, and where: ``place`` as people see it, ``line`` counted from 1."""

    line: int
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class BadFile(Exception):  # noqa: N818 - it is the file that is bad
    """The file cannot be used; every mistake found is named, in the order of their lines."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(str(mistake) for mistake in mistakes))
        self.mistakes = sorted(mistakes, key=lambda mistake: mistake.line)


@dataclass(frozen=True, slots=True)
class TenantFile:
    """A tenant's documents, in the order of the file, and the place of each in it."""

    tenant_id: str
    documents: tuple[DirectoryDocument, ...]
    places: tuple[Path, ...]
    located: Located

    def mistake(self, nth: int | None, path: Path, message: str) -> Mistake:
        """Point at a field of the nth document, or at the whole file."""
        place = () if nth is None else _in_file(self.places[nth], path)
        return Mistake(self.located.line(place), _shown(place), message)


def read_tenant_file(text: str) -> TenantFile:
    """Read a file. Raises BadFile with every mistake that shows without looking at what is stored."""
    try:
        located = located_yaml.read(text)
    except BadYaml as error:
        raise BadFile([Mistake(error.line, "", error.message)]) from None
    reading = _Reading(located)
    reading.read()
    if reading.mistakes:
        raise BadFile(reading.mistakes)
    tenant_id = located.value[TENANT]["id"]
    return TenantFile(tenant_id, tuple(reading.documents), tuple(reading.places), located)


@dataclass(slots=True)
class _Reading:
    """One pass over a file: the documents found so far, and the mistakes."""

    located: Located
    documents: list[DirectoryDocument] = field(default_factory=list)
    places: list[Path] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def read(self) -> None:
        content = self.located.value
        if not isinstance(content, dict):
            self._mistake((), f"must say {TENANT}, and may say {', '.join([*LISTS, RULES])}")
            return
        for section in content.keys() - {TENANT, RULES, *LISTS}:
            self._mistake((section,), f"is none of {', '.join([TENANT, *LISTS, RULES])}")
        if TENANT in content:
            self._document("tenant", content[TENANT], (TENANT,))
        else:
            self._mistake((), f"{TENANT} is missing")
        for section, kind in LISTS.items():
            for nth, raw in enumerate(self._list(section)):
                self._document(kind, raw, (section, nth))
        if RULES in content:
            self._document("routing_rules", {"id": RULES_ID, "rules": self._list(RULES)}, (RULES,))

    def _list(self, section: str) -> list[Any]:
        found = self.located.value.get(section, [])
        if isinstance(found, list):
            return found
        self._mistake((section,), "must be a list")
        return []

    def _document(self, kind: str, raw: Any, place: Path) -> None:
        if not isinstance(raw, dict):
            self._mistake(place, "must be an object")
            return
        kept = [name for name in _KEPT_BY_THE_DESK if name in raw]
        for name in kept:
            self._mistake((*place, name), "is kept by the desk and cannot be set in a file")
        if kept:
            return
        try:
            document = KINDS[kind].model_validate({**raw, "revision": 0})
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                self._mistake(_in_file(place, fault["loc"]), _wrong(fault))
            return
        known = document.model_dump(mode="json", by_alias=True)
        for path in _unknown(raw, known):
            self._mistake(_in_file(place, path), "is not known here: see whether it is spelt right")
        self.documents.append(document)
        self.places.append(place)

    def _mistake(self, place: Path, message: str) -> None:
        self.mistakes.append(Mistake(self.located.line(place), _shown(place), message))


def _unknown(raw: Any, known: Any) -> Iterator[Path]:
    """Yield what was written and not taken over: contracts pass by fields they do not know."""
    if isinstance(raw, dict) and isinstance(known, dict):
        for name, inner in raw.items():
            if name not in known:
                yield (name,)
            else:
                yield from ((name, *path) for path in _unknown(inner, known[name]))
    if isinstance(raw, list) and isinstance(known, list):
        for nth, (written, taken) in enumerate(zip(raw, known, strict=False)):
            yield from ((nth, *path) for path in _unknown(written, taken))


def _wrong(fault: ErrorDetails) -> str:
    given = fault["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) and fault["type"] != "missing" else ""
    return in_words(fault) + shown


def _in_file(place: Path, path: Path) -> Path:
    """The routing rules are a list in the file and a document with a list on the topic."""
    return (*place, *(path[1:] if place == (RULES,) else path))


def _shown(place: Path) -> str:
    """Write ``agents[3].capacity``."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return shown.removeprefix(".")
