"""Looks at how far services have read, again and again while they run: only then can it be seen."""

import asyncio
from collections.abc import Sequence

import asyncpg

from ops.checker.history import Reading
from shared.platform.clock import Clock

EVERY_SECONDS = 0.25


class Watcher:
    """Keeps the readings of some services until it is cancelled."""

    def __init__(self, url: str, services: Sequence[str], clock: Clock) -> None:
        self.readings: dict[str, list[Reading]] = {service: [] for service in services}
        self._url = url
        self._clock = clock
        self._query = " union all ".join(
            f"select '{service}', min(nullif(read_up_to, '-infinity')),"
            f" bool_or(read_up_to = '-infinity') from {service}.positions"
            for service in services
        )

    def lags(self) -> dict[str, float | None]:
        """Return how many seconds each service was behind at the last look; None: not all was read yet."""
        last = {service: readings[-1] for service, readings in self.readings.items() if readings}
        return {
            service: None if one.read_up_to is None else max(0.0, (one.at - one.read_up_to).total_seconds())
            for service, one in last.items()
        }

    async def run(self) -> None:
        """Look until cancelled. A look counts from when its answer came."""
        connection = await asyncpg.connect(self._url)
        try:
            while True:
                rows = await connection.fetch(self._query)
                at = self._clock.now()
                for service, read_up_to, unread in map(tuple, rows):
                    self.readings[service].append(Reading(at, None if unread else read_up_to))
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            await connection.close()
