"""The compose file really comes up, and a message goes through it; a broken one starts nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentSignedIn
from shared.contracts.chat_commands import ChatReply
from shared.contracts.content import Text
from shared.contracts.event import Event
from shared.platform.clock import SystemClock
from shared.platform.settings import PlatformSettings
from tests import desk_events as desk
from tests.conftest import ROOT
from tests.containers.composed import Composed, built_image, composed, need_engine, run
from tests.topics import publish, until_events

pytestmark = pytest.mark.long

SERVICES = {"desk", "presence", "routing", "tickets", "outbound"}
BUSINESS = "+4930901820"
LARGEST_MB = 400


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    need_engine()
    with built_image() as name:
        yield name


@pytest.fixture
def project(image: str) -> Iterator[Composed]:
    with composed(image) as one:
        yield one


def docker(*arguments: str) -> str:
    answer = run("docker", *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def acme(folder: Path) -> Path:
    """Write the example tenant with the fake provider in the place of WhatsApp."""
    example = (ROOT / "deploy/examples/acme.yaml").read_text("utf-8")
    secret = "secret_ref: ACME_WHATSAPP_TOKEN"
    assert secret in example
    file = folder / "acme.yaml"
    file.write_text(example.replace(secret, f"base_url: http://provider:9000\n    {secret}"), "utf-8")
    file.chmod(0o644)
    return file


def chatting(event: Event[Any], kind: str) -> bool:
    return event.type == f"chatdesk.{kind}.v1"


async def test_a_message_is_followed_through_the_composed_system_and_its_answer_out_of_it(
    project: Composed, tmp_path: Path
) -> None:
    up = project.up(profile="provider")
    assert up.returncode == 0, up.stderr[-3000:]
    told = project.chatdesk("directory", "apply", "/acme.yaml", mounts=[(acme(tmp_path), "/acme.yaml")])
    assert "published by the running desk service" in told

    settings = PlatformSettings(kafka=project.kafka, database_url="postgresql://unused")
    now = SystemClock().now()
    await publish(settings, [desk.an_event(AgentSignedIn(agent_id="aiko", session_id="tab-1"), at=now)])
    await until_events(settings, "agents.v1", lambda events: len(events) > 0)
    message = desk.a_message("emergency: we missed the ferry", business_address=BUSINESS, sent_at=now)
    await publish(settings, [desk.an_event(message, at=now)])
    said = await until_events(
        settings, "chats.v1", lambda events: any(chatting(one, "chat.assigned") for one in events)
    )
    assert said[-1].data.agent_id == "aiko"
    assert "chatdesk.chat.message_added.v1" in project.chatdesk(
        "tail", "chats.v1", "--beginning", "--until-end"
    )

    reply = ChatReply(
        by=Actor(role="agent", id="aiko"),
        chat_id=said[0].data.chat_id,
        request_id="reply-1",
        content=Text(text="The next one leaves at six."),
    )
    await publish(settings, [desk.an_event(reply, at=now)])
    deliveries = await until_events(
        settings, "deliveries.v1", lambda events: any(chatting(one, "delivery.delivered") for one in events)
    )
    assert {one.data.request_id for one in deliveries} == {"reply-1"}


def test_without_its_password_it_says_what_is_missing_and_starts_nothing(image: str) -> None:
    with composed(image, password="") as project:
        up = project.up()
        assert up.returncode != 0
        (line,) = up.stderr.splitlines()
        assert line.endswith(
            "required variable POSTGRES_PASSWORD is missing a value:"
            " choose the database's password in .env (see .env.example)"
        )
        assert project.left() == []


async def test_beside_a_topic_with_too_few_partitions_no_service_starts(project: Composed) -> None:
    assert project.up("kafka").returncode == 0
    admin = AIOKafkaAdminClient(bootstrap_servers=project.kafka)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic("chats.v1", 1, 1, topic_configs={"max.message.bytes": "1100000"})]
        )
    finally:
        await admin.close()

    up = project.up()

    assert up.returncode != 0
    assert 'service "topics" didn\'t complete successfully: exit 1' in up.stderr
    (line,) = project("logs", "--no-log-prefix", "topics").stdout.splitlines()
    assert line.startswith("chats.v1 has 1 partition, 12 are declared: ")
    running = project("ps", "--services", "--status", "running").stdout.split()
    assert not SERVICES & set(running)


def test_the_image_is_small_and_belongs_to_nobody(image: str) -> None:
    size, user = docker("image", "inspect", "--format", "{{.Size}} {{.Config.User}}", image).split()
    assert int(size) < LARGEST_MB * 1_000_000
    assert user == "10001:10001"
    own = docker(
        *("run", "--rm", "--entrypoint", "python", image, "-c"),
        "import os, sys; print(os.getuid(), os.access(sys.prefix, os.W_OK))",
    )
    assert own == "10001 False"


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (("run", "routing"), "CHATDESK_KAFKA"),
        (("migrate",), "CHATDESK_DATABASE_URL"),
        (("topics", "apply"), "CHATDESK_KAFKA"),
    ],
)
def test_a_container_that_is_told_no_server_says_so_in_one_line(
    image: str, command: tuple[str, ...], missing: str
) -> None:
    answer = run("docker", "run", "--rm", "--read-only", image, *command)
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"{missing} must be set: ")


def test_the_image_and_the_makefile_install_the_same_uv() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    (version,) = (
        line.split("=")[1] for line in dockerfile.splitlines() if line.startswith("ARG UV_VERSION=")
    )
    assert f"UV_VERSION := {version}\n" in makefile
