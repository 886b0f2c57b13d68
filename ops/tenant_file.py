"""One tenant and its documents in a YAML file: what people write, checked with the line of each mistake."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ops import located_yaml
from ops.located_yaml import BadYaml, Located, Path
from ops.tenant_schema import KEPT_BY_THE_DESK, LISTS, RULES, TENANT, node_at
from services.desk.app import KINDS
from shared.contracts.directory import DirectoryDocument
from shared.contracts.plain_words import in_words

RULES_ID = "default"
"""A tenant has one list of routing rules, so the file does not name it."""
_ENDLESS = 2**53
"""A bound that no person ever meets."""


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
        sections = node_at(())["properties"]
        for section in content.keys() - sections.keys():
            self._mistake((section,), _unknown(section, sections))
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
        kept = [name for name in KEPT_BY_THE_DESK if name in raw]
        for name in kept:
            self._mistake((*place, name), "is kept by the desk and cannot be set in a file")
        if kept:
            return
        for path, message in _unknowns(raw["rules"] if place == (RULES,) else raw, place):
            self._mistake(path, message)
        try:
            document = KINDS[kind].model_validate({**raw, "revision": 0})
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                at_fault = _in_file(place, fault["loc"])
                self._mistake(at_fault, _wrong(fault, node_at(at_fault)))
            return
        self.documents.append(document)
        self.places.append(place)

    def _mistake(self, place: Path, message: str) -> None:
        self.mistakes.append(Mistake(self.located.line(place), _shown(place), message))


def _unknowns(raw: Any, place: Path) -> Iterator[tuple[Path, str]]:
    """Yield what was written and would not be taken over: contracts pass by fields they do not know."""
    if isinstance(raw, dict) and (allowed := node_at(place).get("properties")):
        for name, inner in raw.items():
            if name in allowed:
                yield from _unknowns(inner, (*place, name))
            else:
                yield (*place, name), _unknown(name, allowed)
    if isinstance(raw, list):
        for nth, inner in enumerate(raw):
            yield from _unknowns(inner, (*place, nth))


def _unknown(name: str, allowed: Collection[str]) -> str:
    meant = get_close_matches(name, allowed, n=1)
    guess = f" (did you mean {meant[0]!r}?)" if meant else ""
    return f"is not known here{guess}; there is {', '.join(allowed)}"


def _wrong(fault: ErrorDetails, node: Mapping[str, Any]) -> str:
    given = fault["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) and fault["type"] != "missing" else ""
    return _bounds(fault, node) + shown


def _bounds(fault: ErrorDetails, node: Mapping[str, Any]) -> str:
    """Name both ends of what a number may be, whichever it missed."""
    is_number = fault["type"] in {"greater_than_equal", "less_than_equal", "int_type"}
    if not is_number or node.get("maximum", _ENDLESS) >= _ENDLESS:
        return in_words(fault)
    return f"must be a whole number from {node['minimum']} to {node['maximum']}"


def _in_file(place: Path, path: Path) -> Path:
    """The routing rules are a list in the file and a document with a list on the topic."""
    return (*place, *(path[1:] if place == (RULES,) else path))


def _shown(place: Path) -> str:
    """Write ``agents[3].capacity``."""
    shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return shown.removeprefix(".")
