"""The files that other systems are given, and the frozen copies of released versions."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.published.asyncapi import asyncapi_yaml
from ops.published.compat import Published
from ops.published.schemas import schema_of
from ops.tenant_schema import tenant_schema
from shared.contracts.catalogue import types

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one where PyYAML was built with it."""
HOME = Path(__file__).parents[2] / "contracts"
_RELEASE = re.compile(r"v(\d+)\.(\d+)(?:\.(\d+))?")
_TENANT_FILE = "tenant-file.schema.json"
_PARTS = ("asyncapi.yaml", _TENANT_FILE, "schemas", "examples")


@dataclass(frozen=True, slots=True)
class Release:
    """One released version and where its frozen copy is."""

    name: str
    folder: Path


def written(home: Path = HOME) -> dict[str, str]:
    """Return every file by its path below ``contracts/``; the examples are those that ``home`` has.

    The same catalogue gives the same text.
    """
    examples = {path.name: path.read_text() for path in sorted((home / "examples").glob("*.json"))}
    by_type: dict[str, dict[str, Any]] = {}
    for name, text in examples.items():
        wire_type, size, _ = name.rsplit(".", 2)
        by_type.setdefault(wire_type, {})[size] = json.loads(text)
    schemas = {f"schemas/{wire_type}.json": _json(schema_of(wire_type)) for wire_type in types()}
    return (
        {"asyncapi.yaml": asyncapi_yaml(by_type), _TENANT_FILE: tenant_schema_json()}
        | schemas
        | {f"examples/{name}": text for name, text in examples.items()}
    )


def tenant_schema_json() -> str:
    """Return the JSON Schema of a tenant's file, as it is printed and committed."""
    return _json(tenant_schema())


def export(folder: Path, files: dict[str, str]) -> None:
    """Write the files into a folder, and remove what else is in the parts that are written."""
    for part in _PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def stale(folder: Path, files: dict[str, str]) -> list[str]:
    """Return the files that are missing, other than they have to be, or left over."""
    found = {
        path.relative_to(folder).as_posix()
        for part in _PARTS
        for path in (folder / part, *(folder / part).glob("*"))
        if path.is_file()
    }
    wrong = {name for name, text in files.items() if name in found and (folder / name).read_text() != text}
    return sorted(wrong | (found ^ files.keys()))


def is_release(name: str) -> bool:
    """Tell whether this can be the name of a release: ``v0.1``, ``v1.2.3``."""
    return _RELEASE.fullmatch(name) is not None


def releases(home: Path = HOME) -> list[Release]:
    """Return the released versions, oldest first."""
    folders = [path for path in (home / "released").glob("*") if is_release(path.name)]
    return [Release(path.name, path) for path in sorted(folders, key=lambda path: _order(path.name))]


def published(folder: Path) -> Published:
    """Read what a folder publishes. Raises FileNotFoundError when it holds no ``asyncapi.yaml``."""
    document = yaml.load((folder / "asyncapi.yaml").read_text(), Loader=_LOADER)  # noqa: S506 - both are safe
    schemas = {
        path.stem: json.loads(path.read_text()) for path in sorted((folder / "schemas").glob("*.json"))
    }
    return Published(schemas=schemas, channels=document["channels"])


def _order(name: str) -> tuple[int, ...]:
    match = _RELEASE.fullmatch(name)
    return () if match is None else tuple(int(number or 0) for number in match.groups())


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
