"""`TEST_SERVERS=containers`: Kafka, PostgreSQL and Redis in containers, one of each for a whole run of tests.

They have the settings of the local servers, for both are told by the same tables (`ops/stack`).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from typing import Any

from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer, Reaper

from ops.stack.kinds import Kind
from ops.stack.ports import free_port
from ops.stack.stack import KINDS

_START_SECONDS = 120.0
_POLL_SECONDS = 0.1


class NotHadError(Exception):
    """The containers cannot be had; the message says why."""


@contextmanager
def started() -> Iterator[dict[str, str]]:
    """Run the three until the block ends; yields the variables that give their addresses to the tests."""
    with ExitStack() as running:
        try:
            _reap()
            served = {kind: running.enter_context(_Served(kind)) for kind in KINDS.values()}
        except (DockerException, OSError) as refusal:
            raise NotHadError(f"no Docker engine runs the servers: {refusal}") from refusal
        for one in served.values():
            one.until_it_answers()
        yield {kind.variable: one.address for kind, one in served.items()}


class _Served(DockerContainer):
    """A server of ours in a container, listening inside on the port it is reached by."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind.box.image, labels={"chatdesk.tests": kind.name})
        self._kind = kind
        host = self.get_docker_client().host()
        port = free_port(f"{id(self)} {kind.name}")
        # An engine on this machine need not show databases without a password to others; a remote one must.
        on_loopback = host == "localhost"
        ports: dict[str, Any] = self.ports
        ports[str(port)] = ("127.0.0.1", port) if on_loopback else port
        reached = "127.0.0.1" if on_loopback else host
        self.address = kind.address(port).replace("127.0.0.1", reached)
        boxed = kind.box.run(reached, port)
        self.with_envs(**boxed.environment)
        if boxed.command:
            self.with_command(list(boxed.command))

    def until_it_answers(self) -> None:
        deadline = monotonic() + _START_SECONDS
        while silence := self._kind.silence(self.address):
            self.reload()
            if self.status == "exited" or monotonic() > deadline:
                said = b"".join(self.get_logs()).decode(errors="replace").strip().splitlines()
                raise NotHadError(f"{self._kind.box.image} does not answer ({silence}): {said[-1:]}")
            sleep(_POLL_SECONDS)


def _reap() -> None:
    """Let Ryuk remove what a killed run leaves; where its image cannot be had, go without it."""
    if testcontainers_config.ryuk_disabled:
        return
    try:
        Reaper.get_instance()
    except DockerException:
        Reaper.delete_instance()
        testcontainers_config.ryuk_disabled = True
