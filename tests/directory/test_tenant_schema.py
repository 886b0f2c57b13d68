"""The JSON Schema of a tenant's file, against a validator that knows nothing of our models."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from typer.testing import CliRunner

from ops.directory import app
from ops.tenant_file import BadFile, read_tenant_file
from ops.tenant_schema import tenant_schema

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
COMMITTED = ROOT / "contracts" / "tenant-file.schema.json"
ACME = (ROOT / "deploy" / "examples" / "acme.yaml").read_text(encoding="utf-8")


class _AsEditorsRead(yaml.SafeLoader):
    """YAML 1.2, as the language server of editors reads it: dates and times of day are text."""


_AsEditorsRead.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":timestamp", ":int", ":bool"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
):
    _AsEditorsRead.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def faults(text: str) -> list[ValidationError]:
    read = yaml.load(text, Loader=_AsEditorsRead)
    return list(Draft202012Validator(tenant_schema()).iter_errors(read))


def reader_takes(text: str) -> bool:
    try:
        read_tenant_file(text)
    except BadFile:
        return False
    return True


def test_what_is_printed_is_the_committed_schema_and_a_schema() -> None:
    printed = CliRunner().invoke(app, ["schema"])

    assert printed.exit_code == 0
    assert printed.stdout == COMMITTED.read_text(encoding="utf-8")
    Draft202012Validator.check_schema(json.loads(printed.stdout))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_the_schema_and_keeps_to_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    first, *_ = text.splitlines()
    named = first.removeprefix("# yaml-language-server: $schema=")

    assert (path.parent / named).resolve() == COMMITTED
    assert faults(text) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        pytest.param("capacity: 5", "capcity: 5", ["agents", 0], id="a field misspelt"),
        pytest.param("capacity: 5", "capacity: 0", ["agents", 0, "capacity"], id="capacity 0"),
        pytest.param("capacity: 5", "capacity: 101", ["agents", 0, "capacity"], id="capacity 101"),
        pytest.param("capacity: 5", 'capacity: "5"', ["agents", 0, "capacity"], id="a number in quotes"),
        pytest.param("when_full: ticket", "when_full: tickte", ["departments", 2, "when_full"], id="a word"),
        pytest.param("roles: [supervisor, admin]", "roles: [boss]", ["agents", 5, "roles", 0], id="a role"),
        pytest.param(
            "{from: 09:00, to: 20:00}",
            "{from: 9:00, to: 20:00}",
            ["calendars", 0, "week", "thu", 0, "from"],
            id="a time",
        ),
        pytest.param(
            "{from: 09:00, to: 20:00}",
            "{from: 09:00, until: 20:00}",
            ["calendars", 0, "week", "thu", 0],
            id="a field deep down",
        ),
        pytest.param("thu:", "thur:", ["calendars", 0, "week"], id="a weekday"),
        pytest.param(
            "date: 2027-01-01", "date: 1.1.2027", ["calendars", 0, "exceptions", 3, "date"], id="a date"
        ),
        pytest.param("templates:", "tempaltes:", [], id="a section"),
        pytest.param(
            "{keyword: emergency, department",
            "{keyword: emergency, dept",
            ["routing_rules", 0],
            id="a field of a rule",
        ),
        pytest.param("  name: Acme Travel\n", "", ["tenant"], id="a field left out"),
        pytest.param(
            "  name: Acme Travel\n", "  name: Acme Travel\n  revision: 3\n", ["tenant"], id="a revision"
        ),
    ],
)
def test_a_typo_is_a_fault_there_for_editors_and_for_the_reader(old: str, new: str, where: list[Any]) -> None:
    typed = ACME.replace(old, new, 1)
    assert typed != ACME

    assert where in [list(fault.absolute_path) for fault in faults(typed)]
    assert not reader_takes(typed)
