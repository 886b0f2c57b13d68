"""The demo on a terminal: one picture of the centre that changes in place, and is gone when the run ends."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from ops.demo.drawing import draw
from ops.demo.picture import Picture
from shared.platform.log import masked

EVERY_SECONDS = 0.5
"""Often enough to follow, seldom enough to take no processor from what is looked at."""
_HAPPENINGS_KEPT = 40


class LiveView:
    """Draws in the terminal's other screen, so what was printed before is there again afterwards.

    Pictures are frozen, so a thread can draw one: a terminal that stands still holds up nobody but itself.
    """

    every = EVERY_SECONDS

    def __init__(self, console: Console) -> None:
        self._live = Live(
            console=console, screen=True, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._happened: deque[str] = deque(maxlen=_HAPPENINGS_KEPT)

    async def __aenter__(self) -> Self:
        """Take the screen."""
        self._live.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back, whatever happened."""
        self._live.stop()

    def happening(self, seconds: float, what: str) -> None:
        """Show what somebody did."""
        self._happened.append(masked(f"{int(seconds) // 60}:{int(seconds) % 60:02d}  {what}"))

    def waiting(self, what: str) -> None:
        """Show what is still waited for."""
        self._happened.append(masked(f"…  {what}"))

    async def show(self, picture: Picture) -> None:
        """Draw a picture."""
        frame = Frame(picture, tuple(self._happened))
        await asyncio.to_thread(self._live.update, frame, refresh=True)


class Frame:
    """A picture that fits itself to the terminal at the moment it is drawn."""

    def __init__(self, picture: Picture, happenings: tuple[str, ...]) -> None:
        self._picture = picture
        self._happenings = happenings

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what to draw."""
        yield draw(self._picture, self._happenings, options.max_width, options.height or console.height)
