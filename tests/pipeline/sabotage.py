"""The counting service with one part of it broken: ``python -m tests.pipeline.sabotage PORT HOW``.

Where the break is a moment, SIGUSR1 is that moment.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import uvicorn

from shared.platform import app, reading
from shared.platform.app import _Assembly
from shared.platform.clock import SystemClock
from shared.platform.journal import OutboxRow
from shared.platform.publisher import Published
from shared.platform.running import Running
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings
from tests.pipeline.counting import HANDLES, NAME, Counting


async def never(*_: Any, **__: Any) -> None:
    await asyncio.Event().wait()


def fetching_ends(parts: _Assembly) -> None:
    """The task that fetches is gone, as aiokafka leaves it after an error it did not expect."""
    fetcher = consumer(parts)._fetcher
    for task in (fetcher._fetch_task, *fetcher._pending_tasks):
        task.cancel()


def fetching_and_stopping_hang(parts: _Assembly) -> None:
    fetching_ends(parts)
    consumer(parts).stop = never


def rejoining_hangs(parts: _Assembly) -> None:
    """The group wants to be joined anew, and the coordinator never comes back: stopping waits as well."""
    coordinator = consumer(parts)._coordinator
    coordinator._do_rejoin_group = never
    coordinator.request_rejoin()


def consumer(parts: _Assembly) -> Any:
    assert parts._reader is not None
    return parts._reader._subscriber.consumer


def freezing_before_it_sends(parts: _Assembly) -> None:
    """It stops itself, as SIGSTOP does, with the rows of its lanes in hand and nothing of them sent."""
    publish = parts._publisher.publish

    async def frozen_first(rows: Sequence[OutboxRow]) -> Published:
        freeze_once()
        return await publish(rows)

    parts._publisher.publish = frozen_first  # type: ignore[method-assign]


def freezing_before_it_forgets(parts: _Assembly) -> None:
    """It stops itself with everything sent and acknowledged, and nothing of it deleted."""
    publish = parts._publisher.publish

    async def frozen_last(rows: Sequence[OutboxRow]) -> Published:
        published = await publish(rows)
        freeze_once()
        return published

    parts._publisher.publish = frozen_last  # type: ignore[method-assign]


async def tell_that_it_ran(_running: Running) -> None:
    sys.stdout.write("background work ran\n")


@cache
def freeze_once() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def nothing_drains(_parts: _Assembly) -> None:
    """Partitions go to others at once, whatever runs."""
    reading.DRAIN_SECONDS = 0.0


def hurry_at_last(_parts: _Assembly) -> None:
    app.END_AT_LAST_SECONDS = 2.0


FROM_THE_START: dict[str, Callable[[_Assembly], None]] = {
    "nothing_drains": nothing_drains,
    "freezing_before_it_sends": freezing_before_it_sends,
    "freezing_before_it_forgets": freezing_before_it_forgets,
    "fetching_and_stopping_hang": hurry_at_last,
    "rejoining_hangs": hurry_at_last,
}
WHEN_SIGNALLED: dict[str, Callable[[_Assembly], None]] = {
    "fetching_ends": fetching_ends,
    "fetching_and_stopping_hang": fetching_and_stopping_hang,
    "rejoining_hangs": rejoining_hangs,
}


def main(port: int, how: str) -> None:
    refuses = how == "refusing_to_go_back"
    service = Service(NAME, Counting(), handles=HANDLES, refuses_to_go_back=refuses)
    parts = _Assembly(service, PlatformSettings(), [tell_that_it_ran] if refuses else [], SystemClock())
    if how in FROM_THE_START:
        FROM_THE_START[how](parts)
    if how in WHEN_SIGNALLED:
        signal.signal(signal.SIGUSR1, lambda *_: WHEN_SIGNALLED[how](parts))
    uvicorn.run(parts.app, port=port, log_level="warning", timeout_graceful_shutdown=30)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
