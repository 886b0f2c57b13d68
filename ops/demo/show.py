"""How a run is watched: a picture that changes in place on a terminal, plain lines anywhere else."""

import os
import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console

from ops.demo.live import LiveView
from ops.demo.picture import Picture
from ops.demo.telling import Teller

SMALLEST = (40, 10)
"""Columns and rows below which lines tell more."""


class Show(Protocol):
    """Where a run is watched, for as long as it is entered."""

    every: float
    """Seconds from one picture to the next."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def happening(self, seconds: float, what: str) -> None:
        """Show what somebody did."""

    def waiting(self, what: str) -> None:
        """Show what is still waited for."""

    async def show(self, picture: Picture) -> None:
        """Show the centre as it is now."""


class Lines:
    """One line of figures every few seconds, between what happens."""

    every = 2.0

    def __init__(self, teller: Teller) -> None:
        self._tell = teller
        self._phase = ""

    async def __aenter__(self) -> Self:
        """Nothing has to be taken."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing has to be given back."""

    def happening(self, seconds: float, what: str) -> None:
        """Print it."""
        self._tell.happening(seconds, what)

    def waiting(self, what: str) -> None:
        """Print it."""
        self._tell.waiting(what)

    async def show(self, picture: Picture) -> None:
        """Print a line, and before it that a new phase began."""
        if self._phase not in {"", picture.moment.phase}:
            self._tell.waiting(picture.moment.phase)
        self._phase = picture.moment.phase
        self._tell.progress(picture)


def best_show(console: Console, teller: Teller, *, plain: bool) -> Show:
    """Return the live view where somebody sits before a terminal that can move its cursor; else lines.

    ``FORCE_COLOR`` makes a pipe look like a terminal to Rich, so standard output is asked as well.
    """
    if plain or "CI" in os.environ or not console.is_interactive or not sys.stdout.isatty():
        return Lines(teller)
    if console.width < SMALLEST[0] or console.height < SMALLEST[1]:
        return Lines(teller)
    return LiveView(console)
