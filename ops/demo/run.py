"""One run of the demo, from an empty database to the verdicts."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from ops.checker import History, Story, check
from ops.checker.taking import Witnessed, take
from ops.checker.watching import Watcher
from ops.demo import centre, provider
from ops.demo.agents import Floor, Move, shifts
from ops.demo.driver import GATEWAY, Driver
from ops.demo.ear import listen
from ops.demo.figures import figures, happened
from ops.demo.installation import Installation
from ops.demo.office import Office
from ops.demo.plan import Plan, Write, plan
from ops.demo.scene import Scene
from ops.demo.services import NAMES, RunningService, ServiceFailedError
from ops.demo.settling import Settling
from ops.demo.telling import Teller, last_line, report
from ops.fake_provider import FakeProvider, Script, serving
from ops.fake_provider.events import KafkaReceipts
from shared.contracts.content import Text
from shared.contracts.event import Event
from shared.contracts.inbound_messages import MessageReceived
from shared.platform.clock import Clock
from shared.platform.settings import PlatformSettings

SETTLE_SECONDS = 60.0
ANSWERED_SECONDS = 2.0
"""How long agents go on answering after the last message."""
MISCHIEF_AT = 0.4
_OUTBOUND = {
    "OUTBOUND_CALL_DEADLINE_SECONDS": str(provider.CALL_SECONDS),
    # Large numbers may send so many a second; the demo is about order and doubt, not about pacing.
    "OUTBOUND_RATE_PER_SECOND": "400",
    "OUTBOUND_IN_DOUBT_HOLD_SECONDS": "2",
    "OUTBOUND_IN_DOUBT_SETTLE_SECONDS": "4",
    centre.SECRET_NAME: centre.SECRET,
}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for: seconds, messages a second, and the seed of every choice."""

    duration: float
    rate: float
    seed: int
    folder: Path
    """Where logs and the report go."""
    report: Path


class Run:
    """One run on one installation."""

    def __init__(self, options: Options, here: Installation, teller: Teller, clock: Clock) -> None:
        self._options = options
        self._here = here
        self._tell = teller
        self._clock = clock
        self._plan = plan(options.seed, options.rate, options.duration)
        self._scene = Scene()
        self._driver = Driver(here.settings, clock)
        self._floor = Floor(options.seed, options.rate, self._driver)
        self._office = Office(options.seed, self._driver, self._scene, clock)
        self._watcher = Watcher(here.settings.database_url, NAMES, clock)
        self._services = {name: RunningService(name, options.folder / f"{name}.log") for name in NAMES}
        self._began = 0.0
        self._written = 0
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
            history, cpu_seconds = await self._play(fake)
        return self._judge(history, cpu_seconds)

    async def _play(self, fake: FakeProvider) -> tuple[History, float | None]:
        """Let the centre run its course; also tell how much processor time routing used for it."""
        routing = self._services["routing"]
        try:
            async with asyncio.TaskGroup() as group:
                before = routing.cpu_seconds()
                beside = [group.create_task(work) for work in self._beside()]
                await self._traffic(group)
                after = routing.cpu_seconds()
                history = await self._settle(fake)
                for task in beside:
                    task.cancel()
        except* ServiceFailedError as failed:
            raise failed.exceptions[0] from None
        return history, after - before if before is not None and after is not None else None

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
            await asyncio.gather(*(service.stop() for service in self._services.values()))

    def _beside(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what goes on beside the traffic, until all is quiet."""
        return (
            self._driver.run(),
            self._floor.beat(),
            self._watcher.run(),
            listen(self._here.settings, self._hear),
            self._watch_services(),
        )

    def _hear(self, event: Event[Any]) -> None:
        self._scene.hear(event)
        self._floor.hear(event)

    async def _watch_services(self) -> None:
        while True:
            for service in self._services.values():
                service.check()
            await asyncio.sleep(0.5)

    async def _traffic(self, group: asyncio.TaskGroup) -> None:
        """Let customers write and people work for as long as was asked."""
        self._began = self._clock.monotonic()
        customers = sorted({write.customer for write in self._plan.writes})
        office = group.create_task(self._office.run(customers))
        progress = group.create_task(self._progress())
        async with asyncio.TaskGroup() as acting:
            acting.create_task(self._write(self._plan))
            acting.create_task(self._move(shifts(self._options.seed, self._options.duration)))
            acting.create_task(self._mischief(customers[0]))
        office.cancel()
        await asyncio.sleep(ANSWERED_SECONDS)
        progress.cancel()
        self._floor.rest()

    async def _write(self, planned: Plan) -> None:
        moments: list[tuple[float, Write]] = [(write.at, write) for write in planned.writes]
        for at, write in moments:
            await self._until(at)
            self._publish(write)
        await self._until(self._options.duration)

    def _publish(self, write: Write) -> None:
        now = self._clock.now()
        late = timedelta(seconds=write.before)
        message = MessageReceived(
            channel="whatsapp",
            business_address=write.business_address,
            customer_address=write.customer,
            provider="whatsapp_cloud",
            provider_message_id=write.message_id,
            sent_at=now - late,
            received_at=now,
            content=Text(text=write.text),
        )
        event = self._driver.say(message, GATEWAY)
        self._written += 1
        if write.repeat is not None:
            again = self._driver.repeat if write.repeat.same_event else self._driver.say_again
            asyncio.get_running_loop().call_later(write.repeat.after, again, event, GATEWAY)

    async def _move(self, moves: Sequence[Move]) -> None:
        for move in moves:
            await self._until(move.at)
            self._floor.move(move)
            if move.told is not None:
                self._tell.happening(move.at, move.told)

    async def _mischief(self, customer: str) -> None:
        await self._until(MISCHIEF_AT * self._options.duration)
        self._office.make_mischief(customer)
        self._tell.happening(MISCHIEF_AT * self._options.duration, "somebody publishes rubbish")

    async def _progress(self) -> None:
        second = 0
        while True:
            second += 1
            await self._until(second)
            self._tell.progress(second, self._written, self._scene)

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at - self._clock.monotonic()))

    async def _settle(self, fake: FakeProvider) -> History:
        """Wait until all is quiet, then take the history. What does not settle, the invariants will tell."""
        self._tell.say("traffic has stopped; waiting until everything is settled")
        await self._driver.flush()
        await fake.receipts_sent()
        settling = Settling(self._here.settings, NAMES, self._clock, self._tell.waiting)
        moving = await settling.wait(SETTLE_SECONDS)
        for line in moving:
            self._tell.say(f"not settled after {SETTLE_SECONDS:.0f} s: {line}", "bold red")
        seen = Witnessed(self._driver.published, fake.log.calls, self._watcher.readings)
        return await take(self._here.settings, NAMES, seen, self._clock.now())

    def _judge(self, history: History, cpu_seconds: float | None) -> bool:
        options, story = self._options, Story(history)
        verdicts = check(history)
        found, seen = figures(history, story, cpu_seconds), happened(history, story)
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
