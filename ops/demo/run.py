"""One run of the demo, from an empty database to the verdicts."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from ops.checker import History, Story, check
from ops.checker.taking import Witnessed, take
from ops.checker.watching import Watcher
from ops.demo import centre, provider
from ops.demo.driver import Driver
from ops.demo.ear import listen
from ops.demo.effort import Effort, Stopwatch
from ops.demo.figures import figures, happened
from ops.demo.installation import Installation
from ops.demo.options import Options
from ops.demo.picture import Moment, paint
from ops.demo.plan import plan
from ops.demo.services import NAMES, RunningService, ServiceFailedError
from ops.demo.settling import settling
from ops.demo.show import Show
from ops.demo.telling import Teller, last_line, report
from ops.demo.traffic import Traffic
from ops.fake_provider import FakeProvider, Script, serving
from ops.fake_provider.events import KafkaReceipts
from shared.contracts.event import Event
from shared.platform.clock import Clock
from shared.platform.settings import PlatformSettings

SETTLE_SECONDS = 60.0
HEARTBEATS = "agent-signals.v1"
_OUTBOUND = {
    "OUTBOUND_CALL_DEADLINE_SECONDS": str(provider.CALL_SECONDS),
    # Large numbers may send so many a second; the demo is about order and doubt, not about pacing.
    "OUTBOUND_RATE_PER_SECOND": "400",
    "OUTBOUND_IN_DOUBT_HOLD_SECONDS": "2",
    "OUTBOUND_IN_DOUBT_SETTLE_SECONDS": "4",
    centre.SECRET_NAME: centre.SECRET,
}


class Run:
    """One run on one installation."""

    def __init__(
        self, options: Options, here: Installation, teller: Teller, show: Show, clock: Clock
    ) -> None:
        self._options = options
        self._here = here
        self._tell = teller
        self._show = show
        self._clock = clock
        self._plan = plan(options.seed, options.rate, options.duration)
        self._driver = Driver(here.settings, clock)
        self._traffic = Traffic(options, self._plan, self._driver, show, clock)
        self._watcher = Watcher(here.settings.database_url, NAMES, clock)
        self._services = {name: RunningService(name, options.folder / f"{name}.log") for name in NAMES}
        self._phase = "traffic"
        self.summary = ""
        """The line that says it all, once the run is judged."""

    async def carry_out(self) -> bool:
        """Run everything. Returns whether all ten invariants hold and all that matters has happened."""
        async with AsyncExitStack() as stack:
            receipts = await stack.enter_async_context(_receipts(self._here.settings))
            fake = FakeProvider(
                self._script(),
                tell=receipts.tell,
                log_path=self._options.folder / "provider.jsonl",
                secret=centre.SECRET,
            )
            url = await stack.enter_async_context(serving(fake))
            await self._here.describe(centre.TENANT, centre.documents(url, self._clock.now()))
            await stack.enter_async_context(self._running_services())
            await self._driver.start()
            stack.push_async_callback(self._driver.stop)
            history, effort = await self._play(fake)
        return self._judge(history, effort)

    def _script(self) -> Script:
        customers = sorted({write.customer for write in self._plan.writes} - self._plan.long_ago)
        return provider.script(self._options.seed, customers[:: max(1, len(customers) // 12)])

    @asynccontextmanager
    async def _running_services(self) -> AsyncIterator[None]:
        environment = self._here.environment() | _OUTBOUND
        self._tell.say(f"starting {', '.join(NAMES)}")
        try:
            for service in self._services.values():
                await service.start(environment)
            await asyncio.gather(*(service.until_ready() for service in self._services.values()))
            self._tell.say(f"they are ready; their logs are in {self._options.folder}")
            yield
        finally:
            try:
                await self._stop_services()
            finally:
                # Somebody may be impatient and interrupt the stopping as well.
                for service in self._services.values():
                    service.kill()

    async def _stop_services(self) -> None:
        """Stop presence before it could take the end of all heartbeats for the loss of everybody."""
        await self._services["presence"].stop()
        await asyncio.gather(*(service.stop() for service in self._services.values()))

    async def _play(self, fake: FakeProvider) -> tuple[History, Effort | None]:
        """Let the centre run its course; also tell how much processor time routing used for it."""
        routing = Stopwatch(self._services["routing"], self._clock)
        await routing.watch_idling()
        try:
            async with self._show, asyncio.TaskGroup() as group:
                publishing = group.create_task(self._driver.run())
                beating = group.create_task(self._traffic.floor.beat())
                watching = [group.create_task(work) for work in self._watchers()]
                routing.start()
                await self._traffic.run()
                effort = routing.stop()
                moving = await self._settle(fake, beating)
                for task in (publishing, *watching):
                    task.cancel()
        except* ServiceFailedError as failed:
            raise failed.exceptions[0] from None
        for line in moving:
            self._tell.say(f"not settled: {line}", "bold red")
        return await self._take(fake), effort

    def _watchers(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return (
            self._watcher.run(),
            listen(self._here.settings, self._hear),
            self._watch_services(),
            self._watch_centre(),
        )

    def _hear(self, event: Event[Any], written_at: datetime) -> None:
        self._traffic.scene.hear(event, written_at)
        self._traffic.floor.hear(event)

    async def _watch_centre(self) -> None:
        while True:
            await asyncio.sleep(self._show.every)
            await self._show.show(paint(self._traffic.scene, self._moment()))

    def _moment(self) -> Moment:
        return Moment(
            now=self._clock.now(),
            seconds=self._traffic.seconds(),
            duration=self._options.duration,
            phase=self._phase,
            written=self._traffic.written,
            lags=self._watcher.lags(),
        )

    async def _watch_services(self) -> None:
        while True:
            for service in self._services.values():
                service.check()
            await asyncio.sleep(0.5)

    async def _settle(self, fake: FakeProvider, beating: "asyncio.Task[None]") -> list[str]:
        """Wait until all is quiet but the heartbeats, then end these and see the last of them read.

        Returns what still moves when there was no more waiting.
        """
        self._phase = "settling"
        self._show.waiting("traffic has stopped; waiting until everything is settled")
        await self._driver.flush()
        await fake.receipts_sent()
        async with settling(self._here.settings, NAMES, self._clock) as centre_at_rest:
            moving = await centre_at_rest.wait(SETTLE_SECONDS, self._show.waiting, flowing=(HEARTBEATS,))
            beating.cancel()
            await self._driver.flush()
            # Before the leases run out, which presence would rightly take for everybody's loss.
            moving += await centre_at_rest.wait(centre.LEASE_SECONDS, self._show.waiting, calm_looks=1)
        return list(dict.fromkeys(moving))

    async def _take(self, fake: FakeProvider) -> History:
        """Take the history of services that have stopped. What was not settled, the invariants will tell."""
        now = self._clock.now()
        await self._stop_services()
        seen = Witnessed(self._driver.published, fake.log.calls, self._watcher.readings)
        return await take(self._here.settings, NAMES, seen, now)

    def _judge(self, history: History, effort: Effort | None) -> bool:
        options, story = self._options, Story(history)
        verdicts = check(history)
        found, seen = figures(history, story, effort), happened(history, story)
        self._tell.verdicts(verdicts)
        self._tell.figures(found, seen)
        asked = {"seed": options.seed, "rate": options.rate, "duration": options.duration}
        written = json.dumps(report(asked, verdicts, found, seen), indent=2, ensure_ascii=False)
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(written + "\n", encoding="utf-8")
        self._tell.say(f"report: {options.report}")
        self.summary = last_line(found, verdicts)
        holds = all(one.holds for one in verdicts) and not seen.missing()
        self._here.keep = self._here.keep or not holds
        return holds


@asynccontextmanager
async def _receipts(settings: PlatformSettings) -> AsyncIterator[KafkaReceipts]:
    """Publish the provider's receipts, as a gateway would."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, enable_idempotence=True, acks="all", linger_ms=5
    )
    await producer.start()
    try:
        yield KafkaReceipts(producer, settings.topic_prefix, centre.ACCOUNTS)
    finally:
        await producer.stop()
