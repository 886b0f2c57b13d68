"""A private stack of real containers: found again, crashed, stopped, reset."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ops.stack import Addresses, StackError, jars
from ops.stack.containers import ContainerServer
from ops.stack.engine import Engine
from ops.stack.kafka import KAFKA
from ops.stack.kinds import ServerName, quietly
from ops.stack.project import EitherServer, stack_of
from ops.stack.stack import KINDS, Stack
from tests.stack.test_stack_local import ALL, READ, WRITE

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Lend the machine's engine, where one answers and has the images."""
    engine = Engine()
    if engine.silence is not None:
        pytest.skip(f"NOT RUN: {engine.silence}; start a Docker engine")
    for kind in KINDS.values():
        if not engine.has(kind.box.image) and (refusal := engine.pull(kind.box.image, seconds=180)):
            pytest.skip(f"NOT RUN: the image {kind.box.image} cannot be had ({refusal})")
    return engine


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containers") / "stack"


@pytest.fixture(scope="module")
def stack(engine: Engine, root: Path) -> Iterator[Stack[EitherServer]]:
    """Give the module one stack of its own, which any test may leave with servers down."""
    assert engine.silence is None
    private = stack_of(root, quietly, {"CHATDESK_STACK": "docker"})
    try:
        yield private
    finally:
        private.reset()
        assert ours(root) == []


@pytest.fixture
def up(stack: Stack[EitherServer]) -> Addresses:
    return stack.up()


def container(engine: Engine, root: Path, name: ServerName) -> ContainerServer:
    return ContainerServer(KINDS[name], root, engine, quietly)


def ours(root: Path) -> list[str]:
    """Return the containers and volumes that bear the folder's label or name."""
    prefix = container(Engine(), root, "kafka").name.removesuffix("kafka")
    asked = (
        ("ps", "--all", "--filter", f"label=chatdesk.stack={root}", "--format", "{{.Names}}"),
        ("volume", "ls", "--filter", f"name={prefix}", "--format", "{{.Name}}"),
    )
    told = [subprocess.run(["docker", *words], capture_output=True, text=True, check=True) for words in asked]
    return sorted(line for one in told for line in one.stdout.splitlines())


def test_a_second_up_changes_nothing(stack: Stack[EitherServer], root: Path, up: Addresses) -> None:
    before = ours(root)
    assert stack.up() == up
    assert stack_of(root, quietly, {}).up() == up
    assert ours(root) == before
    assert all("a Docker engine answers" in line for line in up.chosen)


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("name", ALL)
def test_a_killed_server_comes_back_where_it_was_with_its_data(
    stack: Stack[EitherServer], engine: Engine, root: Path, name: ServerName
) -> None:
    standing = stack.server(name).standing()
    assert standing is not None
    asyncio.run(WRITE[name](standing.address))
    container(engine, root, name).kill()
    assert stack.server(name).standing() is None
    stack.up()
    assert stack.server(name).standing() == standing
    assert asyncio.run(READ[name](standing.address)) == b"kept"


def test_down_leaves_the_data_and_nothing_else_and_up_finds_them(
    stack: Stack[EitherServer], engine: Engine, root: Path, up: Addresses
) -> None:
    stack.down()
    assert ours(root) == sorted(container(engine, root, name).name for name in ALL)
    assert not any(stack.server(name).answers() for name in ALL)
    assert stack.up() == up
    assert asyncio.run(READ["postgres"](up.database_url)) == b"kept"


def test_containers_whose_records_were_lost_are_found_by_their_names(
    stack: Stack[EitherServer], root: Path, up: Addresses
) -> None:
    asyncio.run(WRITE["redis"](up.redis_url))
    (root / "redis.container.json").unlink()
    assert stack.up().environment() == up.environment()
    assert asyncio.run(READ["redis"](up.redis_url)) == b"kept"


@pytest.mark.usefixtures("up")
def test_a_container_that_cannot_start_is_told_with_its_last_words(
    stack: Stack[EitherServer], engine: Engine, root: Path
) -> None:
    stack.down()
    name = container(engine, root, "postgres").name
    spoil = ["docker", "run", "--rm", "--volume", f"{name}:/data", KINDS["redis"].box.image]
    subprocess.run([*spoil, "sh", "-c", "echo 9 >/data/PG_VERSION"], check=True)
    with pytest.raises(
        StackError, match=rf"postgres does not start: .+ \(`docker logs {name}` has the rest\)"
    ):
        stack.up()
    stack.reset()


async def test_the_broker_has_the_local_brokers_settings(up: Addresses) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=up.kafka)
    await admin.start()
    try:
        (told,) = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
    finally:
        await admin.close()
    values = {entry[0]: entry[1] for entry in told.resources[0][4]}
    wanted = {name: values[name] for name in ("auto.create.topics.enable", "message.max.bytes")}
    assert wanted == {"auto.create.topics.enable": "false", "message.max.bytes": str(1024 * 1024 + 64 * 1024)}


async def test_the_database_has_the_local_ones_settings(up: Addresses) -> None:
    connection = await asyncpg.connect(up.database_url)
    shown = [
        await connection.fetchval(f"show {name}") for name in ("max_connections", "fsync", "server_encoding")
    ]
    await connection.close()
    assert shown == ["300", "on", "UTF8"]


def test_the_image_of_the_broker_is_of_the_version_whose_jars_are_pinned() -> None:
    version = KAFKA.box.image.partition(":")[2]
    assert f"org/apache/kafka/kafka-clients/{version}/kafka-clients-{version}.jar" in jars.pinned("kafka")


def test_only_this_machine_reaches_the_servers(root: Path, up: Addresses) -> None:
    assert up.kafka.startswith("127.0.0.1:")
    told = subprocess.run(
        ["docker", "ps", "--filter", f"label=chatdesk.stack={root}", "--format", "{{.Ports}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    published = [word for word in told.replace(",", " ").split() if "->" in word]
    assert len(published) == 3
    assert all(word.startswith("127.0.0.1:") for word in published), os.linesep.join(published)
