"""What is wrong with a file is told by the command: line, field and what would do. Nothing is written."""

from pathlib import Path

import pytest

from shared.contracts.directory import AgentDocument, CalendarDocument
from tests.conftest import Installation
from tests.directory.shell import Answer, Shell
from tests.directory.test_tenant_file import fields_of
from tests.topics import events_on

pytestmark = pytest.mark.servers

WHOLE = """\
tenant: {id: acme, name: Acme, first_line_department: service, calendar: office}
calendars:
  - id: office
    time_zone: Europe/Berlin
    week:
      mon: [{from: 09:00, to: 13:00}, {from: 14:00, to: 18:00}]
      tue: [{from: 09:00, to: 18:00}]
departments:
  - id: service
    name: Service
  - id: sales
    name: Sales
    fallback: service
    strategy: least_loaded
agents:
  - id: ada
    name: Ada
    capacity: 3
    departments: [service, sales]
    roles: [agent]
channels:
  - id: main
    channel: whatsapp
    provider: whatsapp_cloud
    business_address: "+4930901820"
    secret_ref: TOKEN
routing_rules:
  - {keyword: buy, business_address: "+4930901820", department: sales}
"""

TOUCH = "hours may touch and may not overlap"
SECTIONS = "tenant, calendars, departments, agents, channels, templates, routing_rules"
# What is written instead of what, and what the command says of it.
BAD = {
    "capacity 0": (
        "capacity: 3",
        "capacity: 0",
        "18: agents[0].capacity",
        "must be a whole number from 1 to 100, not 0",
    ),
    "a skill without a word": (
        "roles: [agent]",
        'roles: [agent]\n    skills: [" "]',
        "21: agents[0].skills[0]",
        "must not be empty, not ' '",
    ),
    "capacity 101": (
        "capacity: 3",
        "capacity: 101",
        "18: agents[0].capacity",
        "must be a whole number from 1 to 100, not 101",
    ),
    "no capacity": ("    capacity: 3\n", "", "16: agents[0].capacity", "is missing"),
    "an unknown field": (
        "roles: [agent]",
        "colour: red",
        "20: agents[0].colour",
        f"is not known here; there is {fields_of(AgentDocument)}",
    ),
    "a field misspelt": (
        "time_zone:",
        "timezone:",
        "4: calendars[0].timezone",
        f"is not known here (did you mean 'time_zone'?); there is {fields_of(CalendarDocument)}",
    ),
    "an unknown section": (
        "channels:",
        "chanels:",
        "21: chanels",
        f"is not known here (did you mean 'channels'?); there is {SECTIONS}",
    ),
    "overlapping intervals": (
        "{from: 14:00,",
        "{from: 12:30,",
        "6: calendars[0].week.mon[1]",
        f"12:30 to 18:00 overlaps 09:00 to 13:00: {TOUCH}",
    ),
    "a night that runs into the next day": (
        "{from: 14:00, to: 18:00}",
        "{from: 14:00, to: 10:00}",
        "6: calendars[0].week.mon[1]",
        f"14:00 to 10:00 runs into 09:00 to 18:00 of the next day: {TOUCH}",
    ),
    "an unknown zone": (
        "Europe/Berlin",
        "Europe/Berlni",
        "4: calendars[0].time_zone",
        "'Europe/Berlni' is no IANA time zone such as Europe/Berlin",
    ),
    "no time of day": (
        "{from: 14:00",
        "{from: 2pm",
        "6: calendars[0].week.mon[1].from",
        "must be a time from 00:00 to 23:59, as HH:MM, not '2pm'",
    ),
    "an unknown word": (
        "strategy: least_loaded",
        "when_full: drop",
        "14: departments[1].when_full",
        "must be 'queue' or 'ticket', not 'drop'",
    ),
    "an unknown role": (
        "roles: [agent]",
        "roles: [boss]",
        "20: agents[0].roles[0]",
        "must be 'agent', 'supervisor' or 'admin', not 'boss'",
    ),
    "an unknown channel": (
        "channel: whatsapp\n",
        "channel: telegram\n",
        "23: channels[0].channel",
        "must be 'whatsapp' or 'sms', not 'telegram'",
    ),
    "an unknown department of an agent": (
        "[service, sales]",
        "[service, slaes]",
        "19: agents[0].departments[1]",
        "there is no department 'slaes'; there is sales, service",
    ),
    "an unknown first line": (
        "first_line_department: service",
        "first_line_department: servise",
        "1: tenant.first_line_department",
        "there is no department 'servise'; there is sales, service",
    ),
    "an unknown fallback": (
        "fallback: service",
        "fallback: help",
        "13: departments[1].fallback",
        "there is no department 'help'; there is sales, service",
    ),
    "an unknown department of a rule": (
        "department: sales}",
        "department: sale}",
        "28: routing_rules[0].department",
        "there is no department 'sale'; there is sales, service",
    ),
    "an unknown address of a rule": (
        'buy, business_address: "+4930901820"',
        'buy, business_address: "+49"',
        "28: routing_rules[0].business_address",
        "there is no address of a channel '+49'; there is +4930901820",
    ),
    "an unknown calendar": (
        "calendar: office}",
        "calendar: nights}",
        "1: tenant.calendar",
        "there is no calendar 'nights'; there is office",
    ),
    "an unknown heir": (
        "strategy: least_loaded",
        "retired: true\n    move_to: help",
        "15: departments[1].move_to",
        "there is no department 'help'; there is sales, service",
    ),
    "an agent twice": (
        "channels:",
        "  - {id: ada, name: Ada, capacity: 1}\nchannels:",
        "21: agents[1].id",
        "the agent 'ada' is there twice",
    ),
}


async def test_what_is_wrong_is_told_with_its_line_its_field_and_what_would_do(
    installation: Installation, shell: Shell
) -> None:
    told: dict[str, list[str]] = {}
    expected: dict[str, list[str]] = {}
    for name, (old, new, place, message) in BAD.items():
        assert WHOLE.count(old) == 1, name
        file = shell.file(WHOLE.replace(old, new))
        for command in ("plan", "apply"):
            answer = await shell.run(command, str(file))
            assert (answer.code, answer.out) == (1, []), name
            told[f"{command}: {name}"] = _without(file, answer)
            expected[f"{command}: {name}"] = [f"{place}: {message}"]

    assert {name: [one for one in lines if one in expected[name]] for name, lines in told.items()} == expected
    assert await events_on(installation.settings, "directory.v1") == []


def _without(file: Path, answer: Answer) -> list[str]:
    *mistakes, last = answer.err
    assert last == "nothing was written"
    return [line.removeprefix(f"{file}:") for line in mistakes]
