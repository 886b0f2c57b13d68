"""Puts one service together: broker, database, pipeline, lanes, timers, background work and health."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog
from faststream.asgi import AsgiFastStream
from faststream.kafka import KafkaBroker

from shared.platform import health, log
from shared.platform.clock import Clock, SystemClock
from shared.platform.database import Database
from shared.platform.faults import is_transient
from shared.platform.journal import Journal
from shared.platform.lanes import Lanes
from shared.platform.parking import Parking
from shared.platform.pipeline import Pipeline, all_topics, backoff
from shared.platform.publisher import KafkaPublisher
from shared.platform.reading import Reader
from shared.platform.replays import Replays
from shared.platform.running import Running
from shared.platform.service import Service
from shared.platform.settings import PlatformSettings
from shared.platform.timers import Timers

Background = Callable[[Running], Awaitable[None]]
ALIVE_SECONDS = 30.0
STOP_SECONDS = 15.0
END_AT_LAST_SECONDS = 45.0
"""A process that ends on a failure is gone after this long, whatever hangs; longer than any stop takes."""
LONG_ENOUGH_SECONDS = 60.0
"""Work that ran this long before it failed starts again at once."""
FORGET_EVERY_SECONDS = 60.0
FORGET_SLICE = 5_000


def build(
    service: Service,
    settings: PlatformSettings,
    background: Sequence[Background] = (),
    clock: Clock | None = None,
    answers: Mapping[str, Callable[[], Awaitable[bool]]] = MappingProxyType({}),
) -> AsgiFastStream:
    """Return the ASGI application of one service; running it runs the service.

    ``answers`` asks what else the service stands on, by name, for ``/readyz``.
    """
    log.configure(settings.log_level, service.name)
    return _Assembly(service, settings, background, clock or SystemClock(), answers).app


class _Assembly:
    """The parts of one running service and the order in which they start and stop."""

    def __init__(
        self,
        service: Service,
        settings: PlatformSettings,
        background: Sequence[Background],
        clock: Clock,
        answers: Mapping[str, Callable[[], Awaitable[bool]]] = MappingProxyType({}),
    ) -> None:
        self._answers = answers
        topics = all_topics(service.handles)
        owner = f"{socket.gethostname()}/{os.getpid()}/{clock.now().timestamp():.6f}"
        self._clock = clock
        self._background = background
        self._database = Database(settings.database_url, service.name)
        self._journal = Journal()
        self._publisher = KafkaPublisher(settings.kafka, settings.topic_prefix)
        self._lanes = Lanes(owner, self._database.transaction, self._publisher, clock)
        self._due_committed = asyncio.Event()
        pipeline = Pipeline(
            service=service,
            transactions=self._database.transaction,
            journal=self._journal,
            clock=clock,
            wake=self._wake,
        )
        self._broker = KafkaBroker(
            settings.kafka, apply_types=False, allow_auto_create_topics=False, logger=None
        )
        self._reader = (
            Reader(
                self._broker,
                topics,
                bootstrap=settings.kafka,
                group=f"{settings.topic_prefix}chatdesk-{service.name}",
                prefix=settings.topic_prefix,
                batch_records=settings.batch_records,
                pipeline=pipeline,
                transactions=self._database.transaction,
                journal=self._journal,
                clock=clock,
                stuck_seconds=settings.stuck_seconds,
                refuses_to_go_back=service.refuses_to_go_back,
            )
            if topics
            else None
        )
        self._timers = Timers(
            handlers=service.handlers,
            topics=topics,
            transactions=self._database.transaction,
            journal=self._journal,
            pipeline=pipeline,
            clock=clock,
            fired=self._due_committed,
        )
        self._replays = Replays(
            service=service,
            transactions=self._database.transaction,
            journal=self._journal,
            pipeline=pipeline,
            clock=clock,
        )
        self._running = Running(
            clock=clock,
            transactions=self._database.transaction,
            journal=self._journal,
            pipeline=pipeline,
            topics=topics,
            wake=self._wake,
            owner=owner,
        )
        self._lanes_stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._drain: asyncio.Task[None] | None = None
        self._turned = clock.monotonic()
        self._log = structlog.get_logger()
        self.app = AsgiFastStream(
            self._broker,
            logger=None,
            asgi_routes=health.routes(self._alive, self._ready),
            after_startup=[self._start],
            on_shutdown=[self._stop_working],
            after_shutdown=[self._close],
        )

    def _wake(self) -> None:
        self._lanes.wake()
        self._due_committed.set()

    async def _start(self) -> None:
        stopping = self._running.stopping
        self._drain = asyncio.create_task(self._guard("lanes", lambda: self._lanes.run(self._lanes_stop)))
        if self._reader is not None:
            reader = self._reader
            self._spawn("watch", lambda: reader.watch(stopping))
            self._spawn("timers", lambda: self._after_facts(self._timers.run, reader, stopping))
            self._spawn("replays", lambda: self._after_facts(self._replays.run, reader, stopping))
        self._spawn("beat", self._beat)
        self._spawn("forget", self._forget)
        for work in self._background:
            self._spawn(getattr(work, "__qualname__", "background"), self._after_assignment(work))
        self._log.info("started")

    def _spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(asyncio.create_task(self._guard(name, work)))

    async def _guard(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run background work again whenever it raises, with a growing pause; say so each time."""
        failures = 0
        while not self._running.stopping.is_set() or name == "lanes":
            began = self._clock.monotonic()
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - said loudly, and the work is run again
                failures = 1 if self._clock.monotonic() - began > LONG_ENOUGH_SECONDS else failures + 1
                report = self._log.warning if is_transient(error) else self._log.error
                report("background_failed", work=name, exc_info=error)
                await asyncio.sleep(backoff(failures, salt=len(name)))
            else:
                return

    async def _after_facts(
        self, work: Callable[[asyncio.Event], Awaitable[None]], reader: Reader, stopping: asyncio.Event
    ) -> None:
        """No timer or replay judges anything before the facts it judges by were read (cold start)."""
        while not reader.caught_up and not stopping.is_set():
            await self._running.wait(0.05)
        await work(stopping)

    def _after_assignment(self, work: Background) -> Callable[[], Awaitable[None]]:
        """Let background work wait until the database was found to stand where reading did."""

        async def waiting() -> None:
            while self._reader is not None and not self._reader.assigned:
                if self._running.stopping.is_set():
                    return
                await self._running.wait(0.05)
            await work(self._running)

        return waiting

    async def _beat(self) -> None:
        """Show that the loop turns, and end the process when a batch could not be brought to its end."""
        while not self._running.stopping.is_set():
            self._turned = self._clock.monotonic()
            if self._reader is not None and self._reader.failure is not None:
                failure = self._reader.failure
                self._log.critical("stopping_on_failure", error=f"{type(failure).__name__}: {failure}"[:300])
                _end_at_last()
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await self._running.wait(0.5)

    async def _forget(self) -> None:
        parking = Parking()
        while not self._running.stopping.is_set():
            for forget in (self._journal.forget_seen, parking.forget_alone):
                deleted = FORGET_SLICE
                while deleted == FORGET_SLICE:
                    async with self._database.transaction() as tx:
                        deleted = await forget(tx, self._clock.now(), FORGET_SLICE)
            await self._running.wait(FORGET_EVERY_SECONDS)

    async def _stop_working(self) -> None:
        """Stop timers and background work before the broker stops; the running batch still finishes."""
        self._running.stopping.set()
        if self._reader is not None:
            await self._reader.end()
        await _finish(self._tasks)

    async def _close(self) -> None:
        """After the last batch: empty the outbox, bounded, and let go of everything."""
        self._lanes_stop.set()
        self._lanes.wake()
        if self._drain is not None:
            await _finish([self._drain])
        await self._publisher.close()
        await self._database.close()
        self._log.info("stopped")

    async def _alive(self) -> dict[str, bool | str]:
        return {"loop": self._clock.monotonic() - self._turned < ALIVE_SECONDS}

    async def _ready(self) -> dict[str, bool | str]:
        checks: dict[str, bool | str] = {"database": await self._database.answers()}
        checks |= {name: await answers() for name, answers in self._answers.items()}
        if self._reader is not None:
            checks |= {
                "broker": self._reader.in_touch,
                "records": self._reader.readable,
                "assignment": self._reader.assigned,
                "facts": self._reader.caught_up,
            }
            checks["dead_letters"] = str(self._reader.pausing) if self._reader.pausing else True
        return checks


def _end_at_last() -> None:
    """End the process even if what failed also holds up its stopping."""
    last = threading.Timer(END_AT_LAST_SECONDS, os._exit, [1])
    last.daemon = True
    last.start()


async def _finish(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for tasks that were told to stop; cancel what does not in time."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
