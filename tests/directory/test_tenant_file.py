"""A tenant file as people write it: read as it looks, and every mistake named with its line."""

from pathlib import Path

import pytest

from ops.tenant_file import BadFile, read_tenant_file
from services.desk.app import KINDS
from shared.contracts.directory import AgentDocument, CalendarDocument, DepartmentDocument, RoutingRule
from shared.contracts.event import Model

EXAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "examples").glob("*.yaml"))

SECTIONS = "calendars, departments, agents, channels, templates, routing_rules"
WHOLE = """\
tenant: {id: acme, name: Acme, first_line_department: service}
calendars:
  - id: office
    time_zone: Europe/Berlin
    week:
      mon: [{from: 10:00, to: 18:30}]
    exceptions:
      - date: 2026-12-25
departments:
  - id: service
    name: Service
agents:
  - id: ada
    name: Ada
    capacity: 3
    departments: [service]
  - id: bob
    name: Bob
    capacity: 5
channels:
  - id: main
    channel: whatsapp
    provider: whatsapp_cloud
    business_address: +4930901820
    secret_ref: TOKEN
templates:
  - {id: no, name: no, language: no, category: utility, state: approved}
routing_rules:
  - {keyword: help, department: service}
  - {department: service}
"""


def _mistakes(text: str) -> list[str]:
    with pytest.raises(BadFile) as caught:
        read_tenant_file(text)
    return [f"{mistake.line}: {mistake}" for mistake in caught.value.mistakes]


def fields_of(model: type[Model]) -> str:
    """The fields that people may write, read from the model."""
    return ", ".join(one.alias or name for name, one in model.model_fields.items() if name != "revision")


def _changed(old: str, new: str) -> str:
    assert WHOLE.count(old) == 1
    return WHOLE.replace(old, new)


def test_a_file_is_read_as_it_looks() -> None:
    found = read_tenant_file(WHOLE)

    documents = {
        type(document): document.model_dump(mode="json", by_alias=True) for document in found.documents
    }
    calendar, channel = documents[KINDS["calendar"]], documents[KINDS["channel"]]
    template, rules = documents[KINDS["template"]], documents[KINDS["routing_rules"]]
    assert found.tenant_id == "acme"
    assert [document.id for document in found.documents] == [
        "acme",
        "office",
        "service",
        "ada",
        "bob",
        "main",
        "no",
        "default",
    ]
    assert calendar["week"]["mon"] == [{"from": "10:00", "to": "18:30"}]
    assert calendar["exceptions"] == [{"date": "2026-12-25", "intervals": []}]
    assert channel["business_address"] == "+4930901820"
    assert (template["name"], template["language"]) == ("no", "no")
    assert [rule["keyword"] for rule in rules["rules"]] == ["help", None]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_read(path: Path) -> None:
    assert read_tenant_file(path.read_text(encoding="utf-8")).documents


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


def test_the_examples_show_a_department_that_offers_and_one_that_was_given_up() -> None:
    found = [read_tenant_file(path.read_text(encoding="utf-8")).documents for path in EXAMPLES]
    departments = [one for documents in found for one in documents if isinstance(one, DepartmentDocument)]
    assert {one.mode for one in departments} == {"push", "offer"}
    assert {(one.retired, one.move_to is not None) for one in departments} == {(False, False), (True, True)}


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        pytest.param(
            "capacity: 3",
            "capacity: 0",
            "15: agents[0].capacity: must be a whole number from 1 to 100, not 0",
            id="capacity 0",
        ),
        pytest.param(
            "capacity: 5",
            "capacity: 101",
            "19: agents[1].capacity: must be a whole number from 1 to 100, not 101",
            id="capacity 101",
        ),
        pytest.param(
            "capacity: 5",
            'capacity: "5"',
            "19: agents[1].capacity: must be a whole number from 1 to 100, not '5'",
            id="a quoted number",
        ),
        pytest.param(
            "    capacity: 3\n",
            "",
            "13: agents[0].capacity: is missing",
            id="a field that is missing, at its document",
        ),
        pytest.param(
            "departments: [service]",
            "departements: [service]",
            "16: agents[0].departements: is not known here (did you mean 'departments'?)"
            f"; there is {fields_of(AgentDocument)}",
            id="a field that is misspelt",
        ),
        pytest.param(
            "time_zone: Europe/Berlin\n",
            "time_zone: Europe/Berlin\n    until: 1\n",
            f"5: calendars[0].until: is not known here; there is {fields_of(CalendarDocument)}",
            id="a field that does not exist",
        ),
        pytest.param(
            "mon: [{from: 10:00, to: 18:30}]",
            "mon: [{from: 10:00, to: 18:30, lunch: yes}]",
            "6: calendars[0].week.mon[0].lunch: is not known here; there is from, to",
            id="a field that does not exist, deep down",
        ),
        pytest.param(
            "from: 10:00",
            "from: 25:00",
            "6: calendars[0].week.mon[0].from: must be a time from 00:00 to 23:59, as HH:MM, not '25:00'",
            id="no time of day",
        ),
        pytest.param(
            "to: 18:30",
            "to: 24:00",
            "6: calendars[0].week.mon[0].to: must be a time from 00:00 to 23:59, as HH:MM, not '24:00'",
            id="the end of a day, which is the next day's 00:00",
        ),
        pytest.param(
            "date: 2026-12-25",
            "date: 25.12.2026",
            "8: calendars[0].exceptions[0].date: must be a date such as 2027-12-31, not '25.12.2026'",
            id="a date as it is not written here",
        ),
        pytest.param(
            "channel: whatsapp",
            "channel: telegram",
            "22: channels[0].channel: must be 'whatsapp' or 'sms', not 'telegram'",
            id="a channel that does not exist",
        ),
        pytest.param(
            "    name: Bob\n",
            "    name: Bob\n    revision: 7\n",
            "19: agents[1].revision: is kept by the desk and cannot be set in a file",
            id="a revision",
        ),
        pytest.param(
            "    name: Bob\n",
            "    name: Bob\n    retired: yes\n",
            "19: agents[1].retired: must be true or false, not 'yes'",
            id="a removal that is neither true nor false",
        ),
        pytest.param(
            "templates:",
            "tempaltes:",
            "26: tempaltes: is not known here (did you mean 'templates'?); there is tenant, " + SECTIONS,
            id="a section that does not exist",
        ),
        pytest.param(
            "{keyword: help, department: service}",
            "{keyword: help}",
            "29: routing_rules[0].department: is missing",
            id="a rule without a department",
        ),
        pytest.param(
            "  - {department: service}",
            "  - service",
            "30: routing_rules[1]: must be an object, not 'service'",
            id="a bare rule",
        ),
        pytest.param(
            "templates:\n  - {id: no, name: no, language: no, category: utility, state: approved}",
            "templates: none",
            "26: templates: must be a list",
            id="a section that is no list",
        ),
        pytest.param(
            "tenant: {id: acme, name: Acme, first_line_department: service}\n",
            "",
            "1: tenant is missing",
            id="no tenant",
        ),
        pytest.param(
            "    name: Bob\n",
            "    name: Bob\n    name: Robert\n",
            "19: 'name' is there twice; the first is on line 18",
            id="a field twice",
        ),
        pytest.param(
            "name: Bob",
            "name: !!int Bob",
            "18: the tag tag:yaml.org,2002:int is not read here: write the value plainly",
            id="a tag",
        ),
        pytest.param(
            "name: Bob", "name: [Bob", "19: expected ',' or ']', but got ':'", id="a bracket left open"
        ),
        pytest.param(
            "name: Bob",
            "name: \x07",
            "18: a character that no text has: special characters are not allowed",
            id="a bell",
        ),
        pytest.param(
            "name: Bob",
            "? [Bob]\n    : 1",
            "18: a name before a colon must be a plain word",
            id="a list for a name",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(old: str, new: str, mistake: str) -> None:
    assert _mistakes(_changed(old, new)) == [mistake]


@pytest.mark.parametrize("text", ["", "[]", "acme"], ids=["nothing", "a list", "a word"])
def test_what_is_no_tenant_file_is_told_so(text: str) -> None:
    assert _mistakes(text) == [f"1: must say tenant, and may say {SECTIONS}"]


def test_a_required_field_misspelt_is_told_as_such_and_as_missing() -> None:
    known = fields_of(AgentDocument)
    assert _mistakes(_changed("capacity: 3", "capacty: 3")) == [
        "13: agents[0].capacity: is missing",
        f"15: agents[0].capacty: is not known here (did you mean 'capacity'?); there is {known}",
    ]
    known = fields_of(RoutingRule)
    rule = "{keyword: help, departement: service}"
    assert _mistakes(_changed("{keyword: help, department: service}", rule)) == [
        f"29: routing_rules[0].departement: is not known here (did you mean 'department'?); there is {known}",
        "29: routing_rules[0].department: is missing",
    ]


def test_every_mistake_is_named_at_once_in_the_order_of_lines() -> None:
    broken = WHOLE.replace("capacity: 3", "capacity: 0").replace("channel: whatsapp", "channel: fax")

    assert [line.split(":")[0] for line in _mistakes(broken)] == ["15", "22"]


def test_a_file_that_repeats_itself_without_end_is_refused() -> None:
    loop = "tenant: &tenant\n  again: *tenant\n"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
        for before, name in zip("abcdef", "bcdefg", strict=True)
    )

    for text in (loop, bomb):
        (mistake,) = _mistakes(text)
        assert mistake.endswith("the file nests deeper than 32 levels or repeats itself without end")
