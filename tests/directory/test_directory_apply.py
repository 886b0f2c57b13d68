"""`chatdesk directory plan`, `apply` and `export` as people run them, on real servers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.stack import Addresses
from shared.contracts.directory import AgentDocument, DirectoryDocument
from shared.contracts.event import Event
from tests.conftest import Installation, Processes, create_database, drop_database, unique
from tests.directory.shell import Shell
from tests.topics import events_on, publish, until_events

pytestmark = pytest.mark.servers

EXAMPLES = sorted((Path(__file__).parents[2] / "deploy" / "examples").glob("*.yaml"))
EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "acme.yaml"
TEXT = EXAMPLE.read_text(encoding="utf-8")


async def _documents(installation: Installation) -> list[DirectoryDocument]:
    events = await events_on(installation.settings, "directory.v1")
    return [event.data for event in events if isinstance(event.data, DirectoryDocument)]


async def test_a_tenant_is_applied_once_changed_and_left_alone(
    installation: Installation, shell: Shell
) -> None:
    looked = await shell.run("plan", str(EXAMPLE))
    assert (looked.code, looked.out[-1]) == (3, "17 created, 0 updated, 0 unchanged")
    assert await _documents(installation) == []

    first = await shell.apply(EXAMPLE)
    assert first.code == 0, first
    assert first.out[-2:] == [
        "17 created, 0 updated, 0 unchanged",
        "published from here: no desk service is running",
    ]
    assert {document.revision for document in await _documents(installation)} == {1}
    assert len(await _documents(installation)) == 17

    again = await shell.apply(EXAMPLE)
    assert (again.code, again.out) == (
        0,
        [f"acme, from {EXAMPLE}", "0 created, 0 updated, 17 unchanged"],
    )
    assert len(await _documents(installation)) == 17

    lines = [line for line in TEXT.splitlines() if "id: aiko" not in line]
    changed = shell.file("\n".join(lines).replace("capacity: 4", "capacity: 6"))
    third = await shell.apply(changed)
    assert third.code == 0, third
    assert third.out == [
        f"acme, from {changed}",
        "  updated  agent jonas                             capacity 4 → 6",
        "0 created, 1 updated, 15 unchanged",
        "not in the file and left as they are (nothing is ever removed here): agent aiko",
        "published from here: no desk service is running",
    ]
    jonas = [one for one in await _documents(installation) if one.id == "jonas"]
    assert [(one.revision, one.capacity) for one in jonas if isinstance(one, AgentDocument)] == [
        (1, 4),
        (2, 6),
    ]


async def test_a_bad_file_is_refused_with_lines_and_nothing_is_written(
    installation: Installation, shell: Shell
) -> None:
    unknown = shell.file(TEXT.replace("first_line_department: service", "first_line_department: servise"))

    answer = await shell.apply(unknown)

    assert (answer.code, answer.out) == (1, [])
    problem = "there is no department 'servise'; there is bookings, emergencies, service"
    assert answer.err == [
        f"{unknown}:9: tenant.first_line_department: {problem}",
        "nothing was written",
    ]
    assert await _documents(installation) == []
    broken = await shell.apply(shell.file(TEXT.replace("capacity: 5", "capacity: 500")))
    assert broken.code == 1
    assert broken.err[0].endswith("agents[0].capacity: must be a whole number from 1 to 100, not 500")
    missing = await shell.apply(shell.folder / "nowhere.yaml")
    assert (missing.code, missing.err) == (1, [f"{shell.folder}/nowhere.yaml: No such file or directory"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
async def test_what_is_exported_is_what_was_applied(shell: Shell, example: Path) -> None:
    applied = await shell.apply(example)
    assert applied.code == 0, applied

    exported = await shell.run("export", example.stem)
    planned = await shell.run("plan", str(shell.file("\n".join(exported.out))))

    assert (exported.code, exported.err) == (0, [])
    assert planned.code == 0, planned
    assert planned.out[-1].startswith("0 created, 0 updated, ")
    assert (await shell.run("plan", str(example))).code == 0


async def test_plan_tells_a_pipeline_by_its_exit_code_what_it_found(shell: Shell) -> None:
    await shell.apply(EXAMPLE)
    changed = shell.file(TEXT.replace("capacity: 4", "capacity: 6"))

    differs = await shell.run("plan", str(changed))
    refused = await shell.run("plan", str(shell.file(TEXT.replace("capacity: 4", "capacity: 101"))))
    unchanged = await shell.run("plan", str(EXAMPLE))

    assert differs.code == 3
    assert differs.out[1] == "  updated  agent jonas                             capacity 4 → 6"
    assert refused.code == 1
    assert refused.err[0].endswith("agents[1].capacity: must be a whole number from 1 to 100, not 101")
    assert unchanged.code == 0


async def test_a_tenant_nobody_described_cannot_be_exported(shell: Shell) -> None:
    answer = await shell.run("export", "nobody")
    assert (answer.code, answer.err) == (1, ["there is no tenant 'nobody'"])


async def test_it_says_what_to_do_when_the_desk_has_no_tables(servers: Addresses, shell: Shell) -> None:
    name = unique("empty_")
    try:
        empty = await create_database(servers, name)
        early = await shell.apply(EXAMPLE, CHATDESK_DATABASE_URL=empty)
    finally:
        await drop_database(servers, name)

    assert early.code == 1
    assert early.err == ["the desk has no tables in this database yet: run `chatdesk migrate`"]


async def test_what_could_not_be_published_is_published_by_applying_again(shell: Shell) -> None:
    unsent = await shell.apply(EXAMPLE, CHATDESK_TOPIC_PREFIX="nowhere.")
    later = await shell.apply(EXAMPLE)

    missing = "topic nowhere.directory.v1 does not exist: run `chatdesk topics apply`"
    assert unsent.code == 1
    assert unsent.err == [
        f"written, but 17 documents are not published yet ({missing})",
        "the desk service will publish them; so does applying again",
    ]
    assert later.out[1:] == [
        "0 created, 0 updated, 17 unchanged",
        "published from here: no desk service is running",
    ]


async def _jonas(installation: Installation, *revisions: int) -> list[Event[Any]]:
    """Wait until these are the revisions of one agent on the topic, in this order."""

    def found(events: Sequence[Event[Any]]) -> list[Event[Any]]:
        return [event for event in events if event.subject == "agent:jonas"]

    events = await until_events(
        installation.settings,
        "directory.v1",
        lambda events: [event.data.revision for event in found(events)] == [*revisions],
    )
    return found(events)


async def test_the_running_desk_publishes_and_has_the_last_word_on_its_topic(
    installation: Installation, processes: Processes, shell: Shell
) -> None:
    processes.start("desk").until_ready()

    first = await shell.apply(EXAMPLE)
    second = await shell.apply(shell.file(TEXT.replace("capacity: 4", "capacity: 6")))
    assert (first.code, first.out[-1]) == (0, "published by the running desk service")
    assert second.code == 0
    old, new = await _jonas(installation, 1, 2)

    await publish(installation.settings, [replace(old, id="the same, said by somebody else")])
    *_, again = await _jonas(installation, 1, 2, 1, 2)

    assert again.data == new.data
    assert again.id != new.id


async def test_the_running_desk_answers_a_late_repeat_of_its_own_record(
    installation: Installation, processes: Processes, shell: Shell
) -> None:
    processes.start("desk").until_ready()
    await shell.apply(EXAMPLE)
    await shell.apply(shell.file(TEXT.replace("capacity: 4", "capacity: 6")))
    old, _ = await _jonas(installation, 1, 2)

    await publish(installation.settings, [old])

    await _jonas(installation, 1, 2, 1, 2)
