"""What the three servers have in common, so that starting and stopping is written once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Literal, Protocol

from ops.stack.children import Launch

ServerName = Literal["kafka", "postgres", "redis"]
Tell = Callable[[str], None]


def quietly(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Standing:
    """A server that runs: where, and one line on what was chosen and why."""

    address: str
    chosen: str


class Server(Protocol):
    """One server of a stack, in whatever way it is run. What ends with `held` is for who holds the lock."""

    def standing(self) -> Standing | None:
        """Tell of the running server; None if it does not run."""
        ...

    def answers(self) -> bool:
        """Say whether our own server answers on its port now."""
        ...

    def start_held(self) -> Standing:
        """Start it on its data unless it answers already; StackError if it cannot be had."""
        ...

    def stop_held(self) -> None:
        """End it in good order; its data stay."""
        ...

    def discard_held(self) -> None:
        """End it, and remove what it keeps outside the stack's folder."""
        ...


@dataclass(frozen=True)
class Boxed:
    """What a container is told: the image's variables, and the command in it (none: the image's own)."""

    environment: Mapping[str, str]
    command: Sequence[str] = ()


@dataclass(frozen=True)
class Box:
    """A server as a container: its image, and the folder in it that keeps the data.

    ``run`` takes the host and port by which clients reach it. It listens on that very port inside, too, so
    that a broker finds itself by the address that it gives to others.
    """

    image: str
    data: str
    run: Callable[[str, int], Boxed]


class Program(Protocol):
    """A server's program found on this machine, ready to be run on a data folder."""

    @property
    def executable(self) -> Path:
        """The program itself."""
        ...

    @property
    def origin(self) -> str:
        """Product, version and place, such as `PostgreSQL 15.18 from /usr/bin/postgres`."""
        ...

    @property
    def reason(self) -> str:
        """Why this one was chosen."""
        ...

    def prepare(self, data: Path, log: Path) -> None:
        """Make the data folder unless it is there, whole or not at all; StackError if it cannot be used."""
        ...

    def launch(self, data: Path, port: int) -> Launch:
        """Return the command that serves this data on this port of 127.0.0.1."""
        ...


@dataclass(frozen=True)
class Kind:
    """One of the three servers."""

    name: ServerName
    product: str
    variable: str
    find: Callable[[Tell], Program]
    box: Box
    address: Callable[[int], str]
    silence: Callable[[str], str | None]
    stopped_by: Signals
