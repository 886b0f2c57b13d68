"""The shape of a tenant's file, as JSON Schema: what editors check it by, and what its reader names.

Only the file's shape is in it. Whether departments and calendars that are named exist, whether hours
overlap and zones are known is judged by the desk (`chatdesk directory plan`).
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from ops.published.schemas import DIALECT, model_schema
from services.desk.app import KINDS

LISTS: Mapping[str, str] = {
    "calendars": "calendar",
    "departments": "department",
    "agents": "agent",
    "channels": "channel",
    "templates": "template",
}
"""The lists in a file, and the kind of document that each item is."""
TENANT, RULES = "tenant", "routing_rules"
KEPT_BY_THE_DESK = ("revision",)
"""Fields of documents that no file sets."""


@cache
def tenant_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a tenant's file. Unlike on topics, unknown fields are mistakes."""
    definitions: dict[str, Any] = {}
    for kind, model in KINDS.items():
        schema = model_schema(model)
        definitions |= schema.pop("$defs", {})
        definitions[kind] = schema
    rules = definitions.pop(RULES)
    lists = {section: _list_of(kind, definitions[kind]) for section, kind in LISTS.items()}
    return {
        "$schema": DIALECT,
        "$id": "urn:chatdesk:schema:tenant-file",
        "title": "A tenant of Chat Desk",
        "description": "Who works for a tenant, when, and which messages go where.",
        "type": "object",
        "additionalProperties": False,
        "required": [TENANT],
        "properties": {
            TENANT: {"$ref": f"#/$defs/{TENANT}"},
            **lists,
            RULES: {"description": rules["description"], **rules["properties"]["rules"]},
        },
        "$defs": {name: _closed(schema) for name, schema in sorted(definitions.items())},
    }


def node_at(path: tuple[str | int, ...]) -> Mapping[str, Any]:
    """Return what the schema says of a place in a file; nothing for a place that no file has."""
    node: Mapping[str, Any] = tenant_schema()
    for step in path:
        named = node.get("properties", {})
        node = _resolved(node.get("items", {}) if isinstance(step, int) else named.get(step, {}))
    return node


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference; of a field that may be null, return what it is otherwise."""
    if "anyOf" in node:
        return _resolved(node["anyOf"][0])
    if "$ref" not in node:
        return node
    found: Mapping[str, Any] = tenant_schema()["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def _list_of(kind: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": schema["description"], "type": "array", "items": {"$ref": f"#/$defs/{kind}"}}


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Let nothing in but the fields that people write."""
    kept = {name: one for name, one in schema["properties"].items() if name not in KEPT_BY_THE_DESK}
    required = [name for name in schema.get("required", ()) if name not in KEPT_BY_THE_DESK]
    return {
        **schema,
        "properties": kept,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }
