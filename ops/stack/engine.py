"""A Docker engine on this machine, spoken to by the `docker` program."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_PATIENCE_SECONDS = 10.0
# A container is made from an image that is here; a busy disk takes its time.
_START_SECONDS = 60.0
_ON_THIS_MACHINE = ("unix://", "npipe://")


@dataclass(frozen=True)
class Container:
    """What to run: the image, how it is told what to do, where it is reached and what it keeps."""

    name: str
    image: str
    labels: Mapping[str, str]
    environment: Mapping[str, str]
    command: Sequence[str]
    port: int
    volume: str
    data: str


@dataclass(frozen=True)
class _Answer:
    succeeded: bool
    said: str


class Engine:
    """The engine of the current context. A failure is returned as what Docker said of it, in one line."""

    @cached_property
    def silence(self) -> str | None:
        """None if an engine on this machine answers, else why there is none to use."""
        if shutil.which("docker") is None:
            return "there is no `docker` program on PATH"
        # The servers are published on this machine's loopback only.
        host = _docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").said
        if not host.startswith(_ON_THIS_MACHINE):
            return f"Docker's engine is not on this machine ({host})"
        version = _docker("version", "--format", "{{.Server.Version}}")
        return None if version.succeeded else f"no Docker engine answers ({version.said})"

    def has(self, image: str) -> bool:
        """Say whether the image is here."""
        return _docker("image", "inspect", "--format", "{{.Id}}", image).succeeded

    def pull(self, image: str, seconds: float) -> str | None:
        """Fetch the image; it is given up after so many seconds, and what was fetched of it stays."""
        return _failure(_docker("pull", "--quiet", image, seconds=seconds))

    def runs(self, name: str) -> bool:
        """Say whether the container runs."""
        return _docker("container", "inspect", "--format", "{{.State.Running}}", name).said == "true"

    def run(self, container: Container) -> str | None:
        """Make the container and start it."""
        options = {
            "--name": [container.name],
            "--publish": [f"127.0.0.1:{container.port}:{container.port}"],
            "--volume": [f"{container.volume}:{container.data}"],
            "--label": [f"{key}={value}" for key, value in container.labels.items()],
            "--env": [f"{key}={value}" for key, value in container.environment.items()],
        }
        words = [word for option, values in options.items() for value in values for word in (option, value)]
        return _failure(
            _docker("run", "--detach", *words, container.image, *container.command, seconds=_START_SECONDS)
        )

    def stop(self, name: str, seconds: float) -> None:
        """Ask the container's server to end, and kill it if it has not after so many seconds."""
        _docker("stop", "--time", f"{seconds:.0f}", name, seconds=seconds + _PATIENCE_SECONDS)

    def kill(self, name: str) -> None:
        """End the container's server at once."""
        _docker("kill", name)

    def remove(self, name: str) -> str | None:
        """Remove the container, running or not, and the volumes without a name; no matter if it is gone."""
        return _failure(_docker("rm", "--force", "--volumes", name, seconds=_START_SECONDS))

    def remove_volume(self, name: str) -> str | None:
        """Remove a volume and what it holds; no matter if it is gone."""
        return _failure(_docker("volume", "rm", "--force", name, seconds=_START_SECONDS))

    def last_words(self, name: str) -> str:
        """Return the last line that the container's server said."""
        return _docker("logs", "--tail", "1", name).said or "it said nothing"


def _failure(answer: _Answer) -> str | None:
    return None if answer.succeeded else answer.said


def _docker(*words: str, seconds: float = _PATIENCE_SECONDS) -> _Answer:
    try:
        ended = subprocess.run(  # noqa: S603 - our own words to the program on PATH
            ["docker", *words],  # noqa: S607 - wherever the user has it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Answer(succeeded=False, said=f"`docker {words[0]}` did not end within {seconds:.0f} s")
    except OSError as refusal:
        return _Answer(succeeded=False, said=str(refusal))
    lines = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
    return _Answer(ended.returncode == 0, lines[-1] if lines else "")
