"""The page that says which test proves which feature names tests that there are."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FEATURES = TESTS.parent / "docs" / "features.md"
CITED = re.compile(r"`([a-z_]+/(?:test_\w+\.py)?)(?:::(test_\w+))?`")


def cited(page: str) -> set[tuple[str, str]]:
    rows = (line for line in page.splitlines() if line.startswith("|"))
    return {named for row in rows for named in CITED.findall(row)}


def missing(named: set[tuple[str, str]]) -> list[str]:
    """Return the folders, files and tests that are named and not there."""
    there: dict[str, set[str]] = {}
    for file in TESTS.glob("*/test_*.py"):
        names = (n for n in ast.walk(ast.parse(file.read_text())) if hasattr(n, "name"))
        there[str(file.relative_to(TESTS))] = {"", *(node.name for node in names)}
        there[f"{file.parent.name}/"] = {""}
    return sorted(f"{path}::{test}" for path, test in named if test not in there.get(path, ()))


def test_every_test_that_a_feature_names_is_there() -> None:
    named = cited(FEATURES.read_text())
    assert len(named) > 200
    assert missing(named) == []


@pytest.mark.parametrize(
    "gone", ["routing/", "routing/test_no_such.py", "routing/test_acts.py::test_nothing", "nowhere/"]
)
def test_a_test_that_is_gone_is_told(gone: str) -> None:
    expected = [] if gone == "routing/" else [gone if "::" in gone else f"{gone}::"]
    assert missing(cited(f"| proven by | `{gone}` |")) == expected


def test_all_hundred_features_are_there() -> None:
    page = FEATURES.read_text().partition("## Beside other desks")[2]
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)]
    assert numbers == [*range(1, 101), *range(1, 11)]
