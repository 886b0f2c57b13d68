"""`chatdesk run` and `chatdesk migrate` where something is wrong: one clear line, nothing half started."""

import asyncio
import socket
from pathlib import Path

import asyncpg
import pytest

from ops.stack import Addresses
from ops.stack.postgres import _OLDEST as OLDEST_OF_THE_STACK
from ops.topics import create_topics
from shared.platform.migrations import OLDEST_POSTGRES
from tests.conftest import Installation, Processes, unique
from tests.operating.program import Program, demanding, installed, next_version

pytestmark = pytest.mark.servers

NOBODY = {"CHATDESK_KAFKA": "127.0.0.1:1", "CHATDESK_REDIS_URL": "redis://127.0.0.1:1"}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return installed(tmp_path)


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def ahead(url: str, service: str) -> None:
    """Let a program that is newer than this one have migrated the schema."""
    await execute(url, f"update {service}.alembic_version set version_num = '0999'")


def refusal(program: Program, *arguments: str, **environment: str) -> str:
    """Run a command that must end by itself with one line, and return it."""
    ended = program(*arguments, **environment)
    assert (ended.code, ended.out) == (1, []), ended
    (line,) = ended.err
    return line


def test_settings_that_are_missing_are_named(program: Program) -> None:
    told = refusal(program, "run", "routing")
    assert told.startswith("CHATDESK_KAFKA must be set: ")
    assert refusal(program, "migrate").startswith("CHATDESK_DATABASE_URL must be set: ")


@pytest.mark.parametrize(
    ("service", "setting", "told"),
    [
        ("routing", {"CHATDESK_BATCH_RECORDS": "0"}, "CHATDESK_BATCH_RECORDS must be at least 1"),
        (
            "desk",
            {"CHATDESK_LOG_LEVEL": "LOUD"},
            "CHATDESK_LOG_LEVEL must be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'",
        ),
        ("outbound", {"OUTBOUND_CLOUD_API_VERSION": "0"}, "OUTBOUND_CLOUD_API_VERSION must be at least 1"),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    installation: Installation, program: Program, service: str, setting: dict[str, str], told: str
) -> None:
    assert refusal(program, "run", service, **installation.environment(), **setting) == told


def test_a_service_without_its_topics_says_which(installation: Installation, program: Program) -> None:
    elsewhere = installation.environment() | {"CHATDESK_TOPIC_PREFIX": "nowhere."}
    assert refusal(program, "run", "presence", **elsewhere) == (
        "presence does not start: no topic nowhere.agent-signals.v1, nowhere.agents.v1, nowhere.directory.v1,"
        " nowhere.presence.dead-letters.v1: run `chatdesk topics apply`"
    )


async def test_a_service_whose_topics_have_too_few_partitions_says_which(
    installation: Installation, program: Program
) -> None:
    prefix = unique("few-") + "."
    await create_topics(installation.settings.kafka, prefix, partitions=3)
    few = installation.environment() | {"CHATDESK_TOPIC_PREFIX": prefix, "CHATDESK_TOPIC_PARTITIONS": ""}
    ended = await asyncio.to_thread(program, "run", "presence", **few)
    assert ended.code == 1
    assert [line.partition(": stop")[0] for line in ended.err] == [
        f"presence does not start: {prefix}agent-signals.v1 has 3 partitions, 6 are declared",
        f"presence does not start: {prefix}agents.v1 has 3 partitions, 6 are declared",
    ]


async def test_a_database_without_the_schema_is_refused(
    installation: Installation, empty_database_url: str, program: Program
) -> None:
    empty = installation.environment() | {"CHATDESK_DATABASE_URL": empty_database_url}
    told = await asyncio.to_thread(refusal, program, "run", "routing", **empty)
    assert told == "the database has no schema of routing yet: run `chatdesk migrate`"


def test_a_schema_that_is_older_than_the_program_is_refused_until_it_is_migrated(
    installation: Installation, tmp_path: Path
) -> None:
    newer = next_version(tmp_path, "routing")
    given = installation.environment()
    told = refusal(newer, "run", "routing", **given)
    assert told.startswith("the schema of routing is at 0")
    assert told.endswith(", which is older than this program: run `chatdesk migrate`")

    migrated = newer("migrate", "routing", **given)
    assert (migrated.code, migrated.out) == (0, ["routing is up to date"])
    # Its schema is right now; the next thing that is wrong is told.
    elsewhere = given | {"CHATDESK_TOPIC_PREFIX": "nowhere."}
    assert refusal(newer, "run", "routing", **elsewhere).startswith("routing does not start: no topic ")


async def test_a_schema_that_is_newer_than_the_program_is_worked_on_and_left_as_it_is(
    installation: Installation, processes: Processes, program: Program
) -> None:
    await ahead(installation.settings.database_url, "routing")

    ended = await asyncio.to_thread(program, "migrate", "routing", **installation.environment())
    assert (ended.code, ended.out) == (
        0,
        ["routing is at 0999, which is newer than this program: left as it is"],
    )
    older = await asyncio.to_thread(processes.start("routing").until_ready)
    assert "the schema of routing is at 0999, newer than this program: it runs on" in older.log


@pytest.mark.parametrize("command", [("migrate",), ("run", "routing")])
def test_a_database_server_that_is_too_old_is_refused(
    installation: Installation, tmp_path: Path, command: tuple[str, ...]
) -> None:
    told = refusal(demanding(tmp_path, postgres=99), *command, **installation.environment())
    assert told.startswith("the server is PostgreSQL ")
    assert told.endswith(": 99 or newer is needed")


def test_the_local_stack_starts_no_server_that_the_services_would_refuse() -> None:
    assert OLDEST_OF_THE_STACK >= OLDEST_POSTGRES


async def test_schemas_are_migrated_with_nothing_but_the_database(
    empty_database_url: str, program: Program
) -> None:
    ended = await asyncio.to_thread(program, "migrate", CHATDESK_DATABASE_URL=empty_database_url, **NOBODY)
    assert ended.code == 0, ended
    assert ended.out == [
        f"{service} is up to date" for service in ("desk", "presence", "routing", "tickets", "outbound")
    ]


async def test_a_user_who_may_not_create_schemas_is_told_so(
    servers: Addresses, empty_database_url: str, program: Program
) -> None:
    name = unique("weak_")
    await execute(servers.database_url, f"create role {name} login password 'weak'")
    try:
        url = f"postgresql://{name}:weak@{empty_database_url.rpartition('@')[2]}"
        told = await asyncio.to_thread(refusal, program, "migrate", "routing", CHATDESK_DATABASE_URL=url)
        assert told.startswith("routing was not migrated: ")
        assert told.endswith("permission denied for database " + url.rpartition("/")[2])
    finally:
        await execute(servers.database_url, f"drop role {name}")


async def test_a_port_that_is_taken_is_told_before_anything_is_read(
    installation: Installation, program: Program
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = await asyncio.to_thread(
            refusal, program, "run", "desk", "--port", str(port), **installation.environment()
        )
    assert told == f"desk cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_presence_alone_needs_redis(installation: Installation, program: Program) -> None:
    given = installation.environment() | {"CHATDESK_REDIS_URL": "redis://127.0.0.1:1"}
    presence = await asyncio.to_thread(refusal, program, "run", "presence", **given)
    assert presence.startswith("CHATDESK_REDIS_URL=redis://127.0.0.1:1 does not answer: ")
    elsewhere = given | {"CHATDESK_TOPIC_PREFIX": "nowhere."}
    routing = await asyncio.to_thread(refusal, program, "run", "routing", **elsewhere)
    assert routing.startswith("routing does not start: no topic ")


async def test_migrating_twice_at_once_is_harmless(empty_database_url: str, program: Program) -> None:
    ended = await asyncio.gather(
        *(asyncio.to_thread(program, "migrate", CHATDESK_DATABASE_URL=empty_database_url) for _ in range(2))
    )
    assert [one.code for one in ended] == [0, 0], ended
