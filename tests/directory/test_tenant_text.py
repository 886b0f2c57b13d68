"""A tenant written as a file reads back as the same documents, whatever people call things."""

from pathlib import Path

import pytest

from ops.tenant_file import read_tenant_file
from ops.tenant_text import text_of
from services.desk.model import DocumentKey
from shared.contracts.directory import DirectoryDocument
from tests.desk.builders import (
    TENANT,
    a_calendar,
    a_channel,
    a_department,
    a_template,
    a_tenant,
    an_agent,
    rules,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "examples").glob("*.yaml"))


def _read_back(*documents: DirectoryDocument) -> list[DirectoryDocument]:
    keyed = [(DocumentKey.of(TENANT, document).kind, document) for document in documents]
    return list(read_tenant_file(text_of(TENANT, keyed)).documents)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_read_back_as_they_were(path: Path) -> None:
    found = read_tenant_file(path.read_text(encoding="utf-8"))
    written = text_of(
        found.tenant_id, [(DocumentKey.of(found.tenant_id, one).kind, one) for one in found.documents]
    )
    again = read_tenant_file(written)
    assert again.tenant_id == found.tenant_id
    assert sorted(map(repr, again.documents)) == sorted(map(repr, found.documents))


@pytest.mark.parametrize(
    "name",
    [
        "no",
        "null",
        "nUll",
        "tRue",
        "~",
        "007",
        "1.5",
        "10:00",
        "+4930",
        "- a",
        "a: b",
        "a #b",
        " a ",
        "é ü",
        "日本",
        "'",
        '"',
        "\\",
        "a\nb",
        "\t",
        "{a}",
        "[",
        "&a",
        "*a",
        "!a",
        "%",
        "@",
        "`",
        "=",
        "<<",
        "2026-12-24",
        "\x85",
    ],
)
def test_a_name_reads_back_whatever_it_looks_like(name: str) -> None:
    document = an_agent("ada", name=name, departments=[name])
    assert _read_back(a_tenant(), document)[1] == document


def test_every_kind_reads_back() -> None:
    documents = [
        a_tenant(calendar="office", grace_seconds=5),
        a_calendar(
            week={"mon": [{"from": "22:00", "to": "06:00"}]},
            exceptions=[{"date": "2026-12-25", "intervals": []}],
        ),
        a_department(when_full="ticket"),
        an_agent(roles=["supervisor"]),
        a_channel(base_url="http://provider:9000"),
        a_template(),
        rules({"department": "service", "keyword": "help"}),
    ]
    assert _read_back(*documents) == documents
