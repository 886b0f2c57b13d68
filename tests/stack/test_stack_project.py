"""A container or a local process: which one a server of a checkout is. `docker` is a script here."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ops.stack import StackError, state
from ops.stack.containers import ContainerServer
from ops.stack.engine import Engine
from ops.stack.kinds import quietly
from ops.stack.local import LocalServer
from ops.stack.project import stack_of
from ops.stack.redis import REDIS

AN_ENGINE: Mapping[str, str] = {
    "context": "echo unix:///run/docker.sock",
    "version": "echo 28.1",
    "image": "echo sha256:12",
    "container": "echo false",
}
NO_IMAGE = {
    "image": "echo 'Error: No such image'; exit 1",
    "pull": "echo 'lookup registry: no such host'; exit 1",
}
ASLEEP = {"version": "echo 'Cannot connect to the Docker daemon'; exit 1"}

PULLING = "redis: pulling redis:8, this once (180 s at most)"
NOT_HAD = "redis: the image redis:8 cannot be had (lookup registry: no such host): a local process instead"
GONE = (
    "redis: it was a container with data, but no Docker engine answers (Cannot connect to the Docker daemon)"
)


def a_docker(folder: Path, answers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a `docker` first on PATH that answers each command so, and writes down what it was asked."""
    asked = folder / "asked"
    asked.touch()
    cases = "".join(f"{command}) {answer};;\n" for command, answer in answers.items())
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\necho "$*" >>{asked}\ncase $1 in\n{cases}*) exit 1;;\nesac\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return asked


def a_root(folder: Path, *, had: str = "") -> Path:
    """Make a stack's folder in which Redis was a container, a process, both or neither before."""
    root = folder / "stack"
    root.mkdir()
    if "container" in had:
        state.write(root / "redis.container.json", state.BoxRecord(16000, "chosen before"))
    if "process" in had:
        (root / "redis").mkdir()
    return root


def chosen(root: Path, told: list[str], **environment: str) -> str:
    """Return what Redis would be started as."""
    way = stack_of(root, told.append, environment).server("redis")._chosen()
    return {ContainerServer: "container", LocalServer: "process"}[type(way)]


@pytest.mark.parametrize(
    ("had", "engine", "becomes"),
    [
        ("nothing", AN_ENGINE, "container"),
        ("nothing", {**AN_ENGINE, **ASLEEP}, "process"),
        ("nothing", {**AN_ENGINE, **NO_IMAGE}, "process"),
        ("nothing", {**AN_ENGINE, "context": "echo ssh://build.example"}, "process"),
        ("nothing", {**AN_ENGINE, "image": "exit 1", "pull": "echo redis:8"}, "container"),
        ("a process", AN_ENGINE, "process"),
        ("a container", AN_ENGINE, "container"),
        ("a container and a process", AN_ENGINE, "container"),
        ("a container", {**AN_ENGINE, **ASLEEP}, "process"),
    ],
)
def test_a_server_is_what_it_was_before_else_a_container_where_that_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had: str, engine: Mapping[str, str], becomes: str
) -> None:
    a_docker(tmp_path, engine, monkeypatch)
    assert chosen(a_root(tmp_path, had=had), []) == becomes


@pytest.mark.parametrize(
    ("had", "forced", "becomes"),
    [
        ("nothing", "local", "process"),
        ("a container", "local", "process"),
        ("a process", "docker", "container"),
    ],
)
def test_the_setting_leaves_no_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, had: str, forced: str, becomes: str
) -> None:
    a_docker(tmp_path, AN_ENGINE, monkeypatch)
    assert chosen(a_root(tmp_path, had=had), [], CHATDESK_STACK=forced) == becomes


@pytest.mark.parametrize(
    ("had", "engine", "lines"),
    [
        ("nothing", {**AN_ENGINE, **ASLEEP}, []),
        ("nothing", {**AN_ENGINE, **NO_IMAGE}, [PULLING, NOT_HAD]),
        ("a container", {**AN_ENGINE, **ASLEEP}, [GONE]),
    ],
)
def test_why_it_is_no_container_is_told_where_that_is_news(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    had: str,
    engine: Mapping[str, str],
    lines: list[str],
) -> None:
    a_docker(tmp_path, engine, monkeypatch)
    told: list[str] = []
    chosen(a_root(tmp_path, had=had), told)
    assert told == lines


def test_a_container_that_is_asked_for_and_cannot_be_had_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_docker(tmp_path, {**AN_ENGINE, **ASLEEP}, monkeypatch)
    stack = stack_of(a_root(tmp_path), quietly, {"CHATDESK_STACK": "docker"})
    with pytest.raises(StackError) as refusal:
        stack.start(["redis"])
    assert str(refusal.value) == (
        "redis cannot be a container: no Docker engine answers (Cannot connect to the Docker daemon)"
    )


def test_a_pull_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_docker(tmp_path, {"pull": "exec sleep 60"}, monkeypatch)
    assert Engine().pull("redis:8", seconds=0.2) == "`docker pull` did not end within 0 s"


def test_an_engine_that_ran_no_server_here_is_not_asked_about_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = a_docker(tmp_path, AN_ENGINE, monkeypatch)
    stack = stack_of(a_root(tmp_path, had="a process"), quietly, {})
    assert stack.server("redis").standing() is None
    stack.down()
    stack.reset()
    assert asked.read_text("utf-8") == ""


def test_data_of_a_container_that_cannot_be_removed_are_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_docker(tmp_path, {**AN_ENGINE, **ASLEEP}, monkeypatch)
    root = a_root(tmp_path, had="a container")
    with pytest.raises(
        StackError, match=r"the volume chatdesk-\w{10}-redis cannot be removed: no Docker engine"
    ):
        stack_of(root, quietly, {}).reset()
    assert ContainerServer(REDIS, root, Engine(), quietly).is_made


def test_a_container_is_made_with_a_port_of_loopback_a_volume_and_the_folder_it_belongs_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = a_docker(tmp_path, {**AN_ENGINE, "run": "echo 'no space left'; exit 1"}, monkeypatch)
    root = a_root(tmp_path)
    server = ContainerServer(REDIS, root, Engine(), quietly)
    with pytest.raises(StackError, match="redis does not start: no space left"):
        server.start_held()
    (run,) = [line for line in asked.read_text("utf-8").splitlines() if line.startswith("run ")]
    record = state.read_box(root / "redis.container.json")
    assert record is not None
    port = f"127.0.0.1:{record.port}:{record.port}"
    assert run.startswith(
        f"run --detach --name {server.name} --publish {port} --volume {server.name}:/data"
        f" --label chatdesk.stack={root} redis:8 redis-server --appendonly yes"
    )
