"""How one JSON Schema differs from another of the same event type, as far as our own schemas go."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Schema = Mapping[str, Any]


class Weight(Enum):
    """What a change means to other systems."""

    BREAKS = "breaks"
    NOTABLE = "to note"
    ADDS = "adds"


class Side(Enum):
    """Who depends on an event type most: everybody may read it, some may publish it too."""

    PUBLISHED_BY_OTHERS = "published by others"
    READ_BY_OTHERS = "read by others"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference at a path such as ``data.content[image].media``."""

    weight: Weight
    where: str
    what: str


_LOWER_BOUNDS = ("minLength", "minimum", "minItems")
_UPPER_BOUNDS = ("maxLength", "maximum", "maxItems")
_FORMS = ("pattern", "format")
_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def differences(old: Schema, new: Schema, side: Side) -> list[Difference]:
    """Return the differences, each once. Descriptions are none."""
    return list(dict.fromkeys(_Walk(old, new, side).schema(old, new, "")))


@dataclass(frozen=True, slots=True)
class _Walk:
    old_root: Schema
    new_root: Schema
    side: Side
    _open: set[tuple[str, str]] = field(default_factory=set)
    """The pairs of definitions we are inside of: one that holds itself is compared once."""

    def schema(self, old: Schema, new: Schema, where: str) -> Iterator[Difference]:
        refs = (old.get("$ref", ""), new.get("$ref", ""))
        if all(refs) and refs in self._open:
            return
        self._open.add(refs)
        before, after = _branches(self.old_root, old), _branches(self.new_root, new)
        yield from self._alternatives(before, after, where)
        for label in before.keys() & after.keys():
            below = f"{where}[{label.removeprefix('kind ')}]" if label.startswith("kind ") else where
            yield from self._branch(before[label], after[label], below)
        yield from self._default(old, new, where)
        self._open.discard(refs)

    def _alternatives(
        self, old: Mapping[str, Schema], new: Mapping[str, Schema], where: str
    ) -> Iterator[Difference]:
        for label in old.keys() - new.keys():
            if "anything" not in new and not (label == "integer" and "number" in new):
                yield Difference(Weight.BREAKS, where, f"may no longer be {label}")
        for label in new.keys() - old.keys():
            if "anything" not in old and not (label == "integer" and "number" in old):
                yield Difference(Weight.NOTABLE, where, f"may now be {label}")

    def _branch(self, old: Schema, new: Schema, where: str) -> Iterator[Difference]:
        yield from _values(old, new, where)
        yield from _bounds(old, new, where)
        yield from _forms(old, new, where)
        yield from self._fields(old, new, where)
        if "items" in old or "items" in new:
            yield from self.schema(old.get("items", {}), new.get("items", {}), f"{where}[]")
        places = zip(old.get("prefixItems", ()), new.get("prefixItems", ()), strict=False)
        for number, (before, after) in enumerate(places):
            yield from self.schema(before, after, f"{where}[{number}]")

    def _fields(self, old: Schema, new: Schema, where: str) -> Iterator[Difference]:
        before, after = old.get("properties", {}), new.get("properties", {})
        must_before, must_after = set(old.get("required", ())), set(new.get("required", ()))
        for name in sorted(before.keys() | after.keys()):
            path = f"{where}.{name}".lstrip(".")
            if name not in after:
                yield Difference(Weight.BREAKS, path, "is removed or renamed")
            elif name not in before:
                yield self._new_field(path, required=name in must_after)
            else:
                if (name in must_before) != (name in must_after):
                    yield self._presence(path, required=name in must_after)
                yield from self.schema(before[name], after[name], path)

    def _new_field(self, path: str, *, required: bool) -> Difference:
        if not required:
            return Difference(Weight.ADDS, path, "is new")
        return Difference(Weight.BREAKS, path, f"is new and required: {self._who_lacks_it()}")

    def _presence(self, path: str, *, required: bool) -> Difference:
        if required:
            return Difference(Weight.BREAKS, path, f"is now required: {self._who_lacks_it()}")
        if self.side is Side.READ_BY_OTHERS:
            return Difference(Weight.BREAKS, path, "may now be absent: readers rely on it")
        return Difference(Weight.NOTABLE, path, "may now be absent")

    def _who_lacks_it(self) -> str:
        if self.side is Side.PUBLISHED_BY_OTHERS:
            return "publishers do not write it yet"
        return "records that are kept lack it"

    def _default(self, old: Schema, new: Schema, where: str) -> Iterator[Difference]:
        before, after = old.get("default"), new.get("default")
        if before != after:
            yield Difference(Weight.BREAKS, where, f"means {after!r} when absent, no longer {before!r}")


def _branches(root: Schema, schema: Schema) -> dict[str, Schema]:
    """Return the alternatives of a schema by what tells them apart: JSON type, or kind of content."""
    resolved = _resolved(root, schema)
    for keyword in ("oneOf", "anyOf"):
        if keyword in resolved:
            return {
                label: found
                for branch in resolved[keyword]
                for label, found in _branches(root, branch).items()
            }
    return dict.fromkeys(_labels(resolved), resolved)


def _labels(schema: Schema) -> list[str]:
    if "kind" in (properties := schema.get("properties", {})) and schema.get("type") == "object":
        values = _allowed(properties["kind"])
        return ["kind nobody knows yet"] if values is None else [f"kind {value}" for value in values]
    match schema.get("type"):
        case str() as kind:
            return [kind]
        case list() as kinds:
            return kinds
        case _:
            values = _allowed(schema)
            return ["anything"] if values is None else sorted({_JSON_TYPES[type(value)] for value in values})


def _resolved(root: Schema, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return _resolved(root, found)


def _allowed(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _values(old: Schema, new: Schema, where: str) -> Iterator[Difference]:
    before, after = _allowed(old), _allowed(new)
    if after is not None:
        if gone := [value for value in before or () if value not in after]:
            yield Difference(Weight.BREAKS, where, f"may no longer be {_listed(gone)}")
        if before is None:
            yield Difference(Weight.BREAKS, where, f"may only be {_listed(after)}")
    if before is not None:
        if after is None:
            yield Difference(Weight.NOTABLE, where, "may now have other values")
        elif added := [value for value in after if value not in before]:
            yield Difference(Weight.NOTABLE, where, f"may now be {_listed(added)}")


def _bounds(old: Schema, new: Schema, where: str) -> Iterator[Difference]:
    for keywords, direction in ((_LOWER_BOUNDS, 1), (_UPPER_BOUNDS, -1)):
        for keyword in keywords:
            before, after = old.get(keyword), new.get(keyword)
            if before == after:
                continue
            narrowed = after is not None and (before is None or (after - before) * direction > 0)
            weight = Weight.BREAKS if narrowed else Weight.NOTABLE
            yield Difference(weight, where, f"{keyword} was {before}, is {after}")


def _forms(old: Schema, new: Schema, where: str) -> Iterator[Difference]:
    for keyword in _FORMS:
        before, after = old.get(keyword), new.get(keyword)
        if before != after:
            weight = Weight.NOTABLE if after is None else Weight.BREAKS
            yield Difference(weight, where, f"{keyword} was {before}, is {after}")


def _listed(values: list[Any]) -> str:
    return ", ".join(str(value) for value in values)
