"""One JSON Schema (2020-12) for each event type: envelope and data, as every reader accepts them.

It leaves out on purpose what readers forgive (docs/decisions/0060): whoever keeps to it is always read.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from shared.contracts.catalogue import model_of
from shared.contracts.event import Event, Model
from shared.contracts.topics import DEAD_LETTER_TOPICS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_MEDIA_TYPE = r"^(application/json|[^;]+\+json) *(;.*)?$"
_PAIR_KEY = r"^[^:]+:[^:]+:[^:]+:[^:]+$"
_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "specversion": {"const": "1.0"},
    "id": {"description": "With source the identity of the event."},
    "source": {"description": "Who says it."},
    "type": {},
    "subject": {"description": "What it is about."},
    "time": {"description": "When it happened: RFC 3339 with an offset."},
    "datacontenttype": {"type": ["string", "null"], "pattern": _MEDIA_TYPE},
    "tenantid": {"minLength": 1, "description": "The tenant that everything in data belongs to."},
    "pairkey": {
        "pattern": _PAIR_KEY,
        "description": "tenant:channel:business_address:customer_address, each percent-encoded.",
    },
    "correlationid": {"description": "The first event of the chain."},
    "causationid": {"description": "The event before this one."},
    "data": {},
}
_OPTIONAL = frozenset({"subject", "datacontenttype", "pairkey", "correlationid", "causationid"})
_TENANTLESS = frozenset(wire_type for topic in DEAD_LETTER_TOPICS for wire_type in topic.types)
_NAMED = frozenset({"properties", "$defs"})
"""Keywords below which keys are names, not keywords."""


def schema_id(wire_type: str) -> str:
    """Return the schema's ``$id``; the type carries the major version."""
    return f"urn:chatdesk:schema:{wire_type}"


def schema_of(wire_type: str) -> dict[str, Any]:
    """Return the JSON Schema of an event type. Raises Rejected for a type nobody knows."""
    model = model_of(wire_type)
    generic: Any = Event
    generated = TypeAdapter(generic[model]).json_schema(schema_generator=_Generator)
    tidy = _tidied(generated)
    optional = _OPTIONAL | {"tenantid"} if wire_type in _TENANTLESS else _OPTIONAL
    return {
        "$schema": DIALECT,
        "$id": schema_id(wire_type),
        "title": wire_type,
        "description": tidy["$defs"][model.__name__]["description"],
        "type": "object",
        "required": [name for name in _ATTRIBUTES if name not in optional],
        "properties": _envelope(wire_type, tidy["properties"]),
        "$defs": dict(sorted(tidy["$defs"].items())),
    }


def model_schema(model: type[Model]) -> dict[str, Any]:
    """Return the JSON Schema of what one model holds, without an envelope."""
    schema: dict[str, Any] = _tidied(TypeAdapter(model).json_schema(schema_generator=_Generator))
    return schema


def _envelope(wire_type: str, generated: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {name: generated.get(name, {}) | more for name, more in _ATTRIBUTES.items()}
    attributes["type"] = {"const": wire_type}
    attributes["subject"]["type"] = ["string", "null"]
    if wire_type in _TENANTLESS:
        del attributes["tenantid"]["minLength"]
    return attributes


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, where it says less than the models hold."""

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:  # noqa: ARG002 - pydantic's contract
        """Refuse a time without an offset even where nobody checks formats."""
        return {"type": "string", "format": "date-time", "pattern": _TIME}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:  # noqa: ARG002 - as above
        """Refuse what is no date even where nobody checks formats."""
        return {"type": "string", "format": "date", "pattern": _DATE}

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        """Let in any kind that is not known yet, and nothing without a kind."""
        known = super().tagged_union_schema(schema)["oneOf"]
        kinds = [kind for branch in known for kind in self._kinds_of(branch)]
        unknown = {
            "description": "A kind that is not known yet: it is read as unsupported.",
            "type": "object",
            "properties": {"kind": {"type": "string", "minLength": 1, "not": {"enum": kinds}}},
        }
        return {"type": "object", "required": ["kind"], "oneOf": [*known, unknown]}

    def _kinds_of(self, branch: JsonSchemaValue) -> list[str]:
        found = self.get_schema_from_definitions(branch["$ref"])
        kind = {} if found is None else found["properties"]["kind"]
        return list(kind.get("enum", (kind.get("const"),)))


def _tidied(node: Any, *, named: bool = False) -> Any:
    """Leave out what pydantic adds for its own sake: titles, null as a default, unions with null."""
    if isinstance(node, list):
        return [_tidied(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {name: _tidied(inner) for name, inner in node.items()}
    kept = {
        name: _tidied(inner, named=name in _NAMED)
        for name, inner in node.items()
        if name != "title" and not (name == "default" and inner is None)
    }
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].replace("``", "`").split())
    return _with_null(kept)


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    match schema.get("anyOf"):
        case [{"type": str() as kind} as given, {"type": "null"}] if not given.keys() & {"enum", "const"}:
            rest = {name: value for name, value in schema.items() if name != "anyOf"}
            return {**rest, **given, "type": [kind, "null"]}
        case _:
            return schema
