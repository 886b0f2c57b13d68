"""What other systems are shown is run as it stands, and an SDK that is not ours speaks with the desk."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent

from ops.topics import read
from shared.contracts import cloudevents
from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.topics import events_on, publish, publish_raw, until_events

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
README, PUBLISHING = ROOT / "README.md", ROOT / "docs" / "publishing.md"


def shown(path: Path, language: str) -> Iterator[str]:
    """Yield the blocks of a language that a page shows, a console's without its prompts."""
    for text in re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), flags=re.DOTALL | re.MULTILINE):
        yield re.sub(r"^\$ ", "", text, flags=re.MULTILINE)


def run(installation: Installation, *command: str) -> None:
    environment = {**os.environ, **installation.environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def a_floor(installation: Installation) -> None:
    """Ann is online in a department that takes every message."""
    floor = [desk.a_tenant(), desk.a_department(), desk.an_agent_document(), desk.agent_changed()]
    await publish(installation.settings, map(desk.an_event, floor))


async def chats_of(installation: Installation, messages: set[str]) -> None:
    """Wait until routing has added exactly these messages to chats, and refused nothing."""
    added = await until_events(
        installation.settings,
        "chats.v1",
        lambda events: {e.data.message_id for e in events if e.type.endswith("message_added.v1")} >= messages,
    )
    assert {e.data.message_id for e in added if e.type.endswith("message_added.v1")} == messages
    assert await events_on(installation.settings, "routing.dead-letters.v1") == []


async def test_what_is_shown_for_python_is_taken_as_it_stands(
    installation: Installation, processes: Processes
) -> None:
    (program,) = shown(PUBLISHING, "python")
    await a_floor(installation)
    run(installation, sys.executable, "-c", program)
    processes.start("routing").until_ready()

    await chats_of(installation, {"wamid.4"})


async def test_what_is_shown_for_kcat_is_taken_as_it_stands(
    installation: Installation, processes: Processes
) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("NOT RUN: the examples with kcat need it on PATH (apt install kcat)")
    commands = [text for page in (README, PUBLISHING) for text in shown(page, "console") if "kcat" in text]
    await a_floor(installation)
    for command in commands:
        run(installation, "bash", "-euc", command)
    processes.start("routing").until_ready()

    await chats_of(installation, {"wamid.1", "wamid.3"})
    said = await events_on(installation.settings, "inbound-messages.v1")
    assert [event.id for event in said] == ["shop-1", "shop-2", "shop-3"]
    signals = await events_on(installation.settings, "agent-signals.v1")
    assert [event.type for event in signals] == [
        "chatdesk.agent.signed_in.v1",
        "chatdesk.agent.heartbeat.v1",
    ]


async def test_another_sdk_publishes_binary_and_reads_what_we_write(
    installation: Installation, processes: Processes
) -> None:
    message = desk.a_message("Said by an SDK", message_id="wamid.sdk")
    binary = kafka.to_binary_event(
        CloudEvent(
            {
                "id": "sdk-1",
                "source": "shop",
                "type": "chatdesk.message.received.v1",
                "specversion": "1.0",
                "subject": "+27820000001",
                "time": datetime(2026, 11, 18, 12, 0, 1, 500_000, tzinfo=UTC),
                "datacontenttype": "application/json",
                "tenantid": desk.TENANT,
                "partitionkey": "acme:whatsapp:+27110000000:+27820000001",
            },
            message.model_dump(mode="json", by_alias=True, exclude_none=True),
        )
    )
    await a_floor(installation)
    headers = list(binary.headers.items())
    key = binary.key.encode() if isinstance(binary.key, str) else binary.key
    await publish_raw(installation.settings, [("inbound-messages.v1", key, binary.value, headers)])
    processes.start("routing").until_ready()
    await chats_of(installation, {"wamid.sdk"})

    topic = installation.settings.topic_prefix + "chats.v1"
    records = [record async for record in read(installation.settings.kafka, topic)]
    for record in records:
        assert record.value is not None
        ours = cloudevents.decode(record.value)
        theirs = kafka.from_kafka_event(kafka.KafkaMessage(dict(record.headers), record.key, record.value))
        assert (theirs.get_id(), theirs.get_source(), theirs.get_type()) == (ours.id, ours.source, ours.type)
        assert (theirs.get_time(), theirs.get_subject()) == (ours.time, ours.subject)
        assert theirs.get_extension("tenantid") == ours.tenant_id
        assert theirs.get_extension("correlationid") == ours.correlation_id
        assert theirs.get_data() == ours.data.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert [cloudevents.decode(record.value or b"").type.split(".")[2] for record in records] == [
        "opened",
        "message_added",
        "assigned",
    ]
