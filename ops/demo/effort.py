"""How much processor time a service takes: while it idles, and while the traffic runs."""

import asyncio
from dataclasses import dataclass

from ops.demo.services import RunningService
from shared.platform.clock import Clock

IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Effort:
    """Processor seconds during the traffic, and what idling would have taken for as long."""

    used: float
    idling: float


class Stopwatch:
    """Reads one service's processor time; gives nothing where the system does not tell it."""

    def __init__(self, service: RunningService, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._idling = 0.0
        """Processor seconds a second."""
        self._started: tuple[float, float] | None = None

    async def watch_idling(self) -> None:
        """Look for a moment at a service that has nothing to do."""
        self.start()
        await asyncio.sleep(IDLE_SECONDS)
        if self._started is not None and (used := self._service.cpu_seconds()) is not None:
            at, before = self._started
            self._idling = (used - before) / (self._clock.monotonic() - at)

    def start(self) -> None:
        """Begin."""
        used = self._service.cpu_seconds()
        self._started = None if used is None else (self._clock.monotonic(), used)

    def stop(self) -> Effort | None:
        """Return what was used since the start."""
        used = self._service.cpu_seconds()
        if self._started is None or used is None:
            return None
        at, before = self._started
        return Effort(used - before, self._idling * (self._clock.monotonic() - at))
