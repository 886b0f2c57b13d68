"""A checkout's own servers: containers where a Docker engine has them, else local processes."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from ops.stack.containers import ContainerServer
from ops.stack.engine import Engine
from ops.stack.errors import StackError
from ops.stack.kinds import Server, ServerName, Standing, Tell
from ops.stack.local import LocalServer
from ops.stack.stack import KINDS, Stack

SETTING = "CHATDESK_STACK"


class Way(Enum):
    """How a server is run."""

    DOCKER = "docker"
    LOCAL = "local"


class EitherServer:
    """One server, run as a container or as a local process.

    The one that stands is it. Else it is started as what it was before, so that it finds its data; as a
    container if it was both or neither, as far as an engine and the image can be had. ``forced`` leaves no
    choice. Ending it ends both.
    """

    def __init__(self, container: ContainerServer, local: LocalServer, forced: Way | None) -> None:
        self._container = container
        self._local = local
        self._forced = forced

    def standing(self) -> Standing | None:
        """Tell of the one that runs; None if neither does."""
        standing = self._standing()
        return standing.standing() if standing else None

    def answers(self) -> bool:
        """Say whether the one that runs answers."""
        standing = self._standing()
        return standing is not None and standing.answers()

    def start_held(self) -> Standing:
        """Start one of the two, unless one answers already."""
        return (self._standing() or self._chosen()).start_held()

    def stop_held(self) -> None:
        """End both in good order; their data stay."""
        self._container.stop_held()
        self._local.stop_held()

    def discard_held(self) -> None:
        """End both, and remove what they keep outside the stack's folder."""
        self._local.discard_held()
        self._container.discard_held()

    def _standing(self) -> Server | None:
        if self._forced is not Way.LOCAL and self._container.standing():
            return self._container
        if self._forced is not Way.DOCKER and self._local.standing():
            return self._local
        return None

    def _chosen(self) -> Server:
        if self._forced is not None:
            return self._container if self._forced is Way.DOCKER else self._local
        if self._local.is_made and not self._container.is_made:
            return self._local
        return self._container if self._container.can_be_had() else self._local


def stack_of(root: Path, tell: Tell, environment: Mapping[str, str]) -> Stack[EitherServer]:
    """Return the stack of this folder, its servers run as CHATDESK_STACK says, if it does.

    It may say `docker` or `local`; StackError if it says anything else.
    """
    root, engine, forced = root.absolute(), Engine(), _forced(environment)

    def server(name: ServerName) -> EitherServer:
        kind = KINDS[name]
        return EitherServer(ContainerServer(kind, root, engine, tell), LocalServer(kind, root, tell), forced)

    return Stack(root, tell, server)


def _forced(environment: Mapping[str, str]) -> Way | None:
    said = environment.get(SETTING)
    try:
        return Way(said) if said else None
    except ValueError:
        raise StackError(f"{SETTING} is {' or '.join(way.value for way in Way)}, not {said!r}") from None
