"""What the three servers have in common, so that starting and stopping is written once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Literal, Protocol

from ops.stack.children import Launch

ServerName = Literal["kafka", "postgres", "redis"]
Tell = Callable[[str], None]


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
    address: Callable[[int], str]
    silence: Callable[[str], str | None]
    stopped_by: Signals
