"""What a change to the published contracts means to others, and what released versions are promised."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from ops.cli import menu
from ops.published import files
from ops.published.compat import Published, changes
from ops.published.schema_changes import Weight
from shared.contracts import cloudevents

COMMAND = "chatdesk.chat.reply.v1"
FACT = "chatdesk.chat.assigned.v1"
BREAKS, NOTABLE, ADDS = Weight.BREAKS, Weight.NOTABLE, Weight.ADDS

Edit = Callable[[dict[str, Any]], object]
"""A change made in place: to a schema's model, by its fields and definitions; or to a channel."""


def fields(name: str, edit: Edit) -> Edit:
    return lambda schema: edit(schema["$defs"][name])


def without(name: str) -> Edit:
    return lambda model: model["properties"].pop(name)


def with_field(name: str, schema: dict[str, Any], *, required: bool = False) -> Edit:
    def edit(model: dict[str, Any]) -> None:
        model["properties"][name] = schema
        if required:
            model["required"].append(name)

    return edit


def field(name: str, **keywords: Any) -> Edit:
    return lambda model: model["properties"][name].update(keywords)


def optional(name: str) -> Edit:
    return lambda model: model["required"].remove(name)


def required(name: str) -> Edit:
    return lambda model: model["required"].append(name)


SCHEMA_CHANGES: dict[str, tuple[str, Edit, list[tuple[Weight, str, str]]]] = {
    "other words": (FACT, lambda schema: schema.update(description="Otherwise."), []),
    "a new optional field": (
        FACT,
        fields("ChatAssigned", with_field("mood", {"type": "string"})),
        [(ADDS, "data.mood", "is new")],
    ),
    "a new required field of a command": (
        COMMAND,
        fields("ChatReply", with_field("mood", {"type": "string"}, required=True)),
        [(BREAKS, "data.mood", "is new and required: publishers do not write it yet")],
    ),
    "a new required field of a fact": (
        FACT,
        fields("ChatAssigned", with_field("mood", {"type": "string"}, required=True)),
        [(BREAKS, "data.mood", "is new and required: records that are kept lack it")],
    ),
    "a removed field": (
        FACT,
        fields("ChatAssigned", without("agent_load")),
        [(BREAKS, "data.agent_load", "is removed or renamed")],
    ),
    "a removed field of a definition": (
        COMMAND,
        fields("Text", without("text")),
        [(BREAKS, "data.content[text].text", "is removed or renamed")],
    ),
    "a field of a fact that may now be absent": (
        FACT,
        fields("ChatAssigned", optional("customer_id")),
        [(BREAKS, "data.customer_id", "may now be absent: readers rely on it")],
    ),
    "a field of a command that may now be absent": (
        COMMAND,
        fields("ChatReply", optional("request_id")),
        [(NOTABLE, "data.request_id", "may now be absent")],
    ),
    "a field of a command that now must be there": (
        COMMAND,
        fields("ChatReply", required("reply_to")),
        [(BREAKS, "data.reply_to", "is now required: publishers do not write it yet")],
    ),
    "a narrowed type": (
        FACT,
        fields("ChatAssigned", field("agent_id", type="string")),
        [(BREAKS, "data.agent_id", "may no longer be null")],
    ),
    "a widened type": (
        FACT,
        fields("ChatAssigned", field("customer_id", type=["string", "null"])),
        [(NOTABLE, "data.customer_id", "may now be null")],
    ),
    "another type": (
        FACT,
        fields("ChatAssigned", field("agent_load", type=["string", "null"])),
        [
            (BREAKS, "data.agent_load", "may no longer be integer"),
            (NOTABLE, "data.agent_load", "may now be string"),
        ],
    ),
    "a value less": (
        FACT,
        fields("ChatAssigned", field("state", enum=["queued", "assigned", "pending", "diverted"])),
        [(BREAKS, "data.state", "may no longer be closed")],
    ),
    "a value more": (
        FACT,
        fields("ChatAssigned", field("last_word", enum=["customer", "business", "none", "bot"])),
        [(NOTABLE, "data.last_word", "may now be bot")],
    ),
    "a shorter text": (
        COMMAND,
        fields("ChatReply", field("request_id", maxLength=100)),
        [(BREAKS, "data.request_id", "maxLength was 256, is 100")],
    ),
    "a longer text": (
        COMMAND,
        fields("ChatReply", field("request_id", maxLength=512)),
        [(NOTABLE, "data.request_id", "maxLength was 256, is 512")],
    ),
    "a form that was free": (
        COMMAND,
        fields("ChatReply", field("request_id", pattern="^[a-z]+$")),
        [(BREAKS, "data.request_id", "pattern was None, is ^[a-z]+$")],
    ),
    "another meaning of absence": (
        FACT,
        fields("ChatAssigned", field("priority", default=10)),
        [(BREAKS, "data.priority", "means 10 when absent, no longer 0")],
    ),
    "a kind of content less": (
        COMMAND,
        lambda schema: schema["$defs"]["ChatReply"]["properties"]["content"]["oneOf"].pop(0),
        [(BREAKS, "data.content", "may no longer be kind text")],
    ),
    "an attribute that now must be there": (
        FACT,
        required("correlationid"),
        [(BREAKS, "correlationid", "is now required: records that are kept lack it")],
    ),
}


@pytest.fixture(scope="module")
def today() -> Published:
    return files.published(files.HOME)


def told(old: Published, new: Published) -> list[tuple[Weight, str, str]]:
    return [(one.weight, one.where, one.what) for one in changes(old, new)]


def test_nothing_changed_is_nothing_told(today: Published) -> None:
    assert changes(today, deepcopy(today)) == []


@pytest.mark.parametrize("name", SCHEMA_CHANGES)
def test_what_a_change_to_a_schema_means(name: str, today: Published) -> None:
    wire_type, edit, expected = SCHEMA_CHANGES[name]
    schema = deepcopy(dict(today.schemas[wire_type]))
    edit(schema)

    assert told(today, replace(today, schemas={**today.schemas, wire_type: schema})) == expected


TOPIC_CHANGES: dict[str, tuple[str, Edit, list[tuple[Weight, str, str]]]] = {
    "another key": (
        "chats.v1",
        lambda channel: channel["x-chatdesk"].update(key="document"),
        [(BREAKS, "key", "was pair, is document")],
    ),
    "versions given up": (
        "chats.v1",
        lambda channel: channel["x-chatdesk"].update(versioned=False),
        [(BREAKS, "versioned", "was True, is False")],
    ),
    "closed to other systems": (
        "chat-commands.v1",
        lambda channel: channel["x-chatdesk"].update(open=False),
        [(BREAKS, "open", "takes no events from other systems any more")],
    ),
    "opened to other systems": (
        "directory.v1",
        lambda channel: channel["x-chatdesk"].update(open=True),
        [(ADDS, "open", "takes events from other systems")],
    ),
    "compacted no more": (
        "pairs.v1",
        lambda channel: channel["bindings"]["kafka"]["topicConfiguration"].update(
            {"cleanup.policy": ["delete"]}
        ),
        [(BREAKS, "cleanup.policy", "was ['compact'], is ['delete']")],
    ),
    "more partitions": (
        "chats.v1",
        lambda channel: channel["bindings"]["kafka"].update(partitions=24),
        [(NOTABLE, "partitions", "was 12, is 24")],
    ),
    "a type less": (
        "chats.v1",
        lambda channel: channel["messages"].pop(FACT),
        [(BREAKS, "type", "is no longer on chats.v1")],
    ),
    "a type more": (
        "chats.v1",
        lambda channel: channel["messages"].update({"chatdesk.chat.sung.v1": {}}),
        [(ADDS, "type", "is new on chats.v1")],
    ),
}


@pytest.mark.parametrize("name", TOPIC_CHANGES)
def test_what_a_change_to_a_topic_means(name: str, today: Published) -> None:
    topic, edit, expected = TOPIC_CHANGES[name]
    channel = deepcopy(dict(today.channels[topic]))
    edit(channel)

    assert told(today, replace(today, channels={**today.channels, topic: channel})) == expected


def test_a_topic_that_goes_breaks_and_one_that_comes_adds(today: Published) -> None:
    fewer = {name: channel for name, channel in today.channels.items() if name != "senders.v1"}
    smaller = replace(today, channels=fewer)

    assert told(today, smaller) == [(BREAKS, "topic", "is removed or renamed")]
    assert told(smaller, today) == [(ADDS, "topic", "is new")]


RELEASED = [
    pytest.param(path, id=f"{one.name} {path.stem}")
    for one in files.releases()
    for path in sorted((one.folder / "examples").glob("*.json"))
]


@pytest.mark.parametrize("path", RELEASED)
def test_every_event_of_every_release_is_still_read_and_allowed(path: Path) -> None:
    text = path.read_bytes()

    event = cloudevents.decode(text)

    schema = json.loads((files.HOME / "schemas" / f"{event.type}.json").read_text())
    Draft202012Validator(schema).validate(json.loads(text))


def test_the_last_release_is_the_highest_version_not_the_last_in_the_alphabet(tmp_path: Path) -> None:
    for name in ("v0.10", "v0.9", "v0.9.1", "notes"):
        (tmp_path / "released" / name).mkdir(parents=True)

    assert [one.name for one in files.releases(tmp_path)] == ["v0.9", "v0.9.1", "v0.10"]


def test_a_file_that_is_edited_missing_or_left_over_is_stale(tmp_path: Path) -> None:
    written = {"asyncapi.yaml": "a", "schemas/x.json": "{}", "schemas/y.json": "{}"}
    files.export(tmp_path, written)
    assert files.stale(tmp_path, written) == []

    (tmp_path / "schemas/x.json").write_text("edited")
    (tmp_path / "schemas/y.json").rename(tmp_path / "schemas/z.json")
    assert files.stale(tmp_path, written) == ["schemas/x.json", "schemas/y.json", "schemas/z.json"]

    files.export(tmp_path, written)
    assert files.stale(tmp_path, written) == []


def test_the_comparison_reports_and_fails_only_when_it_has_to_hold(tmp_path: Path) -> None:
    files.export(tmp_path, files.written())
    schema = tmp_path / "schemas" / f"{FACT}.json"
    more = json.loads(schema.read_text())
    more["$defs"]["ChatAssigned"]["properties"]["mood"] = {"type": "string"}
    schema.write_text(json.dumps(more))
    arguments = ["contracts", "compat", "--against", str(tmp_path)]

    reported = CliRunner().invoke(menu(), arguments)
    held = CliRunner().invoke(menu(), [*arguments, "--strict"])
    same = CliRunner().invoke(menu(), ["contracts", "compat", "--against", str(files.HOME), "--strict"])

    assert f"breaks  data.mood: is removed or renamed ({FACT})" in reported.output
    assert (reported.exit_code, held.exit_code, same.exit_code) == (0, 1, 0)
