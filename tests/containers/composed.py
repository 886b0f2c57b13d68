"""The compose file under a project name and ports of its own, and its removal."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT, unique
from tests.processes import free_port

IMAGES = ("python:3.13-slim", "apache/kafka:4.3.1", "postgres:17", "redis:8")
PASSWORD = "an 0dd p@ss/w:rd#%"
"""With what a URL would trip over."""
_BUILD_SECONDS, _UP_SECONDS, _SECONDS, _PULL_SECONDS = 900, 480, 120, 300


def run(*command: str, seconds: float = _SECONDS, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout, bounded; the answer says how it ended."""
    return subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def _environment(given: dict[str, str]) -> dict[str, str]:
    """Return this process's own without what would point a compose project elsewhere."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    ours.pop("POSTGRES_PASSWORD", None)
    return ours | given


def need_engine() -> None:
    """Skip, and say why, where no engine answers, compose is missing or an image cannot be had."""
    for command, what in (
        (("docker", "version"), "no Docker engine answers: start one"),
        (("docker", "compose", "version"), "docker compose is missing: install it"),
        (("docker", "buildx", "version"), "docker buildx is missing: install it"),
    ):
        if not _works(*command):
            pytest.skip(f"NOT RUN: {what}, then run this test again")
    for image in IMAGES:
        if not _works("docker", "image", "inspect", image) and not _works(
            "docker", "pull", "--quiet", image, seconds=_PULL_SECONDS
        ):
            pytest.skip(f"NOT RUN: the image {image} is not here and cannot be pulled")


def _works(*command: str, seconds: float = 30) -> bool:
    try:
        return run(*command, seconds=seconds).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@contextmanager
def built_image() -> Iterator[str]:
    """Build the product's image as anybody would; its name goes afterwards, its layers stay as a cache."""
    name = f"chatdesk:{unique('test')}"
    # An index that the builder's environment names is handed on.
    index = [f"--build-arg={one}" for one in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX") if one in os.environ]
    answer = run(
        *("docker", "build", "--file", "deploy/Dockerfile", "--tag", name, *index, "."),
        seconds=_BUILD_SECONDS,
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    try:
        yield name
    finally:
        run("docker", "image", "rm", name)


@dataclass(frozen=True)
class Composed:
    """One project of the compose file."""

    image: str
    name: str = field(default_factory=lambda: unique("chatdesk-test"))
    kafka_port: int = field(default_factory=free_port)
    postgres_port: int = field(default_factory=free_port)
    password: str = PASSWORD

    @property
    def kafka(self) -> str:
        """Where programs outside the containers find Kafka."""
        return f"127.0.0.1:{self.kafka_port}"

    def __call__(self, *arguments: str, seconds: float = _SECONDS) -> subprocess.CompletedProcess[str]:
        """Run `docker compose` on this project; a developer's own `.env` has no say."""
        return run(
            *("docker", "compose", "--project-name", self.name, "--env-file", os.devnull, *arguments),
            seconds=seconds,
            CHATDESK_IMAGE=self.image,
            POSTGRES_PASSWORD=self.password,
            KAFKA_PORT=str(self.kafka_port),
            POSTGRES_PORT=str(self.postgres_port),
            ACME_WHATSAPP_TOKEN="a-token",
        )

    def up(self, *services: str, profile: str = "") -> subprocess.CompletedProcess[str]:
        """Bring it up, or these services of it and what they need, and wait until all of it is healthy."""
        try:
            return self("--profile", profile, "up", "--no-build", "--wait", *services, seconds=_UP_SECONDS)
        except subprocess.TimeoutExpired:
            stand = self("ps", "--all").stdout + self("logs", "--tail", "5").stdout
            raise AssertionError(f"not up after {_UP_SECONDS} s:\n{stand}") from None

    def chatdesk(self, *arguments: str, mounts: Sequence[tuple[Path, str]] = ()) -> str:
        """Run the command line in a container of its own and return what it printed."""
        volumes = [f"--volume={source}:{target}:ro" for source, target in mounts]
        answer = self("run", "--rm", "--no-TTY", *volumes, "cli", *arguments)
        assert answer.returncode == 0, answer.stderr[-3000:]
        return answer.stdout

    def left(self) -> list[str]:
        """Return everything of this project that the engine still has."""
        mine = f"--filter=label=com.docker.compose.project={self.name}"
        return [
            one
            for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
            for one in run("docker", *kind, "--quiet", mine).stdout.split()
        ]


@contextmanager
def composed(image: str, password: str = PASSWORD) -> Iterator[Composed]:
    """Hand out a project, and remove all of it whatever happened."""
    project = Composed(image, password=password)
    try:
        yield project
    finally:
        # The password is asked for even to take things away.
        Composed(image, project.name, project.kafka_port, project.postgres_port)(
            *("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20")
        )
