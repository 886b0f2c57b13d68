"""A private stack of real servers: started, crashed, robbed of its ports and records."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from ops.stack import Addresses, LocalServer, LocalStack, StackError, ensure_up, kafka, postgres, state
from ops.stack.children import Launch, is_alive, kill, spawn, working_in
from ops.stack.kinds import Kind, ServerName, quietly
from tests.stack.builders import WAITING, a_child

pytestmark = pytest.mark.servers

KAFKA: Final = "kafka"
POSTGRES: Final = "postgres"
REDIS: Final = "redis"
ALL: tuple[ServerName, ...] = (KAFKA, POSTGRES, REDIS)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Give the module one stack of its own, which any test may leave with servers down."""
    private = LocalStack(tmp_path_factory.mktemp("stack"))
    try:
        yield private
    finally:
        private.reset()


@pytest.fixture
def up(stack: LocalStack) -> Addresses:
    return stack.up()


def pids(stack: LocalStack) -> list[int | None]:
    return [one.pid if (one := stack.server(name).standing()) else None for name in ALL]


async def write_to_kafka(address: str) -> None:
    await create_topic(address, "kept")
    await send(address, "kept", b"kept")


async def create_topic(address: str, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


async def send(address: str, topic: str, value: bytes, patience_ms: int = 20_000) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=address,
        acks="all",
        compression_type="lz4",
        max_request_size=10_000_000,
        request_timeout_ms=patience_ms,
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def read_from_kafka(address: str) -> bytes | None:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition("kept", 0)])
        record = await asyncio.wait_for(consumer.getone(), 20)
    finally:
        await consumer.stop()
    value: bytes | None = record.value
    return value


async def write_to_postgres(address: str) -> None:
    connection = await asyncpg.connect(address)
    await connection.execute("create table kept as select 'kept' as value")
    await connection.close()


async def read_from_postgres(address: str) -> bytes:
    connection = await asyncpg.connect(address)
    value: str = await connection.fetchval("select value from kept")
    await connection.close()
    return value.encode()


async def write_to_redis(address: str) -> None:
    with redis.Redis.from_url(address) as client:
        client.set("kept", "kept")


async def read_from_redis(address: str) -> bytes | None:
    with redis.Redis.from_url(address) as client:
        value: bytes | None = client.get("kept")
        return value


WRITE = {KAFKA: write_to_kafka, POSTGRES: write_to_postgres, REDIS: write_to_redis}
READ = {KAFKA: read_from_kafka, POSTGRES: read_from_postgres, REDIS: read_from_redis}


def test_a_second_up_changes_nothing(stack: LocalStack, up: Addresses) -> None:
    before = pids(stack)
    assert stack.up() == up
    assert pids(stack) == before


def test_servers_given_by_the_environment_win_over_local_ones(tmp_path: Path, up: Addresses) -> None:
    local = tmp_path / "local"
    used = ensure_up(environment=up.environment() | {"CHATDESK_LOCAL": str(local)})
    assert used.environment() == up.environment()
    assert all("given by CHATDESK_" in line for line in used.chosen)
    assert not local.exists()


def test_what_the_environment_does_not_give_is_started(tmp_path: Path, up: Addresses) -> None:
    some = {"CHATDESK_KAFKA": up.kafka, "CHATDESK_DATABASE_URL": up.database_url}
    used = ensure_up(environment=some | {"CHATDESK_LOCAL": str(tmp_path), "CHATDESK_STACK": "local"})
    mixed = LocalStack(tmp_path / "stack")
    try:
        assert (used.kafka, used.database_url) == (up.kafka, up.database_url)
        assert used.redis_url == mixed.server(REDIS).address != up.redis_url
        assert pids(mixed)[:2] == [None, None]
    finally:
        mixed.reset()


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("name", ALL)
def test_a_killed_server_comes_back_where_it_was_with_its_data(stack: LocalStack, name: ServerName) -> None:
    server = stack.server(name)
    asyncio.run(WRITE[name](server.address))
    others = [pid for one, pid in zip(ALL, pids(stack), strict=True) if one != name]
    address = server.address
    server.kill()
    assert server.standing() is None
    stack.up()
    assert server.address == address
    assert asyncio.run(READ[name](address)) == b"kept"
    assert [pid for one, pid in zip(ALL, pids(stack), strict=True) if one != name] == others


@pytest.mark.usefixtures("up")
def test_a_server_stopped_and_started_on_its_own_stays_where_it_was(stack: LocalStack) -> None:
    server = stack.server(POSTGRES)
    address = server.address
    server.stop()
    assert not server.answers()
    assert server.start().address == address
    assert server.restart().address == address


@pytest.mark.usefixtures("up")
def test_a_server_whose_port_was_taken_moves_and_the_taker_is_left_alone(stack: LocalStack) -> None:
    server = stack.server(REDIS)
    port = int(server.address.rpartition(":")[2].partition("/")[0])
    server.stop()
    with socket.create_server(("127.0.0.1", port)) as taker:
        assert server.start().address != f"redis://127.0.0.1:{port}/0"
        assert redis.Redis.from_url(server.address).ping()
        taker.setblocking(False)
        with pytest.raises(BlockingIOError):
            taker.accept()


@pytest.mark.usefixtures("up")
def test_a_record_of_a_server_gone_with_the_last_boot_is_no_reason_to_signal_its_successor(
    stack: LocalStack, tmp_path: Path
) -> None:
    file = stack.root / "redis.json"
    record = state.read(file)
    assert record is not None
    stack.server(REDIS).stop()
    with a_child(tmp_path, WAITING) as successor:
        gone = replace(record.child, pid=successor.pid, boot="the last one")
        state.write(file, replace(record, child=gone))
        stack.server(REDIS).stop()
        assert stack.server(REDIS).start().address == f"redis://127.0.0.1:{record.port}/0"
        assert is_alive(successor)


@pytest.mark.usefixtures("up")
def test_postgresql_starts_though_the_number_it_left_behind_is_somebody_elses_by_now(
    stack: LocalStack, tmp_path: Path
) -> None:
    server = stack.server(POSTGRES)
    server.kill()
    left_behind = stack.root / POSTGRES / "postmaster.pid"
    _, *rest = left_behind.read_text("utf-8").splitlines()
    # Only a process of the same user is one that PostgreSQL would mistake for another server.
    as_the_same = left_behind.stat().st_uid if os.geteuid() == 0 else None
    successor = spawn(Launch(["sleep", "60"], Path("/"), uid=as_the_same), tmp_path / "log")
    try:
        left_behind.write_text("\n".join([str(successor.pid), *rest]), "utf-8")
        server.start()
        assert is_alive(successor)
    finally:
        kill(successor)


def test_only_this_machine_reaches_the_servers(up: Addresses) -> None:
    for address in (up.kafka, up.database_url, up.redis_url):
        port = urlsplit(address if "://" in address else f"//{address}").port
        # Not the address they listen on, but answered by whatever listens on all.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("lost", ["", "{", '{"child": {}}'])
def test_a_server_whose_record_was_lost_is_ended_before_another_works_on_its_data(
    stack: LocalStack, lost: str
) -> None:
    file = stack.root / "redis.json"
    record = state.read(file)
    assert record is not None
    file.write_text(lost, "utf-8")
    assert stack.server(REDIS).start().pid != record.child.pid
    assert not is_alive(record.child)


def test_two_commands_at_once_start_each_server_once(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATDESK_")}
    command = [sys.executable, "-c", "from ops.cli import main; main()", "stack", "up"]
    start = partial(
        subprocess.Popen[str],
        command,
        env=environment | {"CHATDESK_LOCAL": str(tmp_path), "CHATDESK_STACK": "local"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    both = LocalStack(tmp_path / "stack")
    try:
        with start() as one, start() as other:
            told = [command.communicate(timeout=120) for command in (one, other)]
        assert [one.returncode, other.returncode] == [0, 0], told
        assert told[0][0] == told[1][0]
        redis_program = Path(f"/proc/{pids(both)[2]}/exe").readlink().name
        assert len(working_in(both.root / REDIS, redis_program)) == 1
        assert len(working_in(both.root / KAFKA, "java")) == 1
    finally:
        both.reset()
    assert [entry.name for entry in both.root.iterdir()] == ["lock"]


def test_down_ends_every_process_and_keeps_the_data(stack: LocalStack, up: Addresses) -> None:
    stack.down()
    assert pids(stack) == [None, None, None]
    assert stack.up().environment() == up.environment()


def test_a_server_that_cannot_start_is_told_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    private = LocalStack(tmp_path)
    (tmp_path / REDIS).mkdir()
    (tmp_path / REDIS / "appendonly.aof").mkdir()
    (tmp_path / REDIS / "appendonlydir").touch()
    with pytest.raises(StackError, match=rf"redis does not start: .+ \(log: {tmp_path}/logs/redis\.log\)"):
        private.server(REDIS).start()


async def test_two_megabytes_pass_only_if_they_compress(up: Addresses) -> None:
    await create_topic(up.kafka, "sizes")
    await send(up.kafka, "sizes", b"same " * 400_000)
    with pytest.raises(MessageSizeTooLargeError):
        await send(up.kafka, "sizes", os.urandom(2_000_000))


async def test_a_topic_that_nobody_created_is_refused(up: Addresses) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await send(up.kafka, "misspelt", b"", patience_ms=500)


async def test_postgresql_takes_as_many_connections_as_the_services_open_and_commits_durably(
    up: Addresses,
) -> None:
    connection = await asyncpg.connect(up.database_url)
    shown = [
        await connection.fetchval(f"show {name}")
        for name in ("max_connections", "fsync", "synchronous_commit", "server_encoding", "listen_addresses")
    ]
    await connection.close()
    assert shown == ["300", "on", "on", "UTF8", "127.0.0.1"]


@pytest.mark.parametrize(
    ("kind", "product"), [(kafka.KAFKA, "Java 25 from"), (postgres.POSTGRES, "PostgreSQL 18.6 from")]
)
def test_the_wheels_servers_stand_in_where_the_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, product: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    find = partial(postgres.find, system=tmp_path) if kind is postgres.POSTGRES else kind.find
    server = LocalServer(replace(kind, find=find), tmp_path / "stack", quietly)
    try:
        chosen = server.start().chosen
        assert product in chosen
        assert "wheel's" in chosen
        server.kill()
        assert server.start().chosen == chosen
    finally:
        server.stop()
        LocalStack(tmp_path / "stack").reset()
    assert not (tmp_path / "stack" / kind.name).exists()
